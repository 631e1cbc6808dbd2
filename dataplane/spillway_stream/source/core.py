"""The core that sends: looks at the machine, pins the sending thread, and moves it when somebody shares the core.

Only the sending thread is pinned; metrics, the ring's keeper and the watch stay where the kernel likes, so that they do not
take the core from it. A given core is taken as it is: whoever names one knows why. Source of figures: proc(5), schedstat.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spillway_stream.cores import CONTENDED, CoreChoice, CoreFacts, Patience, better_core, choose_core
from spillway_stream.source.faults import NotSupported

LOG = logging.getLogger("spillway_stream.source")
STAT = Path("/proc/stat")
SAMPLE_S = 0.25
LOOK_S = 0.5
LOOKS = (2, 10)  # drawn anew for each move: two sources that share a core do not leave it together
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
Tell = Callable[[int, CoreChoice], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of the card, as the node told the container; empty where it did not."""

    near: frozenset[int] = frozenset()
    interrupts: frozenset[int] = frozenset()


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    """Read what the node told. Nonsense counts as nothing: it is advice."""
    return Surroundings(*(_cpus(environment.get(name, "")) for name in ("SPILLWAY_NUMA_CPUS", "SPILLWAY_INTERRUPT_CPUS")))


def _cpus(text: str) -> frozenset[int]:
    with suppress(ValueError):
        return frozenset(int(each) for each in text.split(",") if each)
    return frozenset()


def check_core(given: int | None) -> None:
    """Raises NotSupported for a given core that this process may not use. Before a ring is taken: nobody has to wait for it."""
    allowed = os.sched_getaffinity(0)
    if given is not None and given not in allowed:
        raise NotSupported(f"core {given} is none that this pod may use; it may use {_listed(allowed)}")


def _listed(cpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


@contextmanager
def on_a_core(given: int | None, around: Surroundings, tell: Tell) -> Iterator[None]:
    """Pin the calling thread for the block, and watch over it unless its core was given. tell: where it is, each time."""
    before, thread = os.sched_getaffinity(0), threading.get_native_id()
    watch = None if given is not None else CoreWatch(thread, around, tell)
    if watch is None:
        assert given is not None
        pin(thread, given)
        tell(given, CoreChoice.GIVEN)
    else:
        watch.begin()
    try:
        yield
    finally:
        if watch is not None:
            watch.stop()
        with suppress(OSError):
            os.sched_setaffinity(0, before)


def pin(thread: int, core: int) -> None:
    """Raises NotSupported for a core that was taken from this pod just now."""
    try:
        os.sched_setaffinity(thread, {core})
    except OSError as error:
        raise NotSupported(f"core {core} is none that this pod may use") from error


class CoreWatch:
    """Chooses the core of one thread, then looks twice a second whether somebody shares it, or took it away."""

    def __init__(self, thread: int, around: Surroundings, tell: Tell) -> None:
        self._thread, self._around, self._tell = thread, around, tell
        self._patience = Patience(random.randint(*LOOKS))
        self._core, self._moved_s = -1, 0.0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._run, name="core", daemon=True)

    def begin(self) -> None:
        """Pin the thread, which is the calling one, and go on watching in a thread that is not pinned."""
        allowed = frozenset(os.sched_getaffinity(0))
        self._watcher.start()  # before the pinning: it keeps the whole mask, and so sees what this pod may use
        self._settle(allowed, choose_core(self._facts(allowed, idle_over(SAMPLE_S))))

    def stop(self) -> None:
        """Move it no more."""
        self._stop.set()
        self._watcher.join()

    def _settle(self, allowed: frozenset[int], core: int) -> None:
        pin(self._thread, core)
        self._core, self._moved_s = core, time.monotonic()
        choice = CoreChoice.CPUSET if len(allowed) == 1 else CoreChoice.CHOSEN
        LOG.info("core %d of %s", core, _listed(allowed))
        self._tell(core, choice)

    def _facts(self, allowed: frozenset[int], idle: Mapping[int, float]) -> CoreFacts:
        return CoreFacts(allowed, idle, self._around.near, self._around.interrupts, random.getrandbits(16))

    def _run(self) -> None:
        """A mistake here must not end the picture: it is logged, and the thread stays where it is."""
        try:
            spent = times_of(self._thread)
            while not self._stop.wait(LOOK_S):
                now = times_of(self._thread)
                if self._core >= 0:
                    self._look(spent, now)
                spent = now
        except (OSError, ValueError, NotSupported) as error:
            LOG.warning("the core is watched no longer: %s", error)

    def _look(self, before: Times, now: Times) -> None:
        allowed = frozenset(os.sched_getaffinity(0))
        if os.sched_getaffinity(self._thread) != {self._core}:  # the pod's cores were changed under it
            self._settle(allowed, choose_core(self._facts(allowed, idle_over(SAMPLE_S))))
            return
        self._patience = self._patience.after(now.waited_since(before), time.monotonic() - self._moved_s)
        if self._patience.is_over:
            self._leave(allowed)

    def _leave(self, allowed: frozenset[int]) -> None:
        """Look once more, closely: the one that shared the core may have left it just now."""
        before = times_of(self._thread)
        idle = idle_over(SAMPLE_S)
        now = times_of(self._thread)
        still = now.waited_since(before) > CONTENDED
        core = better_core(self._core, now.ran_since(before), self._facts(allowed, idle)) if still else None
        if core is not None:
            self._settle(allowed, core)
            self._patience = self._patience.moved(random.randint(*LOOKS), FIRST_PAUSE_S, LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Times:
    """Of a thread, in nanoseconds: the moment, how long it has run, how long it was ready to and did not."""

    at_ns: int
    ran_ns: int
    waited_ns: int

    def ran_since(self, before: Times) -> float:
        """As a share of the time between."""
        return (self.ran_ns - before.ran_ns) / max(1, self.at_ns - before.at_ns)

    def waited_since(self, before: Times) -> float:
        """As a share of the time between."""
        return (self.waited_ns - before.waited_ns) / max(1, self.at_ns - before.at_ns)


def times_of(thread: int) -> Times:
    """Raises OSError where the kernel keeps no such figures. Source: Documentation/scheduler/sched-stats.rst."""
    ran_ns, waited_ns, _ = map(int, Path(f"/proc/self/task/{thread}/schedstat").read_text().split())
    return Times(time.monotonic_ns(), ran_ns, waited_ns)


def idle_over(seconds: float) -> dict[int, float]:
    """What share of the next moment each core of the machine is idle; nothing where that cannot be read."""
    try:
        before = read_ticks(STAT.read_text())
        time.sleep(seconds)
        after = read_ticks(STAT.read_text())
    except (OSError, ValueError):
        return {}
    return {core: _share(before[core], after[core]) for core in after if core in before}


def read_ticks(text: str) -> dict[int, tuple[int, int]]:
    """(idle, all) of each core since boot. Source: proc_stat(5): idle and iowait are the fourth and fifth figure."""
    lines = (line.split() for line in text.splitlines() if line.startswith("cpu") and line[3:4].isdigit())
    return {int(each[0][3:]): (int(each[4]) + int(each[5]), sum(map(int, each[1:9]))) for each in lines}


def _share(before: tuple[int, int], after: tuple[int, int]) -> float:
    passed = after[1] - before[1]
    return (after[0] - before[0]) / passed if passed > 0 else 1.0  # a core asleep ticks late
