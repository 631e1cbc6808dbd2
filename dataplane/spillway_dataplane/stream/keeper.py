"""The rings of one node: opened when asked for, served to applications, followed on their way, known again after a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from spillway_crds.errors import Conflict, KernelError, SpillwayError, Transient
from spillway_dataplane.kernel.cards import zero_copy_refusal
from spillway_dataplane.stream.binding import Refusal
from spillway_dataplane.stream.follower import Followed, Follower
from spillway_dataplane.stream.model import RingOrder, RingStatus
from spillway_dataplane.stream.ring import KeptRing
from spillway_dataplane.stream.server import RingServer
from spillway_dataplane.way.plan import Way

PATIENCE_S = 20.0  # the last holder of a queue may be on its way out, and the kernel gives queues back from a worker
BUSY_RETRY_S = 0.05
LOG = logging.getLogger(__name__)


def _ignore() -> None:
    return None


@dataclass(frozen=True, slots=True)
class _Kept:
    ring: KeptRing
    server: RingServer


class RingKeeper:
    """Keeps rings until they are closed or the process ends; a ring that an application holds outlives both.

    on_change: called from threads of the keeper, without locks, when a ring's state, mode, next hop or holder changed.
    Looks at the network namespace of the thread that makes it.
    """

    def __init__(
        self,
        on_change: Callable[[], None] = _ignore,
        *,
        patience_s: float = PATIENCE_S,
        refusal: Refusal = zero_copy_refusal,
    ) -> None:
        """patience_s: how long `open` waits for a queue that is taken. refusal: of zero copy on a queue, before it is tried."""
        self.on_change = on_change
        self._patience_s, self._refusal = patience_s, refusal
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._follower = Follower()

    def open(self, order: RingOrder) -> RingStatus:
        """Keep a ring; the same order again only says how it does.

        A ring that was open before this process started is never refused: whoever holds it brings it back, and until then, or
        until its queue is free, its state is Starting. Raises NotSupported for a queue or mode that cannot be had, Conflict when
        the queue stays taken, Transient when the interface is missing or the order was closed meanwhile, KernelError.
        """
        kept = self._make(order)
        try:
            if kept.ring.remembered:
                self._try(kept.ring)
            else:
                self._bind(kept.ring)
        except SpillwayError:
            self.close(order.key)
            raise
        kept.server.binds = True
        kept.server.wake()
        return self._status(kept)

    def _make(self, order: RingOrder) -> _Kept:
        with self._making:
            return self._known_or_new(order)

    def _known_or_new(self, order: RingOrder) -> _Kept:
        with self._lock:
            known = self._kept.get(order.key)
        if known is not None and known.ring.order == order:
            return known
        if known is not None:
            self.close(order.key)
        kept = self._new(order)
        with self._lock:
            self._kept[order.key] = kept
        self._follower.follow(order.key, Followed(order.interface, order.parameters.flow, lambda way: self._follow(kept, way)))
        return kept

    def _new(self, order: RingOrder) -> _Kept:
        try:
            ring = KeptRing(order, self._refusal)
            try:
                return _Kept(ring, RingServer(ring, lambda: self._heard(order.key)))
            except OSError:
                ring.close()
                raise
        except OSError as error:
            raise KernelError(errno=error.errno or 0, operation=f"make the socket of {order.label}") from error

    def _follow(self, kept: _Kept, way: Way) -> None:
        before = kept.ring.generation
        kept.ring.follow(way)
        if kept.ring.generation != before:
            kept.server.wake()

    def _try(self, ring: KeptRing) -> None:
        try:
            ring.bind()
        except SpillwayError as error:
            LOG.info("%s: not open yet after a restart: %s", ring.order.label, error)

    def _bind(self, ring: KeptRing) -> None:
        deadline_s = time.monotonic() + self._patience_s
        while True:
            with self._lock:
                other = self._holder_of_queue(ring.order)
                if ring.order.key not in self._kept:
                    raise Transient(operation="open ring", detail=f"{ring.order.label} was given back meanwhile")
            try:
                ring.bind()
                return
            except Conflict as taken:
                if time.monotonic() >= deadline_s:
                    raise taken if other is None else _named(taken, other) from taken
            time.sleep(BUSY_RETRY_S)

    def _holder_of_queue(self, order: RingOrder) -> str | None:
        queue = (order.interface, order.queue)
        others = (kept.ring.order for key, kept in self._kept.items() if key != order.key)
        return next((each.label for each in others if (each.interface, each.queue) == queue), None)

    def close(self, key: str) -> None:
        """Give a ring up. What an application still holds of it ends with that application; an unknown key is no error."""
        with self._lock:
            kept = self._kept.pop(key, None)
            self._told.pop(key, None)
        if kept is not None:
            self._follower.forget(key)
            kept.server.close()
            kept.ring.close()

    def statuses(self) -> tuple[RingStatus, ...]:
        """Say how every ring does, in order of their keys."""
        with self._lock:
            kept = [each for _, each in sorted(self._kept.items())]
        return tuple(self._status(each) for each in kept)

    def _status(self, kept: _Kept) -> RingStatus:
        holder, waiting = kept.server.seats
        return kept.ring.status(holder=holder, waiting=waiting)

    def stop(self) -> None:
        """Leave every ring to the applications that hold it, for the next process to adopt. Afterwards nothing can be opened."""
        self._follower.close()
        with self._lock:
            kept, self._kept = tuple(self._kept.values()), {}
        for each in kept:
            each.server.end()
        for each in kept:
            each.server.close(returning=True)
            each.ring.leave()

    def _heard(self, key: str) -> None:
        """A server has looked at its ring."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            return
        worth = _worth_telling(self._status(kept))
        with self._lock:
            changed = key in self._kept and self._told.get(key) != worth
            if changed:
                self._told[key] = worth
        if changed:
            self.on_change()


def _worth_telling(status: RingStatus) -> tuple[object, ...]:
    return (
        status.state,
        status.reason,
        status.bind_mode,
        status.completed,
        status.mac,
        status.mtu_bytes,
        status.source,
        status.next_hop,
        status.next_hop_mac,
        status.holder,
        status.waiting,
    )


def _named(taken: Conflict, holder: str) -> Conflict:
    return Conflict(subject=taken.subject, owner=f"{holder} holds the queue")
