"""The conductor: sights come in, bells ring, work is done. It decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass

from spillway_crds import names
from spillway_operator.api.calls import CLAIMS, DATAPLANES, FILTERS, NODES, SLICES, STREAMS, ApiServer, Kind, config_maps
from spillway_operator.api.crds import RETURN_GRACE_S, Crds
from spillway_operator.api.herald import Herald
from spillway_operator.config.settings import Config
from spillway_operator.filters.sights import DataplaneSight, FilterSight
from spillway_operator.filters.wire import Raw, reduce_config, reduce_dataplane, reduce_filter, reduce_node
from spillway_operator.incoming.bells import ALL, Bells
from spillway_operator.incoming.changes import Changes
from spillway_operator.incoming.intake import Intake, Watched
from spillway_operator.incoming.stream_changes import StreamChanges
from spillway_operator.observe import DataplanePods
from spillway_operator.streams.sights import StreamSight
from spillway_operator.streams.wire import is_about_queues, is_our_slice, key_of, reduce_claim, reduce_slice, reduce_stream
from spillway_operator.upkeep import PeerWriting, PodLooking, RevisionKeeping, TurnGiving
from spillway_operator.work.filters import FilterWork
from spillway_operator.work.nodes import NodeWork
from spillway_operator.work.revisions import RevisionWork
from spillway_operator.work.sources import SourceWork
from spillway_operator.work.streams import StreamWork
from spillway_operator.work.turns import TurnKeeper
from spillway_operator.work.waiting import PodTelling
from spillway_operator.world import World

log = logging.getLogger(__name__)
RESYNC_S = 300.0
RESYNC_SPREAD_S = 60.0
PEERS_EVERY_S = 15.0
SWEEP_EVERY_S = 30.0
COUNT_EVERY_S = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """Who and where this operator is. instance: the pod's name."""

    namespace: str
    instance: str
    daemonset: str = "spillway-dataplane"
    deployment: str = "spillway-operator"


