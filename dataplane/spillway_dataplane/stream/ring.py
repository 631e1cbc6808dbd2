"""One ring as its node keeps it: the kernel's socket, the two pages, what was counted. No clients here; seats.py has them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from spillway_crds.errors import KernelError, SpillwayError
from spillway_crds.streams import BindMode
from spillway_dataplane.kernel.xsk import adopt_xsk, socket_cookie
from spillway_dataplane.kernel.zero_copy import QueueWatch
from spillway_dataplane.stream.binding import Bound, Refusal, bind_ring
from spillway_dataplane.stream.counting import Counting
from spillway_dataplane.stream.ledger import Ledger
from spillway_dataplane.stream.model import RingOrder, RingStatus
from spillway_dataplane.stream.pages import HeaderPage, ReportPage, page_of
from spillway_dataplane.stream.telling import is_disordered, offer_of, status_of, with_kernel
from spillway_dataplane.way.plan import Way
from spillway_dataplane.way.state import RingState
from spillway_stream.wire import encode_ring

STARTING = Way(RingState.STARTING, "the ring is not open yet")


class KeptRing:
    """A ring, bound or wanted. Any thread may call; nothing here waits for an application.

    generation: counts the kernel sockets that this ring has had; a holder of an earlier one holds nothing.
    """

    def __init__(self, order: RingOrder, refusal: Refusal) -> None:
        """Make the pages. The kernel is not asked before `bind` or `adopt`."""
        self.order = order
        self.generation = 0
        self._refusal = refusal
        self._binding, self._lock = threading.Lock(), threading.Lock()
        self._bound: Bound | None = None
        self._watch: QueueWatch | None = None
        self._closed = False
        self._trouble = ""
        self._way, self._shown = STARTING, STARTING
        self._page, self._report = HeaderPage(), ReportPage()
        self._ledger = Ledger(order.directory, self._report)

    @property
    def remembered(self) -> bool:
        """Whether this ring was open earlier since boot: an application may hold it and bring it back."""
        return self._ledger.record is not None

    @property
    def bound(self) -> bool:
        """Whether the kernel has given the queue to this ring."""
        return self._bound is not None

    def bind(self) -> None:
        """Open the ring unless it is open. Raises as `bind_ring`."""
        with self._binding:
            if self._bound is not None or self._closed:
                return
            try:
                bound = self._bind()
            except SpillwayError as error:
                with self._lock:
                    self._trouble = str(error)
                    self._show()
                raise
            self._take(bound, self._ledger.recorded().next_holder())

    def _bind(self) -> Bound:
        try:
            return bind_ring(self.order, self._refusal)
        except OSError as error:  # netlink without memory or descriptors
            raise KernelError(errno=error.errno or 0, operation="open ring", ifname=self.order.interface) from error

    def adopt(self, xsk_fd: int, umem_fd: int) -> bool:
        """Take over the ring that an application held while its node's driver was away. False if it is not this ring.

        Known again by the numbers that the kernel gave to socket and memory, which nobody else's can have.
        """
        with self._binding:
            record = self._ledger.record
            if self._bound is not None or self._closed or record is None or not record.is_of(xsk_fd, umem_fd):
                return False
            try:
                xsk = adopt_xsk(xsk_fd, umem_fd, record.shape)
            except OSError:
                return False
            if not xsk.is_bound():  # its interface left meanwhile
                xsk.close()
                return False
            mode = BindMode.ZERO_COPY if xsk.zero_copy else BindMode.COPY
            with suppress(KernelError):
                self._take(Bound(xsk, record.ifindex, mode, record.note), self._ledger.recorded())
            return self._bound is not None

    def is_this(self, xsk_fd: int) -> bool:
        """Whether a descriptor is this ring's socket."""
        with self._lock:
            return self._bound is not None and socket_cookie(xsk_fd) == self._bound.xsk.cookie

    def _take(self, bound: Bound, counting: Counting) -> None:
        watch = self._watch_of(bound)
        with self._lock:
            self._bound, self._watch, self._trouble = bound, watch, ""
            self.generation += 1
            self._ledger.begin(bound, counting)
            self._show()

    def _watch_of(self, bound: Bound) -> QueueWatch | None:
        if bound.mode is not BindMode.ZERO_COPY:
            return None
        try:
            return QueueWatch(self.order.interface, self.order.queue, bound.xsk)
        except OSError as error:
            bound.xsk.close()
            raise KernelError(
                errno=error.errno or 0, operation="count what a queue receives", ifname=self.order.interface
            ) from error

    def lose(self, why: str) -> None:
        """Give up a socket that is of no use any more; the ring is wanted again."""
        with self._binding, self._lock:
            if self._bound is None:
                return
            self._bound.xsk.close()
            self._bound, self._watch, self._trouble = None, None, why
            self._ledger.lose()
            self.generation += 1
            self._show()

    def inspect(self) -> None:
        """Look whether a queue in zero copy still receives nothing for others; a ring that does is given up."""
        with self._binding:
            told = self._watch.look() if self._watch is not None else ""
        if told:
            self.lose(f"zero copy ended: {told}")

    def offer(self, *, resumed: bool) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the message that hands the ring over, and copies of its descriptors to send and close.

        None while nothing is bound, or while no more descriptors can be had.

        Copies, because another thread may lose the ring meanwhile, and a number that is used again must never reach a client.
        """
        with self._lock:
            if self._bound is None:
                return None
            xsk = self._bound.xsk
            try:
                if not resumed:
                    self._ledger.next_holder(self._bound, time.monotonic())
                shared = _copies((xsk.fd, xsk.umem_fd, self._page.fd, self._report.fd))
            except OSError:
                return None
            return encode_ring(offer_of(self.order, self._bound)), shared

    def released(self) -> None:
        """Look at what a holder left. Indices that no order of events could have left make the ring useless to the next."""
        with self._lock:
            disordered = self._bound is not None and is_disordered(self._bound.xsk)
        if disordered:
            self.lose("its holder left the ring's indices in disorder: it is opened anew")

    def follow(self, way: Way) -> None:
        """Show where packets go now. An interface that went, or came back as another, takes its rings along."""
        with self._lock:
            self._way = way
            stale = self._bound is not None and not (way.ifindex == self._bound.ifindex and self._bound.xsk.is_bound())
        if stale:
            self.lose(f"the interface {self.order.interface} left the node")
        with self._lock:
            self._show()

    def _show(self) -> None:
        if self._closed:
            return
        self._shown = self._way if self._bound is not None else self._unbound()
        self._page.write(page_of(self._shown))

    def _unbound(self) -> Way:
        state = RingState.GONE if self.generation else RingState.STARTING
        return Way(state, self._trouble or STARTING.reason)

    def sample(self, now_s: float) -> None:
        """Read report and kernel. now_s: monotonic."""
        with self._lock:
            if not self._closed:
                self._ledger.sample(self._bound, now_s)

    def status(self, *, holder: str = "", waiting: int = 0) -> RingStatus:
        """Say how the ring does, read back from the kernel."""
        with self._lock:
            told = status_of(self.order, self._shown, self._ledger.counting)
            told = with_kernel(told, self._bound) if self._bound is not None else told
        return replace(told, holder=holder, waiting=waiting)

    def close(self) -> None:
        """Give the ring up. A holder keeps its descriptors; its page says that the claim is gone."""
        self._end(Way(RingState.GONE, "the claim was given back"))
        self._ledger.remove()

    def leave(self) -> None:
        """Leave the ring to who holds it, for the next process of this node to adopt."""
        with self._lock:
            if self._bound is not None:
                self._ledger.write(self._bound)
        self._end(None)

    def _end(self, last: Way | None) -> None:
        with self._binding, self._lock:
            if self._closed:
                return
            self._closed = True
            if self._bound is not None:
                self._bound.xsk.close()
            self._bound = self._watch = None
            if last is not None:
                self._page.write(page_of(last))
            self._page.close()
            self._report.close()


def _copies(descriptors: Iterable[int]) -> tuple[int, ...]:
    made: list[int] = []
    try:
        for each in descriptors:
            made.append(os.dup(each))  # noqa: PERF401 - what was made is closed when the next cannot be
    except OSError:
        for each in made:
            os.close(each)
        raise
    return tuple(made)
