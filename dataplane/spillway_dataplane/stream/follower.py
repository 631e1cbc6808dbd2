"""Follow the ways of all streams: look again whenever the kernel's tables change, and keep next hops resolved."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from spillway_crds.streams import Flow
from spillway_dataplane.kernel.waynews import InUse, WayNews
from spillway_dataplane.kernel.ways import observe_way, use_neighbour
from spillway_dataplane.way.plan import Way, plan_way
from spillway_dataplane.way.state import RingState

USE_EVERY_S = 1.0  # as often as a socket in use would, for all that matters to the kernel's timers
SETTLE_S = 0.02  # one change is several events
REST_S = 0.02
REST_TIMES = 9  # a look rests nine times as long as it took: a storm of events costs a tenth of a core at most
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """A stream whose way is followed. tell: gets each look's way, also when it is the same; it must not raise."""

    interface: str
    flow: Flow
    tell: Callable[[Way], None]


class Follower:
    """A thread that follows ways in the network namespace of the thread that makes it, until it is closed."""

    def __init__(self) -> None:
        self._news = WayNews()
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}
        self._ways: dict[str, Way] = {}
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._news.fileno(), select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="spillway-ways", daemon=True)
        self._thread.start()

    def follow(self, key: str, followed: Followed) -> None:
        """Tell a stream's way now, and whenever it was looked at again."""
        with self._lock:
            self._followed[key] = followed
            self._look_at(key, followed)

    def forget(self, key: str) -> None:
        """Tell no more; once this returns, `tell` is not running either."""
        with self._lock:
            self._followed.pop(key, None)
            self._ways.pop(key, None)

    def close(self) -> None:
        """End the thread."""
        if self._stop < 0:
            return
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._news.close()
        os.close(self._stop)
        self._stop = -1

    def _run(self) -> None:
        used_s = time.monotonic()
        while not self._stopped(max(0.0, used_s + USE_EVERY_S - time.monotonic())):
            try:
                if self._concerned():
                    self._look()
                if time.monotonic() - used_s >= USE_EVERY_S:
                    used_s = time.monotonic()
                    self._use_neighbours()
            except Exception:  # every stream's only watcher: it must not end
                LOG.exception("following the ways of streams")
                time.sleep(REST_S)

    def _stopped(self, wait_s: float) -> bool:
        return self._stop in {descriptor for descriptor, _ in self._poll.poll(wait_s * 1000)}

    def _concerned(self) -> bool:
        used = self._in_use()
        if not self._news.read(used):
            return False
        time.sleep(SETTLE_S)
        self._news.read(used)
        return True

    def _in_use(self) -> InUse:
        with self._lock:
            ifindexes = frozenset(way.next_hop.ifindex for way in self._ways.values() if way.next_hop)
            return InUse(ifindexes, frozenset(each.flow.destination for each in self._followed.values()))

    def _look(self) -> None:
        began = time.monotonic()
        with self._lock:
            for key, followed in self._followed.items():
                self._look_at(key, followed)
        time.sleep(max(REST_S, REST_TIMES * (time.monotonic() - began)))

    def _look_at(self, key: str, followed: Followed) -> None:
        try:
            way = plan_way(followed.interface, followed.flow, observe_way(followed.interface, followed.flow))
        except OSError as error:  # no memory or descriptor for a question: what was told stays until it can be asked again
            LOG.warning("the way of %s cannot be looked at: %s", key, error)
            self._ways.pop(key, None)
            return
        self._ways[key] = way
        if way.state is RingState.UNRESOLVED:
            self._use(way)
        followed.tell(way)

    def _use_neighbours(self) -> None:
        with self._lock:
            for key, followed in self._followed.items():
                if key not in self._ways:
                    self._look_at(key, followed)
            ways = tuple(self._ways.values())
        for way in ways:
            self._use(way)

    def _use(self, way: Way) -> None:
        if way.next_hop is not None:
            with suppress(OSError):  # shown as unresolved, and done again
                use_neighbour(way.next_hop.ifindex, way.next_hop.address)
