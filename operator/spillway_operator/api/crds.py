"""Are our CRDs there, and the claims of resource.k8s.io/v1? A CRD that is deleted deletes its objects first.

Law: an object's absence is obeyed only if its CRD, read after the absence was seen, is there, established, and not about to go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from spillway_crds import names
from spillway_operator import metrics
from spillway_operator.api.calls import CRDS, ApiServer
from spillway_operator.filters.wire import Raw

log = logging.getLogger(__name__)
POLL_S = 5.0
RETURN_GRACE_S = 60.0  # time to apply filters again after their CRD was made anew, before their absence is obeyed
PLURALS = (names.FILTERS_PLURAL, names.DATAPLANES_PLURAL, names.STREAMS_PLURAL)
CLAIM_PLURALS = frozenset({"resourceclaims", "resourceslices"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What may be concluded from an object's absence now.

    obeyed: the CRD is there and stays. since: RFC 3339, when it was made. wait_s: how much longer the absence of objects from
    before that means nothing: they went with an earlier CRD.
    """

    obeyed: bool = False
    wait_s: float = 0.0
    since: str = ""

    def binds(self, created: str) -> bool:
        """Whether the absence of an object that was made at that time is obeyed now."""
        return self.obeyed and (self.wait_s == 0 or created >= self.since)


@dataclass(slots=True)
class CrdState:
    """uid, since: of the definition seen last. settled_at: end of the grace, on the monotonic clock."""

    uid: str = ""
    since: str = ""
    serving: bool = False
    settled_at: float = 0.0


class Crds:
    """changed: called when a CRD came or went."""

    def __init__(self, api: ApiServer, changed: Callable[[], None]) -> None:
        self._api, self._changed = api, changed
        self._states = {plural: CrdState() for plural in PLURALS}
        self._serves_claims = False

    def missing(self) -> set[str]:
        """Plural names of what is gone, going, or not served."""
        gone = {plural for plural, state in self._states.items() if not state.serving}
        return gone if self._serves_claims else gone | CLAIM_PLURALS

    def since(self, plural: str) -> str:
        """When the CRD was made, RFC 3339; empty if it was never seen."""
        return self._states[plural].since

    async def refresh(self) -> None:
        """Read all."""
        for plural in PLURALS:
            await self.standing(plural)
        await self._look_for_claims()

    async def _look_for_claims(self) -> None:
        """Kubernetes serves them from 1.34 on; an earlier one has nothing that could be watched."""
        serves = await self._api.discover(names.RESOURCE_API) >= CLAIM_PLURALS
        if serves != self._serves_claims:
            self._serves_claims = serves
            log.info("%s is %s", names.RESOURCE_API, "served" if serves else "not served any more: rings go on as they are")
            self._changed()

    async def standing(self, plural: str) -> Standing:
        """Read one CRD now, and say what an absence that was seen before means."""
        raw = await self._api.get(CRDS, f"{plural}.{names.GROUP}")
        state, serving = self._states[plural], is_serving(raw)
        if serving and not state.serving:
            serving = await self._is_discoverable(plural)
        if serving and raw is not None:
            self._note_definition(plural, raw["metadata"]["uid"], raw["metadata"]["creationTimestamp"])
        if serving != state.serving:
            state.serving = serving
            self._tell(plural, serving)
        return Standing(serving, max(0.0, state.settled_at - time.monotonic()), state.since)

    async def _is_discoverable(self, plural: str) -> bool:
        """kopf looks once which kinds there are; one that is not listed yet it would never watch."""
        return plural in await self._api.discover(names.API_VERSION)

    def _note_definition(self, plural: str, uid: str, created: str) -> None:
        state = self._states[plural]
        if state.uid != uid:
            state.settled_at = time.monotonic() + RETURN_GRACE_S
        state.uid, state.since = uid, created

    def _tell(self, plural: str, serving: bool) -> None:
        metrics.CRD_MISSING.labels(plural).set(not serving)
        if serving:
            log.info("the CRD of %s is there", plural)
        else:
            log.warning("the CRD of %s is gone or going: nodes keep what they run until it is back", plural)
        self._changed()

    async def watch(self) -> None:
        """Look again and again, until cancelled. A server that does not answer says nothing about CRDs."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except Exception as error:
                log.info("CRDs not read: %r", error)


def is_serving(raw: Raw | None) -> bool:
    """Whether a CustomResourceDefinition is established and stays."""
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return False
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
