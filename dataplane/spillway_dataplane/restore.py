"""Put the last order back in force from the node's disk, without any API: what `spillway restore` and the static pod do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty

from spillway_crds.orders import NodeStatus
from spillway_dataplane.builder import Builder, Compile
from spillway_dataplane.conductor import Conductor
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kept.store import Store
from spillway_dataplane.lock import NodeLock
from spillway_dataplane.memory import Memory
from spillway_dataplane.ports import Kernel
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox
from spillway_dataplane.tenure import utc_now

LOG = logging.getLogger(__name__)
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it. acting: an agent holds the node's lock, so there was nothing to do. status None: no order on disk."""

    acting: bool = False
    status: NodeStatus | None = None


def restore(settings: Settings, *, kernel: Kernel, compile_source: Compile, timeout_s: float = 120.0) -> Restored:
    """Bring the node to the order on its disk, once, and give the lock back: an agent that comes later adopts it.

    What was attached before is attached again without a turn; what never was stays for the agent. Waits for interfaces that are
    not there yet, until the time is up or an agent asks for the node.
    """
    store = Store(settings.state)
    store.prepare()
    lock = NodeLock(store)
    try:
        if not lock.try_take():
            LOG.info("an agent acts on this node: nothing to restore")
            return Restored(acting=True)
        memory = Memory(store)
        memory.restore()
        deadline = time.monotonic() + timeout_s
        status = _converge(
            memory, settings, kernel, compile_source, lambda: lock.wanted_by_another or time.monotonic() > deadline
        )
        return Restored(status=status)
    finally:
        lock.close()


def _converge(
    memory: Memory, settings: Settings, kernel: Kernel, compile_source: Compile, enough: Callable[[], bool]
) -> NodeStatus | None:
    inbox = Inbox()
    artifacts = ArtifactCache(memory.store)
    builder = Builder(kernel, artifacts, compile_source, inbox)
    conductor = Conductor(kernel, memory, artifacts, builder, settings.node_addresses)
    builder.start()
    try:
        conductor.settle(time.monotonic())
        while not _done(conductor) and not enough():
            try:
                conductor.take(inbox.get(timeout=RETRY_S), time.monotonic())
            except Empty:
                pass  # an interface may have come meanwhile
            conductor.settle(time.monotonic())
        conductor.read_counts()
        return conductor.status(None, utc_now())
    finally:
        builder.stop()


def _done(conductor: Conductor) -> bool:
    order, situation = conductor.memory.order, conductor.situation
    if order is None:
        return True
    if not conductor.settled or situation is None:
        return False
    present = {each.name for each in situation.seen.node.interfaces}
    return conductor.memory.records.interfaces.keys() <= present
