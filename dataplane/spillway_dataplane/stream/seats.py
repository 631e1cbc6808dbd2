"""Who holds a ring and who waits for it, in the order of their coming. Used by the ring's one thread."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spillway_dataplane.stream.client import Client, Ended, Hello, close_all
from spillway_dataplane.stream.ring import KeptRing

MAX_CLIENTS = 16  # of one ring: more are told to come back
GREETING_S = 5.0
LOG = logging.getLogger(__name__)


class Seats:
    """The connections to one ring. Nothing here waits for any of them."""

    def __init__(self, ring: KeptRing) -> None:
        self._ring = ring
        self._clients: dict[int, Client] = {}
        self._holder: Client | None = None
        self._waiting: list[Client] = []

    @property
    def taken(self) -> tuple[str, int]:
        """Who holds the ring, empty for nobody, and how many wait."""
        return self._holder.name if self._holder else "", len(self._waiting)

    @property
    def descriptors(self) -> frozenset[int]:
        """What to poll."""
        return frozenset(self._clients)

    def enter(self, connection: socket.socket, now_s: float) -> None:
        """Take in a connection, or tell it to come back. now_s: monotonic."""
        client = Client(connection, now_s)
        if len(self._clients) >= MAX_CLIENTS:
            client.refuse(errno.EAGAIN, f"{MAX_CLIENTS} connections to this ring are open already")
            return
        self._clients[client.fileno()] = client

    def hear(self, ready: frozenset[int]) -> None:
        """Listen to those that have something to say, or have ended."""
        for client in [self._clients[each] for each in ready & self._clients.keys()]:
            if client.fileno() >= 0:  # serving another may have ended it
                with self.guarded(client):
                    hello = client.receive()
                    if hello is not None:
                        self.greet(client, hello)

    def end_silent(self, now_s: float) -> None:
        """End connections that did not greet in time."""
        for client in [each for each in self._clients.values() if not each.greeted]:
            if now_s - client.since_s > GREETING_S:
                self.end(client, "no greeting came")

    def close(self) -> None:
        """Close every connection."""
        for each in self._clients.values():
            each.close()

    @contextmanager
    def guarded(self, client: Client) -> Iterator[None]:
        """End the client's connection if the block finds it ended."""
        try:
            yield
        except Ended as end:
            self.end(client, str(end))

    def greet(self, client: Client, hello: Hello) -> None:
        """Seat a client by its greeting; its descriptors are closed. Raises Ended."""
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
        self.hand_over()
        if client in self._waiting:
            client.wait(self._holder_text())

    def _is_ours(self, descriptors: tuple[int, ...]) -> bool:
        """Whether this is the ring, in the hands of who has it already: that one goes before everybody who waits."""
        if self._holder is not None or len(descriptors) != 2:
            return False
        return self._ring.is_this(descriptors[0]) or self._ring.adopt(*descriptors)

    def hand_over(self) -> None:
        """Give a ring that nobody holds to the first who waits."""
        while self._holder is None and self._waiting and self._ring.bound:
            client = self._waiting[0]
            with self.guarded(client):
                if not self._hand_to(client, resumed=False):
                    return

    def _hand_to(self, client: Client, *, resumed: bool) -> bool:
        """Make a client the holder. False when there is nothing to hand over now; raises Ended if it is gone."""
        generation = self._ring.generation
        offer = self._ring.offer(resumed=resumed)
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

    def end_stale_holder(self) -> None:
        """Refuse who holds a socket that the ring has no more."""
        if self._holder is not None and self._holder.generation != self._ring.generation:
            self._refuse(self._holder, errno.ESTALE, self._ring.status().reason or "the ring was opened anew")

    def _refuse(self, client: Client, number: int, text: str) -> None:
        with suppress(Ended):
            client.refuse(number, text)
        self.end(client, text)

    def end(self, client: Client, why: str) -> None:
        """End a connection; the next who waits gets what it held."""
        LOG.debug("%s: %s: %s", self._ring.order.label, client.name, why)
        self._clients = {descriptor: each for descriptor, each in self._clients.items() if each is not client}
        self._waiting = [each for each in self._waiting if each is not client]
        client.close()
        if self._holder is client:
            self._holder = None
            self._ring.released()
            self.hand_over()
            if self._holder is None:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        for client in tuple(self._waiting):
            with self.guarded(client):
                client.wait(self._holder_text())

    def _holder_text(self) -> str:
        if self._holder is not None:
            return f"{self._holder.name} holds the ring of {self._ring.order.label}"
        return f"the ring of {self._ring.order.label} is not open: {self._ring.status().reason}"