class Reconciler:
    """crds_changed: set when a CRD came or went, so that other kinds can be watched now."""

    def __init__(self, api: ApiServer, config: Config, place: Place) -> None:
        self._api, self._place = api, place
        self.world = World(config)
        self.crds = Crds(api, self._heed_crds)
        self.crds_changed = asyncio.Event()
        self.bells = Bells(self.world)
        self.intake = Intake(api, self.crds, self.bells)
        self._turns = TurnKeeper(self.world)
        self._revision_work = RevisionWork(api, self.world, place.namespace)
        self._revisions = RevisionKeeping(self.world, self.bells, self._revision_work)
        self._set_works()

    def _set_works(self) -> None:
        api, world, bells, turns, answered = self._api, self.world, self.bells, self._turns, self.intake.take_answer
        herald = Herald(api, self._place.instance)
        pods = DataplanePods(api, self._place.namespace, self._place.daemonset)
        configs = config_maps(self._place.namespace)
        nodes = NodeWork(api, world, turns, pods, answered=answered, again=bells.ring_node, crowded=bells.filter.ring)
        filters = FilterWork(api, world, turns, herald, answered=answered, unheard=bells.ring_pods)
        words = Herald(api, self._place.instance)  # of its own: what streams have to say takes nothing from filters
        streams = StreamWork(api, world, words, answered=answered, ring=bells.ring_stream, again=bells.ring_claim)
        stream_changes = StreamChanges(world, bells, streams)
        self.intake.watch((*self._watch_table(Changes(world, bells, filters), configs), *self._stream_table(stream_changes)))
        bells.works.update(
            node=nodes.converge,
            filter=filters.report,
            revision=self._revisions.store,
            turn=TurnGiving(world, bells, turns, herald).give,
            claim=streams.claim,
            source=SourceWork(api, world, ring=bells.ring_stream, again=bells.ring_source).converge,
            stream=streams.report,
            waiting=PodTelling(api, world, words, again=bells.ring_waiting, ring=bells.ring_stream).look,
            absence=self.intake.judge_absence,
            audit=self.intake.audit,
            peers=PeerWriting(api, world, self.intake, configs).write,
            sweep=self._revisions.sweep,
            pods=PodLooking(world, bells, pods, filters).look,
        )

    def _watch_table(self, changes: Changes, configs: Kind) -> tuple[Watched, ...]:
        world = self.world
        return (
            Watched(NODES, world.nodes, reduce_node, changes.heed_node),
            Watched(FILTERS, world.filters, self._reduce_filter, changes.heed_filter, guarded=True),
            Watched(DATAPLANES, world.dataplanes, self._reduce_dataplane, changes.heed_dataplane),
            Watched(configs, world.configs, reduce_config, changes.heed_config),
        )

    def _stream_table(self, changes: StreamChanges) -> tuple[Watched, ...]:
        world = self.world
        return (
            Watched(STREAMS, world.streams, self._reduce_stream, changes.heed_stream, namespaced=True),
            Watched(CLAIMS, world.claims, reduce_claim, changes.heed_claim, namespaced=True, concerns=is_about_queues),
            Watched(SLICES, world.slices, reduce_slice, changes.heed_slice, concerns=is_our_slice),
        )

    def _reduce_stream(self, raw: Raw) -> StreamSight:
        return reduce_stream(raw, self.world.streams.get(key_of(raw)))

    def _reduce_filter(self, raw: Raw) -> FilterSight:
        return reduce_filter(raw, self.world.filters.get(raw["metadata"]["name"]), self.world.flows)

    def _reduce_dataplane(self, raw: Raw) -> DataplaneSight:
        return reduce_dataplane(raw, self.world.dataplanes.get(raw["metadata"]["name"]))

    def _heed_crds(self) -> None:
        """What went is held; what came back is listed, and what was absent meanwhile is judged."""
        missing, before = self.crds.missing(), self.world.missing
        self.world.missing = missing
        self.crds_changed.set()
        for plural in before - missing:
            self.bells.audit.ring(plural)
            self.bells.absence.ring(plural)
        if names.FILTERS_PLURAL in before - missing:
            self._hold_filters(self.crds.since(names.FILTERS_PLURAL))
        self.bells.ring_everything()

    def _hold_filters(self, since: str) -> None:
        """Filters that went with an earlier CRD stay in orders for a while, so that applying them again changes nothing."""
        self.world.held_before = since
        asyncio.get_running_loop().call_later(RETURN_GRACE_S, self._let_filters_go, since)

    def _let_filters_go(self, since: str) -> None:
        if self.world.held_before == since and names.FILTERS_PLURAL not in self.world.missing:
            self.world.held_before = ""
            self.world.forget_filters()
            self.bells.ring_nodes()

    async def fill(self) -> None:
        """List everything once. Until this has returned nothing may be concluded from an absence: call it before run()."""
        await self.crds.refresh()
        await self._find_release()
        for kind in self.intake.served_kinds():
            await self.intake.audit(kind.plural)
        await self._revision_work.refresh()
        await self._revisions.store_all()
        self._turns.adopt(asyncio.get_running_loop().time())

    async def report_all(self) -> None:
        """Put right what an earlier operator said of the filters, before anybody is told that this one works."""
        await asyncio.gather(*(self._report(name) for name in self.world.filters.names()))

    async def _report(self, name: str) -> None:
        try:
            await self.bells.works["filter"](name)
        except Exception as error:
            log.warning("status of %s not written, it is tried again: %r", name, error)

    async def _find_release(self) -> None:
        deployments = Kind("Deployment", "apps/v1", "deployments", self._place.namespace)
        daemonsets = Kind("DaemonSet", "apps/v1", "daemonsets", self._place.namespace)
        deployment = await self._api.get(deployments, self._place.deployment)
        daemonset = await self._api.get(daemonsets, self._place.daemonset)
        self.world.deployment_uid = deployment["metadata"]["uid"] if deployment else ""
        self.world.agents_since = daemonset["metadata"]["creationTimestamp"] if daemonset else ""

    async def run(self) -> None:
        """Serve the queues until cancelled; each then finishes what it is writing."""
        async with asyncio.TaskGroup() as tasks:
            for queue in self.bells.queues():
                tasks.create_task(queue.run(), name=queue.name)
            tasks.create_task(self.crds.watch())
            tasks.create_task(self._again_and_again())
            tasks.create_task(self._count())
            self.bells.ring_everything()

    async def _again_and_again(self) -> None:
        """What no event tells: somebody's deletion of a revision, new API servers, an event that got lost."""
        loop = asyncio.get_running_loop()
        resync_at = loop.time() + RESYNC_S
        while True:
            self.bells.peers.ring(ALL)
            self.bells.sweep.ring(ALL, after_s=SWEEP_EVERY_S - PEERS_EVERY_S)
            if loop.time() >= resync_at:
                resync_at = loop.time() + RESYNC_S
                self._resync()
            await asyncio.sleep(PEERS_EVERY_S)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_EVERY_S)
            try:
                await self.intake.count()
            except Exception as error:
                log.info("objects not counted: %r", error)

    def _resync(self) -> None:
        for kind in self.intake.served_kinds():
            self.bells.audit.ring(kind.plural)
        self.bells.ring_nodes(spread_s=RESYNC_SPREAD_S)
        self.bells.ring_streams()
        self.bells.ring_filters(after_s=random.uniform(0, RESYNC_SPREAD_S))
