"""From sights to bells to work. Law: an event says that something changed; what to do is always computed from the caches anew.

Absence is obeyed with care: of a filter or a NodeDataplane only after its CRD was read and stays; of a Node after one more read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from spillway_crds import names
from spillway_operator import metrics
from spillway_operator.apiserver import DATAPLANES, FILTERS, NODES, ApiFailure, ApiServer, Kind, config_maps
from spillway_operator.cache import Cache, Change
from spillway_operator.config import Config
from spillway_operator.crds import Crds
from spillway_operator.events import WARNING, Note, Regarding
from spillway_operator.filters import FilterWork
from spillway_operator.herald import Herald
from spillway_operator.nodes import NodeWork
from spillway_operator.observe import DataplanePods, observe_api_servers
from spillway_operator.peers import plan_peers
from spillway_operator.revisions import RevisionWork
from spillway_operator.sights import ConfigSight, DataplaneSight, FilterSight, NodeSight
from spillway_operator.status import TURN_FAILED
from spillway_operator.turns import TurnKeeper
from spillway_operator.wire import Raw, reduce_config, reduce_dataplane, reduce_filter, reduce_node
from spillway_operator.workqueue import WorkQueue
from spillway_operator.world import UNINSTALL_CONFIGMAP, World

log = logging.getLogger(__name__)
WRITES_IN_FLIGHT = 16
STATUS_INTERVAL_S = 0.5  # between two writes of one filter's status when nodes become ready or fail
COUNTS_AFTER_S = 1.0  # so that what all agents report together is one write
RESYNC_S = 300.0
RESYNC_SPREAD_S = 60.0
AUDIT_AFTER_S = 3.0  # after kopf has lost its stream
AUDIT_INTERVAL_S = 10.0
PEERS_EVERY_S = 15.0
REVISIONS_EVERY_S = 30.0
PODS_AFTER_S = 3.0  # an agent that is merely starting is no trouble
PODS_INTERVAL_S = 5.0
ALL = "all"


@dataclass(frozen=True, slots=True)
class Place:
    """Who and where this operator is. instance: the pod's name."""

    namespace: str
    instance: str
    daemonset: str = "spillway-dataplane"
    deployment: str = "spillway-operator"


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched kind: where its sights are kept, how they are made, what a change of one means."""

    kind: Kind
    cache: Cache[Any]
    reduce: Callable[[Raw], Any]
    heed: Callable[[Change[Any]], None]
    guarded: bool = False  # its CRD is asked before an absence is obeyed


class Reconciler:
    """The conductor: keeps the caches, rings the bells, owns the queues."""

    def __init__(self, api: ApiServer, config: Config, place: Place) -> None:
        self._api, self._place = api, place
        self.world = World(config)
        self.crds = Crds(api, self._heed_crds)
        self.crds_changed = asyncio.Event()
        self._herald = Herald(api, place.instance)
        self._turns = TurnKeeper(self.world)
        self._pods = DataplanePods(api, place.namespace, place.daemonset)
        self._revisions = RevisionWork(api, self.world, place.namespace)
        self._node_work = NodeWork(
            api, self.world, self._turns, self._pods, answered=self.take_answer, again=self._ring_node_again
        )
        self._filter_work = FilterWork(
            api, self.world, self._turns, self._herald, answered=self.take_answer, unheard=self._ring_pods
        )
        self._configs = config_maps(place.namespace)
        self._watched = self._watch_table()
        self._suspects: dict[str, dict[str, int]] = defaultdict(dict)  # kind -> name -> version at which it was seen to be absent
        self.node_queue = WorkQueue("node", self._node_work.converge, concurrency=WRITES_IN_FLIGHT, done=metrics.note_run)
        self.filter_queue = WorkQueue(
            "filter", self._filter_work.report, concurrency=4, min_interval_s=STATUS_INTERVAL_S, done=metrics.note_run
        )
        self.revision_queue = WorkQueue("revision", self._store_revision, concurrency=4, done=metrics.note_run)
        self.turn_queue = WorkQueue("turn", self._give_turns, done=metrics.note_run)
        self.absence_queue = WorkQueue("absence", self._judge_absence, concurrency=2, done=metrics.note_run)
        self.audit_queue = WorkQueue("audit", self.audit, min_interval_s=AUDIT_INTERVAL_S, done=metrics.note_run)
        self.peers_queue = WorkQueue("peers", self._write_peers, min_interval_s=1.0, done=metrics.note_run)
        self.sweep_queue = WorkQueue("sweep", self._sweep, min_interval_s=5.0, done=metrics.note_run)
        self.pods_queue = WorkQueue("pods", self._look_at_pods, min_interval_s=PODS_INTERVAL_S, done=metrics.note_run)

    def _watch_table(self) -> dict[str, Watched]:
        world = self.world
        table = (
            Watched(NODES, world.nodes, reduce_node, self._heed_node),
            Watched(FILTERS, world.filters, self._reduce_filter, self._heed_filter, guarded=True),
            Watched(DATAPLANES, world.dataplanes, self._reduce_dataplane, self._heed_dataplane, guarded=True),
            Watched(self._configs, world.configs, reduce_config, self._heed_config),
        )
        return {each.kind.plural: each for each in table}

    def _reduce_filter(self, raw: Raw) -> FilterSight:
        return reduce_filter(raw, self.world.filters.get(raw["metadata"]["name"]), self.world.flows)

    def _reduce_dataplane(self, raw: Raw) -> DataplaneSight:
        return reduce_dataplane(raw, self.world.dataplanes.get(raw["metadata"]["name"]))

    # ---- life -----------------------------------------------------------------------------------------------------------

    @property
    def served_kinds(self) -> tuple[Kind, ...]:
        """What can be watched now: kinds whose CRD is gone cannot."""
        return tuple(each.kind for each in self._watched.values() if each.kind.plural not in self.world.missing)

    async def fill(self) -> None:
        """List everything once. Until this has returned nothing may be concluded from an absence: call it before run()."""
        await self.crds.refresh()
        self.world.missing = self.crds.missing()
        await self._find_deployment()
        for kind in self.served_kinds:
            await self.audit(kind.plural)
        await self._revisions.refresh()
        await asyncio.gather(*(self._try_to_store(each) for each in self.world.unpublished()))
        self._turns.adopt(asyncio.get_running_loop().time())

    async def _find_deployment(self) -> None:
        deployments = Kind("Deployment", "apps/v1", "deployments", self._place.namespace)
        raw = await self._api.get(deployments, self._place.deployment)
        self.world.deployment_uid = raw["metadata"]["uid"] if raw else ""

    async def _try_to_store(self, sight: FilterSight) -> None:
        try:
            await self._revisions.store(sight)
        except Exception as error:  # nodes keep what they have of it; the queue tries again
            log.warning("revision of %s not stored: %r", sight.name, error)

    async def run(self) -> None:
        """Serve the queues until cancelled; each then finishes what it is writing."""
        async with asyncio.TaskGroup() as tasks:
            for queue in self._queues():
                tasks.create_task(queue.run(), name=queue.name)
            tasks.create_task(self.crds.watch())
            tasks.create_task(self._again_and_again())
            self._ring_everything()

    def _queues(self) -> tuple[WorkQueue, ...]:
        quick = (self.node_queue, self.filter_queue, self.revision_queue, self.turn_queue, self.absence_queue)
        return (*quick, self.audit_queue, self.peers_queue, self.sweep_queue, self.pods_queue)

    def _ring_everything(self) -> None:
        self._ring_nodes()
        self._ring_filters()
        self.turn_queue.ring(ALL)
        for sight in self.world.unpublished():
            self.revision_queue.ring(sight.name)

    async def _again_and_again(self) -> None:
        """What no event tells: somebody's deletion of a revision, new API servers, an event that got lost."""
        loop = asyncio.get_running_loop()
        resync_at = loop.time() + RESYNC_S
        while True:
            self.peers_queue.ring(ALL)
            self.sweep_queue.ring(ALL, after_s=REVISIONS_EVERY_S - PEERS_EVERY_S)
            if loop.time() >= resync_at:
                resync_at = loop.time() + RESYNC_S
                self._resync()
            await asyncio.sleep(PEERS_EVERY_S)

    def _resync(self) -> None:
        for plural in self._watched:
            self.audit_queue.ring(plural)
        self._ring_nodes(spread_s=RESYNC_SPREAD_S)
        self._ring_filters(after_s=random.uniform(0, RESYNC_SPREAD_S))

    # ---- sights ---------------------------------------------------------------------------------------------------------

    def take_event(self, plural: str, event_type: str | None, raw: Raw) -> None:
        """Take one watch event in. A listed object (type None) means a new stream: what vanished before it was not told."""
        watched = self._watched[plural]
        if event_type is None:
            self.audit_queue.ring(plural, after_s=AUDIT_AFTER_S)
        if event_type == "DELETED":
            self._note_absence(watched, raw["metadata"]["name"], int(raw["metadata"]["resourceVersion"]))
        elif (change := watched.cache.put(watched.reduce(raw))) is not None:
            watched.heed(change)

    def take_answer(self, kind: Kind, raw: Raw) -> None:
        """What was written is known at once, so that a bell before the event of it does not write it again."""
        self.take_event(kind.plural, "MODIFIED", raw)

    async def audit(self, plural: str) -> None:
        """Put one cache right by a full listing."""
        watched = self._watched[plural]
        if plural in self.world.missing:
            return
        try:
            raws, version = await self._api.list(watched.kind)
        except ApiFailure as failure:
            if failure.status != HTTPStatus.NOT_FOUND or not watched.guarded:
                raise
            await self.crds.refresh()  # a kind that is not served has no objects that could be missed
            return
        was_complete = watched.cache.complete
        changes, missing = watched.cache.take_listing(map(watched.reduce, raws), version)
        for change in changes:
            watched.heed(change)
        if not was_complete:
            self._ring_everything()
        for name in missing:
            self._note_absence(watched, name, version)
        metrics.OBJECTS.labels(watched.kind.name).set(len(watched.cache))

    def _note_absence(self, watched: Watched, name: str, version: int) -> None:
        if watched.guarded:
            suspects = self._suspects[watched.kind.plural]
            suspects[name] = max(version, suspects.get(name, 0))
            self.absence_queue.ring(watched.kind.plural)
        else:
            self._drop(watched, name, version)

    async def _judge_absence(self, plural: str) -> None:
        """Obey what was noted before the CRD is read, if the CRD stays; else keep it in mind until the CRD is back."""
        noted, watched = dict(self._suspects[plural]), self._watched[plural]
        standing = await self.crds.standing(plural)
        for name, version in noted.items():
            sight = watched.cache.get(name)
            if sight is None or standing.binds(sight.created):
                self._forget_suspect(plural, name, version)
                self._drop(watched, name, version)
        if held := self._suspects[plural]:
            log.warning("%d absent %s are no order yet: their CRD is gone, going, or new", len(held), plural)
        if held and standing.obeyed:
            self.absence_queue.ring(plural, after_s=standing.wait_s)

    def _forget_suspect(self, plural: str, name: str, version: int) -> None:
        if self._suspects[plural].get(name) == version:
            del self._suspects[plural][name]

    def _drop(self, watched: Watched, name: str, version: int) -> None:
        if (change := watched.cache.drop(name, version)) is not None:
            watched.heed(change)

    # ---- what a change means --------------------------------------------------------------------------------------------

    def _heed_node(self, change: Change[NodeSight]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self.world.forget_node(change.name)
        self.node_queue.ring(change.name)
        if old is None or new is None or old.addresses != new.addresses:
            self.peers_queue.ring(ALL)
        if old is None or new is None or (old.labels, old.reachable) != (new.labels, new.reachable):
            self.turn_queue.ring(ALL)
            self._ring_filters()

    def _heed_filter(self, change: Change[FilterSight]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and (old.uid, old.generation) == (new.uid, new.generation):
            if old.report != new.report:  # our own write came as its answer; this is somebody's edit
                self.filter_queue.ring(change.name, after_s=self._filter_work.counts_due_s(change.name))
            return
        if old is not None and (new is None or new.uid != old.uid):
            self._filter_work.forget(old)
        self.world.forget_filters()
        if new is not None and new.order is not None and not self.world.is_stored(new.order.revision):
            self.revision_queue.ring(change.name)
        else:
            self._ring_nodes()
        self.filter_queue.ring(change.name)

    def _heed_dataplane(self, change: Change[DataplaneSight]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self.node_queue.ring(change.name)
        self.turn_queue.ring(ALL)
        for name, after_s in self._concerned(old, new).items():
            self.filter_queue.ring(name, after_s=after_s)

    def _concerned(self, old: DataplaneSight | None, new: DataplaneSight | None) -> dict[str, float]:
        """Filters whose status this changes, and after how many seconds: readiness at once, counts when they are due."""
        before, after = _words(old), _words(new)
        rung: dict[str, float] = {}
        for name in before.keys() | after.keys():
            one, other = before.get(name), after.get(name)
            if one is None or other is None or replace(one, totals=other.totals, rules=other.rules) != other:
                rung[name] = 0.0
            elif one != other:
                rung[name] = max(COUNTS_AFTER_S, self._filter_work.counts_due_s(name))
        if _waits(old) != _waits(new) or _speaks(old) != _speaks(new):
            rung.update(dict.fromkeys(self.world.filters.names(), 0.0))
        return rung

    def _heed_config(self, change: Change[ConfigSight]) -> None:
        if change.name == names.PEERS_CONFIGMAP:
            self.peers_queue.ring(ALL)
        elif change.name == UNINSTALL_CONFIGMAP:
            log.warning("uninstalling: %s", "every node is emptied" if self.world.emptying else "no")
            self._ring_everything()

    def _heed_crds(self) -> None:
        missing, before = self.crds.missing(), self.world.missing
        self.world.missing = missing
        self.crds_changed.set()
        for plural in before - missing:
            self.audit_queue.ring(plural)
            self.absence_queue.ring(plural)
        self._ring_everything()

    def _ring_nodes(self, *, spread_s: float = 0.0) -> None:
        for name in {*self.world.nodes.names(), *self.world.dataplanes.names()}:
            self.node_queue.ring(name, after_s=random.uniform(0, spread_s))

    def _ring_filters(self, *, after_s: float = 0.0) -> None:
        for name in self.world.filters.names():
            self.filter_queue.ring(name, after_s=after_s)

    def _ring_node_again(self, name: str, after_s: float) -> None:
        self.node_queue.ring(name, after_s=after_s)

    def _ring_pods(self) -> None:
        self.pods_queue.ring(ALL, after_s=PODS_AFTER_S)

    # ---- small work -----------------------------------------------------------------------------------------------------

    async def _store_revision(self, name: str) -> None:
        sight = self.world.filters.get(name)
        if sight is None or sight.order is None or self.world.is_stored(sight.order.revision):
            return
        await self._revisions.store(sight)
        self._ring_nodes()
        self.filter_queue.ring(name)

    async def _give_turns(self, _: str) -> None:
        if not self.world.may_plan:
            return
        step = self._turns.step(asyncio.get_running_loop().time())
        for name in step.changed:
            self.node_queue.ring(name)
        if step.changed:
            self._ring_filters()
        if step.again_s is not None:
            self.turn_queue.ring(ALL, after_s=step.again_s)
        for name in step.failed:
            await self._tell_failed(name)

    async def _tell_failed(self, name: str) -> None:
        log.warning("node %s fell silent in its turn", name)
        if (node := self.world.nodes.get(name)) is not None:
            text = "its agent fell silent in its turn to attach or detach a program; see the NodeDataplane and the agent's log"
            await self._herald.tell(Regarding("v1", "Node", name, node.uid), [Note(WARNING, TURN_FAILED, text)])

    async def _write_peers(self, _: str) -> None:
        if not self.world.nodes.complete:
            return
        slices, cluster_info = await observe_api_servers(self._api)
        addresses = [address for node in self.world.nodes for address in node.addresses]
        data = plan_peers(slices, cluster_info, addresses, self.world.config.failsafe)
        seen = self.world.configs.get(names.PEERS_CONFIGMAP)
        if seen is None or any(seen.data.get(key) != value for key, value in data.items()):
            body = {"metadata": {"name": names.PEERS_CONFIGMAP}, "data": data}
            self.take_answer(self._configs, await self._api.apply(self._configs, body))
            metrics.WRITES.labels(self._configs.name).inc()

    async def _sweep(self, _: str) -> None:
        await self._revisions.sweep()
        for sight in self.world.unpublished():
            self.revision_queue.ring(sight.name)

    async def _look_at_pods(self, _: str) -> None:
        labelled = sum(names.NODE_LABEL in node.labels for node in self.world.nodes)
        trouble = await self._pods.trouble(labelled)
        if trouble != self._filter_work.pod_trouble:
            self._filter_work.pod_trouble = trouble
            self._ring_filters()
        if trouble:
            self._ring_pods()


def _words(dataplane: DataplaneSight | None) -> dict[str, Any]:
    return {each.name: each for each in dataplane.status.filters} if dataplane else {}


def _waits(dataplane: DataplaneSight | None) -> bool:
    return dataplane is not None and bool(dataplane.status.waiting_for_turn)


def _speaks(dataplane: DataplaneSight | None) -> bool:
    return dataplane is not None and bool(dataplane.status.observed_spec_hash)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; what it raised is for whoever awaits it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
