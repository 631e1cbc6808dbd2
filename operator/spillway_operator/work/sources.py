"""One built-in source's turn of the wheel: its pod. Pods are not watched: a stream's own is read when its bell rings, and again
every few seconds as long as it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from spillway_operator import metrics
from spillway_operator.api.calls import PODS, ApiFailure, ApiServer, within
from spillway_operator.streams.plan import CONFLICT, SOURCE_REFUSED, Obstacle, Step, plan_claim
from spillway_operator.streams.sights import PodSight, StreamSight
from spillway_operator.streams.source_pod import CONFLICTING, SourceImage, plan_pod, pod_body, pod_name, reduce_pod
from spillway_operator.work.streams import REFUSALS
from spillway_operator.world import World

LOOK_EVERY_S = 10.0
SOON_S = 1.0
ENDS_WITHIN_S = 30.0  # a source's pod has a grace of five seconds
NO_IMAGE = "the operator's configuration names no image for sources (streams.sourceImage)"


class SourceWork:
    """ring: asks for another run of a stream's status, after seconds; again: the same for its pod."""

    def __init__(
        self, api: ApiServer, world: World, *, ring: Callable[[str, float], None], again: Callable[[str, float], None]
    ) -> None:
        self._api, self._world, self._ring, self._again = api, world, ring, again
        self._bare: dict[str, str] = {}  # streams without a source that were seen to have no pod of an earlier spec: name, uid
        self._ending_since: dict[str, float] = {}

    async def converge(self, name: str) -> None:
        """Make a stream's pod what it has to be. What the API server refuses is said in the status, and tried again."""
        sight = self._world.streams.get(name)
        if sight is None:
            self._bare.pop(name, None)
            self._ending_since.pop(name, None)
            self._world.source_pods.pop(name, None)  # Kubernetes takes the pod with its owner
            return
        if not self._world.knows_claims or (self._bare.get(name) == sight.uid and not sight.has_source):
            return
        raw = await self._api.get(within(PODS, sight.namespace), pod_name(sight))
        pod = reduce_pod(raw) if raw is not None else None
        self._note(sight, pod)
        await self._step(sight, pod)
        if sight.has_source or sight.problem or pod is not None:
            self._bare.pop(name, None)
            self._again(name, self._next_look_s(name, pod))
        else:
            self._bare[name] = sight.uid

    def _next_look_s(self, name: str, pod: PodSight | None) -> float:
        """No event tells when a pod that is ending is gone, and the next one can be made. On a dead node it stays for long."""
        now = asyncio.get_running_loop().time()
        if pod is None or not pod.deleting:
            self._ending_since.pop(name, None)
            return LOOK_EVERY_S
        return SOON_S if now - self._ending_since.setdefault(name, now) < ENDS_WITHIN_S else LOOK_EVERY_S

    def _note(self, sight: StreamSight, pod: PodSight | None) -> None:
        stranger = pod is not None and pod.owner_uid != sight.uid
        self._hinder(sight, Obstacle(CONFLICT, CONFLICTING.format(pod_name(sight))) if stranger and sight.has_source else None)
        own = None if stranger else pod
        if own == self._world.source_pods.get(sight.name):
            return
        if own is None:
            del self._world.source_pods[sight.name]
        else:
            self._world.source_pods[sight.name] = own
        self._ring(sight.name, 0.0)

    def _hinder(self, sight: StreamSight, obstacle: Obstacle | None) -> None:
        if self._world.source_obstacles.get(sight.name) != obstacle:
            self._world.source_obstacles[sight.name] = obstacle
            self._ring(sight.name, 0.0)

    async def _step(self, sight: StreamSight, pod: PodSight | None) -> None:
        claim = self._world.claims.get(sight.name)
        plan = plan_claim(sight, claim, self._world.places().get(sight.name), served=True)
        has_claim = claim is not None and claim.owner_uid == sight.uid and not claim.deleting
        step = plan_pod(sight, pod, plan, has_claim=has_claim, ending=self._world.emptying)
        if step is Step.CREATE:
            await self._create(sight)
        elif step is Step.DELETE and pod is not None:
            await self._api.delete(within(PODS, sight.namespace), pod.name, uid=pod.uid)
            metrics.WRITES.labels(PODS.name).inc()
            self._again(sight.name, SOON_S)

    async def _create(self, sight: StreamSight) -> None:
        image = self._world.config.source_image
        if image is None:
            self._hinder(sight, Obstacle(SOURCE_REFUSED, NO_IMAGE))
            return
        try:
            await self._api.create(within(PODS, sight.namespace), pod_body(sight, SourceImage(*image)))
        except ApiFailure as failure:
            if failure.status in REFUSALS:
                self._hinder(sight, Obstacle(SOURCE_REFUSED, failure.words))
            raise
        metrics.WRITES.labels(PODS.name).inc()
        self._again(sight.name, SOON_S)
