"""A ring's application by hand: greeting, descriptors, mappings and frames, without the library that applications have."""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from spillway_dataplane.kernel.if_xdp import (
    DESCRIPTOR,
    DESCRIPTOR_BYTES,
    OFFSETS,
    PGOFF_COMPLETION_RING,
    PGOFF_TX_RING,
    SOL_XDP,
    XDP_MMAP_OFFSETS,
)
from spillway_stream.pages import (
    COUNTERS,
    PAGE,
    REPORT_BYTES,
    REPORT_COUNTERS,
    REPORT_HEAD,
    REPORT_LAYOUT,
    REPORT_MAGIC,
    decode_page,
)
from spillway_stream.pages import Page as HeaderPage
from spillway_stream.wire import MESSAGE_BYTES, MessageType, RingOffer, decode_refused, decode_ring, encode_hello, open_message

AF_XDP = 44
opened: list[HeldRing | socket.socket] = []  # by the present test, for its end
Message = tuple[MessageType, bytes, tuple[int, ...]]


def close_opened() -> None:
    while opened:
        opened.pop().close()


def connect(directory: Path) -> socket.socket:
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    opened.append(connection)
    connection.settimeout(10)
    try:
        connection.connect(f"/proc/self/fd/{folder}/ring.sock")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def receive(connection: socket.socket) -> Message:
    raw, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 4)
    kind, body = open_message(raw)
    return kind, body, tuple(descriptors)


def refusal(connection: socket.socket) -> tuple[int, str]:
    kind, body, _ = receive(connection)
    assert kind is MessageType.REFUSED
    return decode_refused(body)


def ask(directory: Path) -> socket.socket:
    connection = connect(directory)
    connection.send(encode_hello())
    return connection


def hold(directory: Path) -> HeldRing:
    return HeldRing.taken(ask(directory))


@dataclass
class HeldRing:
    """A ring in the hands of the test. Frames 0..n are used in turn; each send waits until all are completed."""

    connection: socket.socket
    offer: RingOffer
    descriptors: tuple[int, ...]
    sent: int = 0
    _maps: list[mmap.mmap] = field(default_factory=list)

    @classmethod
    def taken(cls, connection: socket.socket) -> HeldRing:
        kind, body, descriptors = receive(connection)
        while kind is MessageType.WAIT:
            kind, body, descriptors = receive(connection)
        assert kind is MessageType.RING, body
        return cls(connection, decode_ring(body), descriptors)

    def __post_init__(self) -> None:
        xsk, umem, page, report = self.descriptors
        self.socket = socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(xsk))
        self._at = OFFSETS.unpack(self.socket.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))
        self.tx = self._map(xsk, self._at[6] + self.offer.tx_descriptors * 16, PGOFF_TX_RING)
        self.done = self._map(xsk, self._at[14] + self.offer.completion_descriptors * 8, PGOFF_COMPLETION_RING)
        self.memory = self._map(umem, self.offer.umem_bytes)
        self.page_memory = self._map(page, PAGE.size, access=mmap.PROT_READ)
        self.report_memory = self._map(report, REPORT_BYTES)
        opened.append(self)

    def _map(self, descriptor: int, length: int, offset: int = 0, access: int = mmap.PROT_READ | mmap.PROT_WRITE) -> mmap.mmap:
        made = mmap.mmap(descriptor, length, mmap.MAP_SHARED, access, offset=offset)
        self._maps.append(made)
        return made

    def page(self) -> HeaderPage:
        while True:
            sequence, page = decode_page(self.page_memory[:])
            if sequence % 2 == 0 and decode_page(self.page_memory[:])[0] == sequence:
                return page

    def until(self, state: object, *, timeout_s: float = 8.0) -> HeaderPage:
        deadline = time.monotonic() + timeout_s
        while (page := self.page()).state != state:
            assert time.monotonic() < deadline, page
            time.sleep(0.005)
        return page

    def _u32(self, view: mmap.mmap, at: int) -> int:
        return int(struct.unpack_from("=I", view, at)[0])

    def put(self, frames: list[bytes]) -> None:
        """Into the TX ring, without a kick."""
        producer, mask = self._u32(self.tx, self._at[4]), self.offer.tx_descriptors - 1
        for number, frame in enumerate(frames):
            address = number * self.offer.frame_bytes
            self.memory[address : address + len(frame)] = frame
            self.describe(producer + number & mask, address, len(frame))
        self.tx[self._at[4] : self._at[4] + 4] = struct.pack("=I", (producer + len(frames)) & 0xFFFFFFFF)

    def describe(self, slot: int, address: int, length: int, options: int = 0) -> None:
        DESCRIPTOR.pack_into(self.tx, self._at[6] + slot * DESCRIPTOR_BYTES, address, length, options)

    def put_described(self, descriptors: list[tuple[int, int, int]]) -> None:
        """(address, length, options) of each, as they are, into the TX ring, without a kick."""
        producer, mask = self._u32(self.tx, self._at[4]), self.offer.tx_descriptors - 1
        for number, each in enumerate(descriptors):
            self.describe(producer + number & mask, *each)
        self.tx[self._at[4] : self._at[4] + 4] = struct.pack("=I", (producer + len(descriptors)) & 0xFFFFFFFF)

    def kick(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.socket.send(b"", socket.MSG_DONTWAIT)

    def drain(self, timeout_s: float = 5.0) -> None:
        """Until the kernel has taken everything and all completions are reaped."""
        deadline = time.monotonic() + timeout_s
        while self._u32(self.tx, self._at[4]) != self._u32(self.tx, self._at[5]):
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                self.kick()
            self.reap()

    def reap(self) -> None:
        self.done[self._at[13] : self._at[13] + 4] = self.done[self._at[12] : self._at[12] + 4]

    def send(self, frames: list[bytes], batch: int = 64) -> None:
        for first in range(0, len(frames), batch):
            self.put(frames[first : first + batch])
            self.drain()
        self.sent += len(frames)

    def packet(self, payload: bytes) -> bytes:
        """A whole frame from the page's header."""
        page = self.page()
        header, udp = bytearray(page.header), page.udp_offset
        struct.pack_into(">H", header, udp + 4, 8 + len(payload))
        if page.family == 4:
            struct.pack_into(">H", header, page.ip_offset + 2, 28 + len(payload))
            struct.pack_into(">H", header, page.ip_offset + 10, 0)
            total = sum(struct.unpack(">10H", header[page.ip_offset : page.ip_offset + 20]))
            struct.pack_into(">H", header, page.ip_offset + 10, 0xFFFF ^ (total % 0xFFFF or 0xFFFF))
        else:
            struct.pack_into(">H", header, page.ip_offset + 4, 8 + len(payload))
        return bytes(header) + payload

    def report(self, **counters: int) -> None:
        raw = COUNTERS.pack(*[counters.get(name, 0) for name in REPORT_COUNTERS])
        self.report_memory[: REPORT_HEAD.size + len(raw)] = REPORT_HEAD.pack(REPORT_MAGIC, REPORT_LAYOUT, 2) + raw

    def resume(self, directory: Path) -> socket.socket:
        """Come back with what is held, as after a restart of the node's driver."""
        connection = connect(directory)
        rights = array.array("i", self.descriptors[:2])
        connection.sendmsg([encode_hello(resuming=True)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return connection

    def close(self) -> None:
        """As a process that ends: everything at once."""
        for each in self._maps:
            each.close()
        self._maps.clear()
        self.socket.close()
        for descriptor in self.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.descriptors = ()
        self.connection.close()
