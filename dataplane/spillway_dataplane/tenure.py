"""The loop of the one agent that acts on a node, from taking the lock to giving it away.

First the node becomes what its disk says, then the API is asked. Every wake-up leads to a whole look at the node, so that no
change is missed: what does not wake us (the end of somebody else's bpf_link, for one) is seen LOOK_EVERY_S later at most. So
often counters are read, for the metrics; in a large cluster they are reported less often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import Empty

from spillway_crds.errors import SpillwayError
from spillway_crds.orders import NodeStatus
from spillway_dataplane.builder import Builder
from spillway_dataplane.conductor import Conductor, with_maps
from spillway_dataplane.filter.program import InterfaceCounts
from spillway_dataplane.metrics import Snapshot
from spillway_dataplane.ports import Kernel
from spillway_dataplane.report import next_counts_at, without_counts
from spillway_dataplane.source import Inbox, Source, Stop, Wakeup

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 5.0
BEAT_S = 10.0  # the loop shows at least so often that it lives
RESTORE_S = 20.0  # how long the compiler, after a lost cache, may keep the API waiting
GOODBYE_S = 2.0
AFTER_MISTAKE_S = 5.0
COMPILING_S = 3.0  # a program that is ready sooner is no news while it is being made
Watch = Callable[[Inbox], AbstractContextManager[object]]  # of the kernel's network tables


@dataclass(frozen=True, slots=True)
class Pulse:
    """What others may know of the loop. beat: monotonic time of its last turn. restored: the node was once what it should be."""

    beat: float = 0.0
    restored: bool = False
    snapshot: Snapshot = field(default_factory=Snapshot)


class Tenure:
    """One agent's time with the lock. tell: takes each Pulse. wanted_by_another: whether to hand over."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        conductor: Conductor,
        builder: Builder,
        source: Source,
        inbox: Inbox,
        tell: Callable[[Pulse], None],
        wanted_by_another: Callable[[], bool],
    ) -> None:
        self._kernel, self._conductor, self._builder, self._source, self._inbox = kernel, conductor, builder, source, inbox
        self._tell, self._wanted_by_another = tell, wanted_by_another
        self._pulse = Pulse()
        self._seen: NodeStatus | None = None
        self._reported: NodeStatus | None = None
        self._settled_at = 0.0
        self._changed_at = self._counted_at = self._looked_at = time.monotonic()
        self._again_at = 0.0
        self._building_since = 0.0

    def run(self) -> bool:
        """Act until told to stop (True), or until a newer agent asks for the node (False)."""
        self._builder.start()
        try:
            if self._restore():
                return True
            self._source.start(self._inbox, self._conductor.memory.known)
            try:
                return self._loop()
            finally:
                self._turn(time.monotonic(), look=True, counts=True)
                self._source.stop(GOODBYE_S)
        finally:
            self._builder.stop()

    def _restore(self) -> bool:
        """Converge on what the disk says. Returns whether it is time to stop already."""
        deadline = time.monotonic() + RESTORE_S
        self._turn(time.monotonic(), look=True, counts=True)
        while not self._conductor.settled and time.monotonic() < deadline:
            if self._take(self._wait(until=deadline)):
                return True
            self._turn(time.monotonic(), look=False, counts=False)
        self._pulse = replace(self._pulse, restored=True)
        self._say()
        LOG.info("the last order is in force" if self._conductor.memory.order is not None else "there is no order yet")
        return False

    def _loop(self) -> bool:
        while True:
            wakeups = self._wait(until=self._next_at())
            if self._take(wakeups):
                return True
            if self._wanted_by_another():
                LOG.info("handing over to a newer agent")
                return False
            now = time.monotonic()
            counts = now >= self._counts_at()
            look = counts or now >= self._looked_at + LOOK_EVERY_S
            if wakeups or look or now >= self._next_at():
                self._turn(now, look=look, counts=counts)
                self._say()
            else:
                self._beat()

    def _take(self, wakeups: list[Wakeup]) -> bool:
        now = time.monotonic()
        for wakeup in wakeups:
            try:
                self._conductor.take(wakeup, now)
            except Exception:
                LOG.exception("a wake-up cannot be used: %s", type(wakeup).__name__)
        return any(isinstance(each, Stop) for each in wakeups)

    def _turn(self, now: float, *, look: bool, counts: bool) -> None:
        """Settle and report. A mistake of ours ends neither the loop nor what runs: it is logged and tried again.

        look: read the counters. counts: they are due to be reported.
        """
        self._again_at = 0.0
        try:
            if look:
                self._conductor.read_counts()
                self._looked_at = now
            if counts:
                self._counted_at = now
            self._conductor.settle(now)
            if self._conductor.settled:
                self._settled_at = time.time()
            elif self._conductor.troubled:
                self._again_at = now + AFTER_MISTAKE_S
            self._report(now, counts=counts)
        except Exception:
            self._conductor.foreman.errors += 1
            self._again_at = now + AFTER_MISTAKE_S
            LOG.exception("this turn failed; what runs in the kernel goes on")

    def _report(self, now: float, *, counts: bool) -> None:
        if self._still_compiling(now):
            return
        status = self._conductor.status(self._reported, utc_now())
        if status is None:
            return
        self._seen = status
        changed = self._reported is None or without_counts(status) != without_counts(self._reported)
        if changed:
            self._changed_at = now
        if (changed or counts) and status != self._reported:
            self._reported = status
            self._source.report(status)

    def _still_compiling(self, now: float) -> bool:
        """Whether a report had better wait for the compiler, which takes a fraction of a second."""
        if not self._conductor.foreman.building:
            self._building_since = 0.0
            return False
        self._building_since = self._building_since or now
        news_at = self._building_since + COMPILING_S
        if now >= news_at:
            return False
        self._again_at = self._again_at or news_at
        return True

    def _counts_at(self) -> float:
        order = self._conductor.memory.order
        return next_counts_at(self._changed_at, self._counted_at, order.report_seconds if order is not None else 5)

    def _next_at(self) -> float:
        retry_at = self._conductor.foreman.refusals.next_at(time.monotonic())
        return min(each for each in (self._counts_at(), self._looked_at + LOOK_EVERY_S, retry_at, self._again_at) if each)

    def _wait(self, *, until: float) -> list[Wakeup]:
        """Wait for a wake-up, or for the time; return all that wait."""
        found: list[Wakeup] = []
        timeout_s = min(BEAT_S, max(0.0, until - time.monotonic()))
        try:
            found.append(self._inbox.get(timeout=timeout_s))
            while True:
                found.append(self._inbox.get_nowait())
        except Empty:
            return found

    def _say(self) -> None:
        self._pulse = replace(self._pulse, snapshot=self._snapshot())
        self._beat()

    def _beat(self) -> None:
        self._pulse = replace(self._pulse, beat=time.monotonic())
        self._tell(self._pulse)

    def _snapshot(self) -> Snapshot:
        foreman = self._conductor.foreman
        return Snapshot(
            filters=self._seen.filters if self._seen is not None else (),
            interfaces=self._interface_counts(),
            settled_at=self._settled_at,
            errors=foreman.errors,
            compile_seconds=foreman.compile_seconds,
            api_connected=self._source.connected,
            api_errors=self._source.errors,
            acting=True,
        )

    def _interface_counts(self) -> dict[str, InterfaceCounts]:
        situation = self._conductor.situation
        found: dict[str, InterfaceCounts] = {}
        for ifname in with_maps(situation.seen.node) if situation is not None else ():
            try:
                found[ifname] = self._kernel.read_interface_counts(ifname)
            except SpillwayError as error:
                LOG.debug("%s", error)
        return found


def utc_now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
