"""The small works beside orders and statuses: revisions, turns, peers, and why agents do not run."""

from __future__ import annotations

import asyncio
import logging

from spillway_crds import names
from spillway_operator import metrics
from spillway_operator.api.calls import ApiServer, Kind
from spillway_operator.api.herald import Herald
from spillway_operator.filters.verdicts import TURN_FAILED
from spillway_operator.incoming.bells import ALL, Bells
from spillway_operator.incoming.intake import Intake
from spillway_operator.notes import WARNING, Note, Regarding
from spillway_operator.observe import DataplanePods, observe_api_servers
from spillway_operator.peers import plan_peers
from spillway_operator.work.filters import FilterWork
from spillway_operator.work.revisions import RevisionWork
from spillway_operator.work.turns import TurnKeeper
from spillway_operator.world import World

log = logging.getLogger(__name__)
SILENT = "its agent fell silent in its turn to attach or detach a program; see the NodeDataplane and the agent's log"


class RevisionKeeping:
    """Stores what filters need and sweeps what nobody needs."""

    def __init__(self, world: World, bells: Bells, work: RevisionWork) -> None:
        self._world, self._bells, self._work = world, bells, work

    async def store(self, name: str) -> None:
        """Store a filter's revision; then, and only then, nodes are told of it."""
        sight = self._world.filters.get(name)
        if sight is None or sight.order is None or self._world.is_stored(sight.order.revision):
            return
        await self._work.store(sight)
        self._bells.ring_nodes()
        self._bells.filter.ring(name)

    async def sweep(self, _: str) -> None:
        """See what is there: somebody may have deleted one that is needed."""
        await self._work.sweep()
        self._bells.ring_unpublished()

    async def store_all(self) -> None:
        """Before the first plan. What fails is tried again later; nodes keep what they have of it."""
        await asyncio.gather(*(self._try(name) for name in [each.name for each in self._world.unpublished()]))

    async def _try(self, name: str) -> None:
        try:
            await self.store(name)
        except Exception as error:
            log.warning("revision of %s not stored: %r", name, error)


class TurnGiving:
    """Gives turns, and names who failed one."""

    def __init__(self, world: World, bells: Bells, keeper: TurnKeeper, herald: Herald) -> None:
        self._world, self._bells, self._keeper, self._herald = world, bells, keeper, herald

    async def give(self, _: str) -> None:
        """Decide anew who may make a link flap."""
        if not self._world.may_plan:
            return
        step = self._keeper.step(asyncio.get_running_loop().time())
        for name in step.changed:
            self._bells.node.ring(name)
        if step.changed:
            self._bells.ring_filters()
        if step.again_s is not None:
            self._bells.turn.ring(ALL, after_s=step.again_s)
        for name in step.failed:
            await self._tell(name)

    async def _tell(self, name: str) -> None:
        log.warning("node %s fell silent in its turn", name)
        if (node := self._world.nodes.get(name)) is not None:
            await self._herald.tell(Regarding("v1", "Node", name, node.uid), [Note(WARNING, TURN_FAILED, SILENT)])


class PeerWriting:
    """Keeps ConfigMap spillway-peers."""

    def __init__(self, api: ApiServer, world: World, intake: Intake, kind: Kind) -> None:
        self._api, self._world, self._intake, self._kind = api, world, intake, kind

    async def write(self, _: str) -> None:
        """Write it if it is not what it has to be."""
        if not (self._world.nodes.complete and self._world.configs.complete):
            return
        slices, cluster_info = await observe_api_servers(self._api)
        addresses = [address for node in self._world.nodes for address in node.addresses]
        data = plan_peers(slices, cluster_info, addresses, self._world.config.failsafe)
        seen = self._world.configs.get(names.PEERS_CONFIGMAP)
        if seen is None or any(seen.data.get(key) != value for key, value in data.items()):
            body = {"metadata": {"name": names.PEERS_CONFIGMAP}, "data": data}
            self._intake.take_answer(self._kind, await self._api.apply(self._kind, body))
            metrics.WRITES.labels(self._kind.name).inc()


class PodLooking:
    """Finds out why selected nodes have no agent that reports."""

    def __init__(self, world: World, bells: Bells, pods: DataplanePods, filter_work: FilterWork) -> None:
        self._world, self._bells, self._pods, self._filter_work = world, bells, pods, filter_work

    async def look(self, _: str) -> None:
        """Look once; as long as there is trouble, again and again."""
        labelled = sum(names.NODE_LABEL in node.labels for node in self._world.nodes)
        unheard = {node for nodes in self._filter_work.unheard.values() for node in nodes}
        trouble = await self._pods.trouble(labelled, sorted(unheard)) if unheard else ""
        if trouble != self._filter_work.pod_trouble:
            self._filter_work.pod_trouble = trouble
            self._bells.ring_filters()
        if trouble:
            self._bells.ring_pods()
