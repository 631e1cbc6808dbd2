"""A ring's unix socket: one client holds the ring, others wait for it, and it goes to the next when the holder's connection ends.

One thread for each ring. A hostile client can make that thread wait, as by sending a descriptor whose close() lingers: its own
ring's thread and no other. What it can make us keep is bounded: so many connections, one message of each, two descriptors.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spillway_crds.errors import NotSupported, SpillwayError
from spillway_dataplane.stream.client import Client, Ended, Hello, close_all
from spillway_dataplane.stream.ring import KeptRing

SOCKET = "ring.sock"
MAX_CLIENTS = 16  # of one ring: more are told to come back
ACCEPTS_A_SECOND = 64  # a flood of connections waits in the backlog, at its own cost
GREETING_S = 5.0
LOOK_EVERY_S = 1.0
INSPECT_EVERY_S = 5.0  # tables of a card whose queue is in zero copy
REFUSED_S = 10.0
RETRY_EVERY_S = 0.2  # while somebody waits for a queue that is not free yet
JOIN_S = 2.0
LOG = logging.getLogger(__name__)


class RingServer:
    """Serves one ring until it is closed. on_change: called from the thread, with no lock held."""

    def __init__(self, ring: KeptRing, on_change: Callable[[], None]) -> None:
        """Raises OSError if the socket cannot be made."""
        self.ring = ring
        self.binds = False  # whether the thread opens the ring when it is not open
        self._on_change = on_change
        self._listener = listen(ring.order.directory)
        self._stop, self._waking = False, threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._clients: dict[int, Client] = {}
        self._holder: Client | None = None
        self._waiting: list[Client] = []
        self._seats = ("", 0)  # holder and number of those who wait, for other threads
        self._window_s, self._accepted, self._tried_s, self._inspected_s = 0.0, 0, 0.0, 0.0
        self._thread = threading.Thread(target=self._run, name=f"ring {ring.order.interface}-tx{ring.order.queue}", daemon=True)
        self._thread.start()

    @property
    def seats(self) -> tuple[str, int]:
        """Who holds the ring, empty for nobody, and how many wait."""
        return self._seats

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
            with suppress(OSError):
                (self.ring.order.directory / SOCKET).unlink()

    # ---- the thread ---------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop:
                self._turn()
        finally:
            for each in self._clients.values():
                each.close()
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
        except Exception:  # the ring's only thread: whatever it is, the next turn may go better
            LOG.exception("%s: serving its ring", self.ring.order.label)
            time.sleep(RETRY_EVERY_S)

    def _ready(self, now_s: float) -> frozenset[int]:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._may_accept(now_s):
            poll.register(self._listener, select.POLLIN)
        for descriptor in self._clients:
            poll.register(descriptor, select.POLLIN)
        soon = (self._wanted and self._waiting) or not self._may_accept(now_s)
        wait_s = RETRY_EVERY_S if soon else LOOK_EVERY_S
        return frozenset(descriptor for descriptor, _ in poll.poll(wait_s * 1000))

    @property
    def _wanted(self) -> bool:
        return self.binds and not self.ring.bound

    def _may_accept(self, now_s: float) -> bool:
        if now_s - self._window_s >= 1:
            self._window_s, self._accepted = now_s, 0
        return self._accepted < ACCEPTS_A_SECOND

    def _look(self, now_s: float) -> None:
        if self._wanted and now_s - self._tried_s >= (RETRY_EVERY_S if self._waiting else LOOK_EVERY_S):
            self._tried_s = now_s
            self._try(now_s)
        if now_s - self._inspected_s >= INSPECT_EVERY_S:
            self._inspected_s = now_s
            self.ring.inspect()
        self._end_stale_holder()
        self._hand_over()
        for client in [each for each in self._clients.values() if not each.greeted]:
            if now_s - client.since_s > GREETING_S:
                self._end(client, "no greeting came")
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
        self._seats = (self._holder.name if self._holder else "", len(self._waiting))
        self._on_change()

    def _serve(self, ready: frozenset[int], now_s: float) -> None:
        if self._wake in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        for client in [self._clients[each] for each in ready & self._clients.keys()]:
            if client.fileno() >= 0:  # serving another may have ended it
                self._listen_to(client)
        if self._listener.fileno() in ready:
            self._accept(now_s)

    def _listen_to(self, client: Client) -> None:
        with self._guarded(client):
            hello = client.receive()
            if hello is not None:
                self._greet(client, hello)

    @contextmanager
    def _guarded(self, client: Client) -> Iterator[Client]:
        try:
            yield client
        except Ended as end:
            self._end(client, str(end))

    def _accept(self, now_s: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptor left: look again later
            self._accepted += 1
            return
        self._accepted += 1
        client = Client(connection, now_s)
        if len(self._clients) >= MAX_CLIENTS:
            client.refuse(errno.EAGAIN, f"{MAX_CLIENTS} connections to this ring are open already")
            return
        self._clients[client.fileno()] = client

    # ---- who holds the ring -------------------------------------------------------------------------------------------------

    def _greet(self, client: Client, hello: Hello) -> None:
        try:
            if not hello.resuming:
                self._waiting.append(client)
            elif not self._is_ours(hello.descriptors):
                self._refuse(client, errno.ESTALE, "the ring that is resumed is not this claim's ring any more: ask for it anew")
                return
            elif not self._hand_to(client, resumed=True):
                self._refuse(client, errno.EAGAIN, "the node has no descriptors left: come back with the ring later")
                return
        finally:
            close_all(hello.descriptors)
        self._hand_over()
        if client in self._waiting:
            client.wait(self._holder_text())

    def _is_ours(self, descriptors: tuple[int, ...]) -> bool:
        """Whether this is the ring, in the hands of who has it already: that one goes before everybody who waits."""
        if self._holder is not None or len(descriptors) != 2:
            return False
        return self.ring.is_this(descriptors[0]) or self.ring.adopt(*descriptors)

    def _hand_over(self) -> None:
        while self._holder is None and self._waiting and self.ring.bound:
            client = self._waiting[0]
            with self._guarded(client):
                if not self._hand_to(client, resumed=False):
                    return

    def _hand_to(self, client: Client, *, resumed: bool) -> bool:
        """Make a client the holder. False when there is nothing to hand over now; raises Ended if it is gone."""
        generation = self.ring.generation
        offer = self.ring.offer(resumed=resumed)
        if offer is None:
            return False
        message, descriptors = offer
        try:
            client.send(message, descriptors)
        finally:
            close_all(descriptors)
        client.generation = generation
        self._holder = client
        self._waiting = [each for each in self._waiting if each is not client]
        self._tell_waiting()
        return True

    def _end_stale_holder(self) -> None:
        if self._holder is not None and self._holder.generation != self.ring.generation:
            self._refuse(self._holder, errno.ESTALE, self.ring.status().reason or "the ring was opened anew")

    def _refuse(self, client: Client, number: int, text: str) -> None:
        with suppress(Ended):
            client.refuse(number, text)
        self._end(client, text)

    def _end(self, client: Client, why: str) -> None:
        LOG.debug("%s: %s: %s", self.ring.order.label, client.name, why)
        self._clients = {descriptor: each for descriptor, each in self._clients.items() if each is not client}
        self._waiting = [each for each in self._waiting if each is not client]
        client.close()
        if self._holder is client:
            self._holder = None
            self.ring.released()
            self._hand_over()
            if self._holder is None:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        for client in tuple(self._waiting):
            with self._guarded(client):
                client.wait(self._holder_text())

    def _holder_text(self) -> str:
        if self._holder is not None:
            return f"{self._holder.name} holds the ring of {self.ring.order.label}"
        return f"the ring of {self.ring.order.label} is not open: {self.ring.status().reason}"


def listen(directory: Path) -> socket.socket:
    """Make the socket that applications connect to.

    Everybody may: who sees the directory may have the ring, and the driver cannot give the file to anybody (no CAP_CHOWN).
    """
    path = directory / SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{opened}/{SOCKET}")  # an address holds 107 bytes, the path of a claim more
        path.chmod(0o666)
        listener.listen(MAX_CLIENTS)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(opened)
    return listener
