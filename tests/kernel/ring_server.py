"""The node's side of one ring, in its simplest form: enough to show the library, and to play servers that nobody should run.

The socket, the memory and the wire are real. What it cannot show: netlink's following of routes, grants, and how the node's
own keeper judges a client; tests/kernel/test_rings_*.py are about that one.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.netpair import NetnsPair

from spillway_crds.streams import Flow
from spillway_dataplane.kernel.if_xdp import XDP_COPY
from spillway_dataplane.kernel.memfd import sealed_memory
from spillway_dataplane.kernel.xsk import RingShape, Xsk
from spillway_dataplane.kernel.xsk_bind import open_xsk
from spillway_dataplane.way.header import header_of
from spillway_stream.pages import PAGE_BYTES, REPORT_BYTES, LinkState, Page, Report, decode_report, encode_page
from spillway_stream.wire import Bind, HelloFlag, RingOffer, decode_hello, encode_ring, encode_wait, open_message

Script = Callable[[socket.socket, "RingNode"], None]


def header_page(pair: NetnsPair, flow: Flow, *, mtu: int = 1500, target_mac: bytes | None = None) -> Page:
    """A page for frames from this side's card to the peer."""
    assert flow.source is not None
    made = header_of(flow, source_mac=pair.mac, target_mac=target_mac or pair.peer_mac, source=flow.source)
    return Page(LinkState.READY, mtu, made.octets, made.ip_offset, made.udp_offset, made.family, made.pseudo_sum)


@dataclass
class RingNode:
    """Serves one queue of the pair's card. script: what it does with a connection instead of serving it."""

    pair: NetnsPair
    directory: Path
    page: Page
    offer: RingOffer
    opened: Xsk
    script: Script | None = None
    page_fd: int = -1
    report_fd: int = -1
    holder: socket.socket | None = None
    hellos: list[HelloFlag] = field(default_factory=list)
    _waiting: list[socket.socket] = field(default_factory=list)
    _listener: socket.socket | None = None
    _thread: threading.Thread | None = None
    _sequence: int = 0
    _stop: bool = False

    @property
    def path(self) -> str:
        return str(self.directory / "r.sock")

    # ---- pages --------------------------------------------------------------------------------------------------------------

    def show(self, page: Page) -> None:
        """Write the page as a server does: odd, body, even."""
        self.page, self._sequence = page, self._sequence + 2
        whole = encode_page(page, self._sequence)
        os.pwrite(self.page_fd, struct.pack("<Q", self._sequence - 1), 8)
        os.pwrite(self.page_fd, whole[16:], 16)
        os.pwrite(self.page_fd, whole[:16], 0)

    def new_pages(self) -> None:
        """Other files than before, as after a server's restart; the sequence begins anew."""
        self._sequence = 0
        for old in (self.page_fd, self.report_fd):
            if old >= 0:
                os.close(old)
        self.page_fd, self.report_fd = sealed_memory("page", PAGE_BYTES), sealed_memory("report", REPORT_BYTES)
        self.show(self.page)

    def report(self) -> Report | None:
        return decode_report(os.pread(self.report_fd, REPORT_BYTES, 0))

    # ---- the socket ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._stop = False
        with suppress(FileNotFoundError):
            Path(self.path).unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Die: every connection ends, the socket's file stays."""
        self._stop = True
        if self._thread is not None:
            self._thread.join()
        for each in (self._listener, self.holder, *self._waiting):
            if each is not None:
                each.close()
        self.holder, self._waiting = None, []

    def _serve(self) -> None:
        while not self._stop:
            held = [self.holder] if self.holder else []
            readable, _, _ = select.select([self._listener, *held], [], [], 0.02)
            if self.holder in readable and self.holder is not None and not _alive(self.holder):
                self.holder.close()
                self.holder = None
                while self._waiting and self.holder is None:
                    self.hand_out(self._waiting.pop(0))
            if self._listener in readable and self._listener is not None:
                self._greet(self._listener.accept()[0])

    def _greet(self, client: socket.socket) -> None:
        if self.script is not None:
            with suppress(OSError):
                self.script(client, self)
            return
        message, fds, _, _ = socket.recv_fds(client, 4096, 4)
        self.hellos.append(decode_hello(open_message(message)[1]))
        for each in fds:
            os.close(each)
        if self.holder is None:
            self.hand_out(client)
        else:
            self._waiting.append(client)
            client.send(encode_wait("studio/first"))

    def fds(self) -> list[int]:
        return [self.opened.fd, self.opened.umem_fd, self.page_fd, self.report_fd]

    def hand_out(self, client: socket.socket) -> None:
        try:
            socket.send_fds(client, [encode_ring(self.offer)], self.fds())
            self.holder = client
        except BrokenPipeError:  # it waited no longer
            client.close()

    def close(self) -> None:
        self.stop()
        self.opened.close()
        for each in (self.page_fd, self.report_fd):
            os.close(each)


def _alive(client: socket.socket) -> bool:
    with suppress(OSError):
        return bool(client.recv(1, socket.MSG_DONTWAIT))
    return False


@contextmanager
def ring_node(
    pair: NetnsPair, directory: Path, page: Page, *, queue: int = 0, frames: int = 512, frame_bytes: int = 2048,
    batch: int = 64, packets_per_second: int = 0, script: Script | None = None,
) -> Iterator[RingNode]:  # fmt: skip
    """A bound copy-mode ring whose slots hold half of its frames, served till the block ends."""
    chunks = frames * -(-frame_bytes // 4096)
    shape = RingShape(frames=frames, frame_bytes=frame_bytes, tx_slots=chunks // 2, completion_slots=chunks)
    opened = open_xsk(pair.ifindex, queue, shape, XDP_COPY)
    offer = RingOffer(
        pair.ifindex, queue, frame_bytes, frames, shape.tx_slots, shape.completion_slots, shape.fill_slots, Bind.COPY,
        batch, 0, shape.umem_bytes, packets_per_second, 0, pair.ifname, "studio/cam",
    )  # fmt: skip
    node = RingNode(pair, directory, page, offer, opened, script)
    try:
        node.new_pages()
        node.start()
        yield node
    finally:
        node.close()
