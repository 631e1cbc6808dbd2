"""How sights get into the caches: events, answers to writes, listings.

Law: an absence is obeyed with care. A filter's only after its CRD was read and stays. An order's is no order to anybody: it is
given again. A Node's order is deleted only after one more read of the Node (nodes.py).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from spillway_operator import metrics
from spillway_operator.apiserver import ApiFailure, ApiServer, Kind
from spillway_operator.bells import Bells
from spillway_operator.cache import Cache, Change
from spillway_operator.crds import CLAIM_PLURALS, PLURALS, Crds
from spillway_operator.stream_wire import key_of
from spillway_operator.wire import Raw

log = logging.getLogger(__name__)
AUDIT_AFTER_S = 3.0  # after kopf has begun a new stream


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched kind: where its sights are kept, how they are made, what a change of one means.

    guarded: its CRD is asked before an absence is obeyed. namespaced: watched in all namespaces, and known by `namespace/name`.
    concerns: whether an object is of any interest.
    """

    kind: Kind
    cache: Cache[Any]
    reduce: Callable[[Raw], Any]
    heed: Callable[[Change[Any]], None]
    guarded: bool = False
    namespaced: bool = False
    concerns: Callable[[Raw], bool] = lambda raw: True

    def key(self, raw: Raw) -> str:
        """What an object is known by."""
        return key_of(raw) if self.namespaced else str(raw["metadata"]["name"])


class Intake:
    """One for all kinds."""

    def __init__(self, api: ApiServer, crds: Crds, bells: Bells) -> None:
        self._api, self._crds, self._bells = api, crds, bells
        self._watched: dict[str, Watched] = {}
        self._suspects: dict[str, dict[str, int]] = defaultdict(dict)  # kind -> name -> version at which it was absent

    def watch(self, table: Iterable[Watched]) -> None:
        """Say what is watched."""
        self._watched = {each.kind.plural: each for each in table}

    def served_kinds(self) -> tuple[Kind, ...]:
        """What can be watched now: a kind whose CRD is gone cannot."""
        return tuple(each.kind for each in self._served())

    def scopes(self) -> tuple[tuple[tuple[Kind, ...], bool], ...]:
        """The same as watches are made of them: kinds, and whether they are watched in all namespaces."""
        everywhere = {each.kind.plural for each in self._served() if each.namespaced}
        one = tuple(kind for kind in self.served_kinds() if kind.plural not in everywhere)
        every = tuple(kind for kind in self.served_kinds() if kind.plural in everywhere)
        return tuple((kinds, scope) for kinds, scope in ((one, False), (every, True)) if kinds)

    def _served(self) -> list[Watched]:
        missing = self._crds.missing()
        return [each for each in self._watched.values() if each.kind.plural not in missing]

    def take_event(self, plural: str, event_type: str | None, raw: Raw) -> None:
        """Take one watch event in. A listed object (type None) means a new stream: what vanished before it was not told."""
        watched = self._watched[plural]
        if event_type is None:
            self._bells.audit.ring(plural, after_s=AUDIT_AFTER_S)
        if not watched.concerns(raw):
            return
        if event_type == "DELETED":
            self._note_absence(watched, watched.key(raw), int(raw["metadata"]["resourceVersion"]))
        elif (change := watched.cache.put(watched.reduce(raw))) is not None:
            watched.heed(change)

    def take_answer(self, kind: Kind, raw: Raw) -> None:
        """What was written is known at once, so that a bell before the event of it does not write it again."""
        self.take_event(kind.plural, "MODIFIED", raw)

    async def audit(self, plural: str) -> None:
        """Put one cache right by a full listing."""
        watched = self._watched[plural]
        if plural in self._crds.missing():
            return
        try:
            raws, version = await self._api.list(watched.kind)
        except ApiFailure as failure:
            if failure.status != HTTPStatus.NOT_FOUND or plural not in {*PLURALS, *CLAIM_PLURALS}:
                raise
            await self._crds.refresh()  # a kind that is not served has no objects that could be missed
            return
        self._take_listing(watched, raws, version)

    def _take_listing(self, watched: Watched, raws: list[Raw], version: int) -> None:
        was_complete = watched.cache.complete
        changes, missing = watched.cache.take_listing(map(watched.reduce, filter(watched.concerns, raws)), version)
        for change in changes:
            watched.heed(change)
        for name in missing:
            self._note_absence(watched, name, version)
        if not was_complete:
            self._bells.ring_everything()
        metrics.OBJECTS.labels(watched.kind.name).set(len(watched.cache))

    def _note_absence(self, watched: Watched, name: str, version: int) -> None:
        if watched.guarded:
            suspects = self._suspects[watched.kind.plural]
            suspects[name] = max(version, suspects.get(name, 0))
            self._bells.absence.ring(watched.kind.plural)
        else:
            self._drop(watched, name, version)

    async def judge_absence(self, plural: str) -> None:
        """Obey what was noted before the CRD is read, if the CRD stays; else keep it in mind until the CRD is back."""
        noted, watched = dict(self._suspects[plural]), self._watched[plural]
        if not watched.guarded:
            return
        standing = await self._crds.standing(plural)
        for name, version in noted.items():
            sight = watched.cache.get(name)
            if sight is None or standing.binds(sight.created):
                self._forget_suspect(plural, name, version)
                self._drop(watched, name, version)
        if held := self._suspects[plural]:
            log.warning("%d absent %s are no order yet: their CRD is gone, going, or new", len(held), plural)
        if held and standing.obeyed:
            self._bells.absence.ring(plural, after_s=standing.wait_s)

    def _forget_suspect(self, plural: str, name: str, version: int) -> None:
        if self._suspects[plural].get(name) == version:
            del self._suspects[plural][name]

    def _drop(self, watched: Watched, name: str, version: int) -> None:
        if (change := watched.cache.drop(name, version)) is not None:
            watched.heed(change)
