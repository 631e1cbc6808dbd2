"""The work queues and who rings them. Law: a bell carries no news; whoever runs computes from the caches anew."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from spillway_operator import metrics
from spillway_operator.workqueue import WorkQueue
from spillway_operator.world import World

WRITES_IN_FLIGHT = 16
STATUS_INTERVAL_S = 0.5  # between two writes of one filter's status when nodes become ready or fail
AUDIT_INTERVAL_S = 5.0
PODS_AFTER_S = 3.0  # an agent that is merely starting is no trouble
PODS_INTERVAL_S = 5.0
WAITING_AFTER_S = 3.0  # a pod that merely starts is not told anything
WAITING_INTERVAL_S = 5.0
ALL = "all"  # the one key of queues that have only one
Work = Callable[[str], Awaitable[None]]


class Bells:
    """works: what each queue runs, by its name; to be filled before the queues are served."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.works: dict[str, Work] = {}
        self.node = self._queue("node", concurrency=WRITES_IN_FLIGHT)
        self.filter = self._queue("filter", concurrency=4, min_interval_s=STATUS_INTERVAL_S)
        self.revision = self._queue("revision", concurrency=4)
        self.claim = self._queue("claim", concurrency=4)
        self.stream = self._queue("stream", concurrency=4, min_interval_s=STATUS_INTERVAL_S)
        self.source = self._queue("source", concurrency=4)
        self.waiting = self._queue("waiting", concurrency=2, min_interval_s=WAITING_INTERVAL_S)
        self.turn = self._queue("turn")
        self.absence = self._queue("absence", concurrency=2)
        self.audit = self._queue("audit", min_interval_s=AUDIT_INTERVAL_S)
        self.peers = self._queue("peers", min_interval_s=1.0)
        self.sweep = self._queue("sweep", min_interval_s=5.0)
        self.pods = self._queue("pods", min_interval_s=PODS_INTERVAL_S)

    def _queue(self, name: str, **limits: Any) -> WorkQueue:
        async def work(key: str) -> None:
            await self.works[name](key)

        return WorkQueue(name, work, done=metrics.note_run, **limits)

    def queues(self) -> tuple[WorkQueue, ...]:
        """All of them."""
        quick = (self.node, self.filter, self.revision, self.turn, self.absence, self.claim, self.stream, self.source)
        return (*quick, self.waiting, self.audit, self.peers, self.sweep, self.pods)

    def ring_node(self, name: str, after_s: float) -> None:
        """Ask for a run of one node later."""
        self.node.ring(name, after_s=after_s)

    def ring_nodes(self, *, spread_s: float = 0.0) -> None:
        """Every node that there is or that has an order."""
        for name in {*self._world.nodes.names(), *self._world.dataplanes.names()}:
            self.node.ring(name, after_s=random.uniform(0, spread_s))

    def ring_filters(self, *, after_s: float = 0.0) -> None:
        """Every filter's status."""
        for name in self._world.filters.names():
            self.filter.ring(name, after_s=after_s)

    def ring_unpublished(self) -> None:
        """Every filter whose revision is not stored yet."""
        for sight in self._world.unpublished():
            self.revision.ring(sight.name)

    def ring_pods(self) -> None:
        """A selected node has no agent that reports."""
        self.pods.ring(ALL, after_s=PODS_AFTER_S)

    def ring_streams(self) -> None:
        """Every stream's claim, its source, and then its status."""
        for name in self._world.streams.names():
            self.claim.ring(name)
            self.source.ring(name)
            self.stream.ring(name)

    def ring_claim(self, name: str, after_s: float) -> None:
        """Ask for a run of one stream's claim later."""
        self.claim.ring(name, after_s=after_s)

    def ring_source(self, name: str, after_s: float) -> None:
        """Ask for a run of one stream's source pod later."""
        self.source.ring(name, after_s=after_s)

    def ring_stream(self, name: str, after_s: float) -> None:
        """Ask for a run of one stream's status later."""
        self.stream.ring(name, after_s=after_s)

    def ring_waiting(self, namespace: str, after_s: float) -> None:
        """Ask for another look at a namespace's pods later."""
        self.waiting.ring(namespace, after_s=after_s)

    def ring_all_waiting(self) -> None:
        """Every namespace where a claim has no queue: maybe a pod waits for one."""
        wanting = (each.namespace for each in self._world.claims if not each.devices)
        for namespace in {*wanting, *(each.namespace for each in self._world.streams)}:
            self.waiting.ring(namespace, after_s=WAITING_AFTER_S)

    def ring_everything(self) -> None:
        """Something changed that concerns all orders."""
        self.ring_nodes()
        self.ring_filters()
        self.ring_unpublished()
        self.ring_streams()
        self.turn.ring(ALL)
