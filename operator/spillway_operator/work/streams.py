"""One stream's turn of the wheel: its ResourceClaim, its status, its Events. Law: computed from what is known now, every time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from spillway_crds import names
from spillway_crds.streams_wire import STREAM_KIND
from spillway_operator import metrics
from spillway_operator.api.calls import CLAIMS, STREAMS, ApiFailure, ApiServer, Kind, tolerate, within
from spillway_operator.api.herald import Herald
from spillway_operator.filters.wire import Raw
from spillway_operator.notes import NORMAL, Note, Regarding
from spillway_operator.streams.events import notes_between
from spillway_operator.streams.plan import ClaimPlan, Step, plan_claim
from spillway_operator.streams.report import StreamReport, encode_stream_report
from spillway_operator.streams.sights import ClaimSight, StreamSight
from spillway_operator.streams.status import Situation, plan_stream_report, without_counts
from spillway_operator.streams.wire import claim_body
from spillway_operator.work.filters import timestamp
from spillway_operator.world import World

COUNTS_EVERY_S = 5.0  # between two writes of one stream's counts
AGAIN_S = 1.0
REFUSALS = {HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}


class StreamWork:
    """answered: takes in what the API server answers to a write. ring: asks for another run of a stream's status, after seconds.

    again: the same for its claim.
    """

    def __init__(
        self,
        api: ApiServer,
        world: World,
        herald: Herald,
        *,
        answered: Callable[[Kind, Raw], None],
        ring: Callable[[str, float], None],
        again: Callable[[str, float], None],
    ) -> None:
        self._api, self._world, self._herald = api, world, herald
        self._answered, self._ring, self._again = answered, ring, again
        self._refusals: dict[str, str] = {}  # stream -> what the API server said against its claim
        self._counted_at: dict[str, float] = {}

    def forget(self, name: str) -> None:
        """The stream is gone."""
        self._refusals.pop(name, None)
        self._world.source_obstacles.pop(name, None)
        self._counted_at.pop(name, None)

    # ---- the claim --------------------------------------------------------------------------------------------------------

    async def claim(self, name: str) -> None:
        """Make a stream's claim what it has to be. What the API server refuses is said in the status, and tried again."""
        sight, claim = self._world.streams.get(name), self._world.claims.get(name)
        if not self._world.knows_claims:
            return
        if sight is None:
            await self._tell_holders(claim)
            return
        plan = self._plan(sight)
        if plan.step is Step.CREATE and not self._world.emptying:
            await self._create(sight)
        elif plan.step is Step.DELETE and claim is not None:
            await self._delete(claim)
        else:
            self._note_refusal(name, "")

    def _plan(self, sight: StreamSight) -> ClaimPlan:
        place = self._world.places().get(sight.name)
        return plan_claim(sight, self._world.claims.get(sight.name), place, served=self._world.serves_claims)

    async def _create(self, sight: StreamSight) -> None:
        try:
            raw = await self._api.create_packed(within(CLAIMS, sight.namespace), claim_body(sight))
        except ApiFailure as failure:
            self._refused(sight.name, failure)
            raise
        self._note_refusal(sight.name, "")
        self._answered(CLAIMS, raw)
        metrics.WRITES.labels(CLAIMS.name).inc()

    def _refused(self, name: str, failure: ApiFailure) -> None:
        """A quota, a policy, a namespace that is going. A claim that is there already will be seen."""
        if failure.status in REFUSALS:
            self._note_refusal(name, failure.words)

    def _note_refusal(self, name: str, text: str) -> None:
        if self._refusals.get(name, "") != text:
            self._refusals[name] = text
            self._ring(name, 0.0)

    async def _delete(self, claim: ClaimSight) -> None:
        """As it was seen, held by nobody: a scheduler that was quicker keeps it."""
        await self._api.delete(within(CLAIMS, claim.namespace), claim.own_name, uid=claim.uid, version=claim.version)
        metrics.WRITES.labels(CLAIMS.name).inc()
        self._again(claim.name, AGAIN_S)

    # ---- the status -------------------------------------------------------------------------------------------------------

    async def report(self, name: str) -> None:
        """Write a stream's status, if it says anything new and its counts are due."""
        sight = self._world.streams.get(name)
        known = self._world.knows_claims or not self._world.serves_claims
        if sight is None or not known or names.STREAMS_PLURAL in self._world.missing:
            return
        report = plan_stream_report(sight, self._situation(sight))
        if report == sight.report:
            return
        if without_counts(report) == without_counts(sight.report) and (wait_s := self._counts_due_s(name)) > 0:
            self._ring(name, wait_s)
            return
        await self._write(sight, report)

    def _situation(self, sight: StreamSight) -> Situation:
        claim = self._world.claims.get(sight.name)
        own = claim if claim is not None and claim.owner_uid == sight.uid else None
        refusal, place = self._refusals.get(sight.name, ""), self._world.places().get(sight.name)
        pod, obstacle = self._world.source_pods.get(sight.name), self._world.source_obstacles.get(sight.name)
        waiting = self._world.waiting_pods.get(sight.name, "")
        return Situation(self._plan(sight), place, own, refusal, timestamp(), pod, obstacle, waiting)

    def _counts_due_s(self, name: str) -> float:
        now = asyncio.get_running_loop().time()
        return max(0.0, self._counted_at.get(name, now - COUNTS_EVERY_S) + COUNTS_EVERY_S - now)

    async def _write(self, sight: StreamSight, report: StreamReport) -> None:
        self._counted_at[sight.name] = asyncio.get_running_loop().time()
        body = {"metadata": {"name": sight.name.partition("/")[2]}, "status": encode_stream_report(report)}
        with tolerate(HTTPStatus.NOT_FOUND):  # it has just gone
            raw = await self._api.apply(within(STREAMS, sight.namespace), body, subresource="/status")
            self._answered(STREAMS, raw)
            metrics.WRITES.labels(STREAMS.name).inc()
            await self._herald.tell(regarding_stream(sight), notes_between(sight.report, report))

    async def _tell_holders(self, claim: ClaimSight | None) -> None:
        """The stream is gone, its ring is not: Kubernetes keeps the claim until the pod ends."""
        if claim is None or claim.owner_kind != STREAM_KIND or not self._world.streams.complete:
            return
        for pod, uid in zip(claim.holders, claim.holder_uids, strict=True):
            await self._herald.tell(Regarding("v1", "Pod", pod, uid, claim.namespace), [_goes_on(claim)])


def _goes_on(claim: ClaimSight) -> Note:
    text = f"BypassStream {claim.name} is deleted; its ring goes on until this pod ends (`spillway streams evict` ends it)"
    return Note(NORMAL, "StreamDeleted", text)


def regarding_stream(sight: StreamSight) -> Regarding:
    """The stream as an Event's subject."""
    return Regarding(names.API_VERSION, STREAM_KIND, sight.name.partition("/")[2], sight.uid, sight.namespace)
