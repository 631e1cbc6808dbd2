"""The agent's process: it waits for the node's lock, acts while it has it, and hands over when a newer agent asks.

Nothing here ends what runs in the kernel: an agent that stops, crashes or is updated leaves every program where it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from queue import Empty

from spillway_dataplane.builder import Builder, Compile
from spillway_dataplane.conductor import Conductor
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kept.store import Store
from spillway_dataplane.lock import NodeLock
from spillway_dataplane.memory import Memory
from spillway_dataplane.metrics import Snapshot
from spillway_dataplane.ports import Kernel
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, LockTaken, Source, Stop
from spillway_dataplane.tenure import BEAT_S, Pulse, Tenure, Watch

LOG = logging.getLogger(__name__)
DEAD_AFTER_S = 60.0


class Agent:
    """One process. make_source: a fresh source for each time that it acts. watch: puts LinksChanged into the inbox."""

    def __init__(
        self, settings: Settings, *, kernel: Kernel, compile_source: Compile, make_source: Callable[[], Source], watch: Watch
    ) -> None:
        self._settings, self._kernel, self._compile = settings, kernel, compile_source
        self._make_source, self._watch = make_source, watch
        self._pulse = Pulse(beat=time.monotonic())
        self.store = Store(settings.state)
        self.store.prepare()
        self.inbox: Inbox = Inbox()

    @property
    def alive(self) -> bool:
        """Whether the loop goes round; one that waits for the lock is alive too."""
        return time.monotonic() - self._pulse.beat < DEAD_AFTER_S

    @property
    def ready(self) -> bool:
        """Whether this agent has adopted the node, and once brought it to what was ordered."""
        return self._pulse.restored

    @property
    def snapshot(self) -> Snapshot:
        """The latest figures."""
        return self._pulse.snapshot

    def run(self) -> None:
        """Wait, act, hand over, and wait again, until told to stop."""
        lock = NodeLock(self.store)
        try:
            lock.request(self.inbox, ask=True)
            while self._wait_for_lock():
                if self._act(lock):
                    return
                self._pulse = replace(self._pulse, snapshot=replace(self._pulse.snapshot, acting=False))
                lock.release()
                lock.request(self.inbox, ask=False)
        finally:
            lock.close()

    def _wait_for_lock(self) -> bool:
        """Return True once the lock is ours, False when it is time to stop. What else happens meanwhile is not ours to answer."""
        while True:
            try:
                wakeup = self.inbox.get(timeout=BEAT_S)
            except Empty:
                wakeup = None
            self._pulse = replace(self._pulse, beat=time.monotonic())
            if isinstance(wakeup, Stop):
                return False
            if isinstance(wakeup, LockTaken):
                return True

    def _act(self, lock: NodeLock) -> bool:
        memory = Memory(self.store)
        memory.restore()
        artifacts = ArtifactCache(self.store)
        builder = Builder(self._kernel, artifacts, self._compile, self.inbox)
        conductor = Conductor(self._kernel, memory, artifacts, builder, self._settings.node_addresses)
        tenure = Tenure(
            kernel=self._kernel,
            conductor=conductor,
            builder=builder,
            source=self._make_source(),
            inbox=self.inbox,
            tell=self._tell,
            wanted_by_another=lambda: lock.wanted_by_another,
        )
        with self._watch(self.inbox):
            return tenure.run()

    def _tell(self, pulse: Pulse) -> None:
        self._pulse = pulse
