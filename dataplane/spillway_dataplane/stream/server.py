"""A ring's unix socket: one client holds the ring, others wait for it, and it goes to the next when the holder's connection ends.

One thread for each ring. A hostile client can make that thread wait, as by sending a descriptor whose close() lingers: its own
ring's thread and no other. What it can make us keep is bounded: so many connections, one message of each, two descriptors.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from spillway_crds.errors import NotSupported, SpillwayError
from spillway_dataplane.stream.listening import Listener
from spillway_dataplane.stream.ring import KeptRing
from spillway_dataplane.stream.seats import Seats

LOOK_EVERY_S = 1.0
INSPECT_EVERY_S = 5.0  # tables of a card whose queue is in zero copy
REFUSED_S = 10.0
RETRY_EVERY_S = 0.2  # while somebody waits for a queue that is not free yet
JOIN_S = 2.0
LOG = logging.getLogger(__name__)


class RingServer:
    """Serves one ring until it is closed. on_change: called from the thread, with no lock held."""

    def __init__(self, ring: KeptRing, on_change: Callable[[], None]) -> None:
        """Raises OSError if the socket cannot be made or no thread can be had."""
        self.ring = ring
        self.binds = False  # whether the thread opens the ring when it is not open
        self._on_change = on_change
        self._listener, self._seats = Listener(ring.order.directory), Seats(ring)
        self._stop, self._waking = False, threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._taken = ("", 0)  # for other threads
        self._tried_s, self._inspected_s = 0.0, 0.0
        self._fault = ""  # what was logged last, and has not gone since
        self._thread = threading.Thread(target=self._run, name=f"ring {ring.order.interface}-tx{ring.order.queue}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # a limit on processes, or no memory for a stack
            self._let_go()
            self._listener.remove()
            raise OSError(errno.EAGAIN, "no thread") from error

    @property
    def seats(self) -> tuple[str, int]:
        """Who holds the ring, empty for nobody, and how many wait."""
        return self._taken

    def wake(self) -> None:
        """Look at the ring now: something changed."""
        with self._waking:
            if self._wake >= 0:
                with suppress(BlockingIOError):  # full of wake-ups: it will wake
                    os.eventfd_write(self._wake, 1)

    def end(self) -> None:
        """Let the thread come to its end, without waiting for it."""
        self._stop = True
        self.wake()

    def close(self, *, returning: bool = False) -> None:
        """End the thread and every connection. A thread that a client keeps waiting is left behind to end by itself.

        returning: this ring's next server takes the socket's place, so the file stays.
        """
        self.end()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)
        if not returning:
            self._listener.remove()

    # ---- the thread ---------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop:
                self._turn()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._seats.close()
        self._listener.close()
        with self._waking:
            os.close(self._wake)
            self._wake = -1

    def _turn(self) -> None:
        """Do what is due, then what clients want; a fault in serving one must not end the ring."""
        try:
            now_s = time.monotonic()
            self._look(now_s)
            self._note()
            self._serve(self._ready(now_s), now_s)
            self._note()
            self._fault = ""
        except Exception as fault:  # the ring's only thread: whatever it is, the next turn may go better
            if repr(fault) != self._fault:
                LOG.exception("%s: serving its ring", self.ring.order.label)
            self._fault = repr(fault)
            time.sleep(RETRY_EVERY_S)

    def _ready(self, now_s: float) -> frozenset[int]:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._listener.may_accept(now_s):
            poll.register(self._listener, select.POLLIN)
        for descriptor in self._seats.descriptors:
            poll.register(descriptor, select.POLLIN)
        soon = (self._wanted and self._awaited) or not self._listener.may_accept(now_s)
        wait_s = RETRY_EVERY_S if soon else LOOK_EVERY_S
        return frozenset(descriptor for descriptor, _ in poll.poll(wait_s * 1000))

    @property
    def _wanted(self) -> bool:
        return self.binds and not self.ring.bound

    @property
    def _awaited(self) -> bool:
        return self._seats.taken[1] > 0

    def _look(self, now_s: float) -> None:
        if self._wanted and now_s - self._tried_s >= (RETRY_EVERY_S if self._awaited else LOOK_EVERY_S):
            self._tried_s = now_s
            self._try(now_s)
        if now_s - self._inspected_s >= INSPECT_EVERY_S:
            self._inspected_s = now_s
            self.ring.inspect()
        self._seats.end_stale_holder()
        self._seats.hand_over()
        self._seats.end_silent(now_s)
        self.ring.sample(now_s)

    def _try(self, now_s: float) -> None:
        """Open the ring; why it is not to be had stands in its reason."""
        try:
            self.ring.bind()
        except NotSupported:  # a try in zero copy may have restarted the card's queue
            self._tried_s = now_s + REFUSED_S
        except SpillwayError:
            return

    def _note(self) -> None:
        self._taken = self._seats.taken
        self._on_change()

    def _serve(self, ready: frozenset[int], now_s: float) -> None:
        if self._wake in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        self._seats.hear(ready)
        if self._listener.fileno() in ready and (connection := self._listener.accept()) is not None:
            self._seats.enter(connection, now_s)
