"""AF_XDP sockets that only transmit, once they are bound: recognise, ask, adopt. xsk_bind.py opens them."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import struct
from dataclasses import dataclass

from spillway_dataplane.kernel.if_xdp import (
    ADDRESS_BYTES,
    AF_XDP,
    DESCRIPTOR_BYTES,
    MAX_CHUNK_BYTES,
    OFFSETS,
    PGOFF_COMPLETION_RING,
    PGOFF_TX_RING,
    SOL_XDP,
    STATISTICS,
    XDP_MMAP_OFFSETS,
    XDP_OPTIONS,
    XDP_OPTIONS_ZEROCOPY,
    XDP_STATISTICS,
)
from spillway_dataplane.kernel.umem import FillMemory

SO_DOMAIN, SO_COOKIE = 39, 57


@dataclass(frozen=True, slots=True)
class RingShape:
    """Sizes of a ring. Slots are powers of two. frames: the holder's; fill frames lie behind them, in memory that stays here.

    frame_bytes: 2048, 4096, 8192 or 16384. The kernel knows chunks of a page at most: a longer frame is several of them in a row,
    and a packet in it takes a descriptor for each chunk that it begins. Fill frames are chunks.
    """

    frames: int
    frame_bytes: int
    tx_slots: int
    completion_slots: int
    fill_slots: int = 64
    fill_frames: int = 0

    @property
    def chunk_bytes(self) -> int:
        """What the kernel calls a frame."""
        return min(self.frame_bytes, MAX_CHUNK_BYTES)

    @property
    def segments(self) -> int:
        """The most descriptors that one packet takes."""
        return self.frame_bytes // self.chunk_bytes

    @property
    def umem_bytes(self) -> int:
        """The memory that a holder maps."""
        return self.frames * self.frame_bytes

    @property
    def fill_bytes(self) -> int:
        """The memory that a card in zero copy receives into."""
        return self.fill_frames * self.chunk_bytes


@dataclass(frozen=True, slots=True)
class Indices:
    """Free-running counts of the shared rings, modulo 2^32. The holder can write any of them."""

    tx_producer: int
    tx_consumer: int
    completion_producer: int
    completion_consumer: int


class Xsk:
    """A bound socket and its memory, with a read-only view of where its rings stand. Owns both."""

    def __init__(self, opened: socket.socket, umem_fd: int, shape: RingShape, fill: FillMemory | None = None) -> None:
        """Take over a bound socket. Raises OSError: EBUSY where its rings cannot be mapped any more (Linux < 6.4)."""
        self.umem_fd, self.shape, self._socket, self._fill = umem_fd, shape, opened, fill
        self._offsets = OFFSETS.unpack(opened.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))
        self._tx = self._map(PGOFF_TX_RING, 4, shape.tx_slots * DESCRIPTOR_BYTES)
        self._completion = self._map(PGOFF_COMPLETION_RING, 12, shape.completion_slots * ADDRESS_BYTES)

    @property
    def fd(self) -> int:
        """The socket's descriptor, -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of socket and memory. The queue is free once every other holder has done so too."""
        if self.umem_fd < 0:
            return
        self._tx.close()
        self._completion.close()
        self._socket.close()
        os.close(self.umem_fd)
        self.umem_fd = -1
        if self._fill is not None:
            self._fill.close()

    def _map(self, page_offset: int, first: int, slots_bytes: int) -> mmap.mmap:
        length = self._offsets[first + 2] + slots_bytes
        return mmap.mmap(self.fd, length, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ, offset=page_offset)

    def received_mark(self) -> int:
        """Return a number that changes when the card writes into a fill frame; 0 for an adopted ring, which came without them."""
        return self._fill.mark() if self._fill is not None else 0

    def indices(self) -> Indices:
        """Return where the rings stand now."""
        at = self._offsets
        return Indices(
            _u32(self._tx, at[4]), _u32(self._tx, at[5]), _u32(self._completion, at[12]), _u32(self._completion, at[13])
        )

    def is_bound(self) -> bool:
        """Whether the socket still has its device: one that leaves takes the binding along, and does not bring it back.

        Asked by a kick, which sends what the holder was about to kick anyway.
        """
        try:
            self._socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            return error.errno != errno.ENXIO
        return True

    @property
    def zero_copy(self) -> bool:
        """Whether the kernel says that the card reads the frames itself."""
        (flags,) = struct.unpack("=I", self._socket.getsockopt(SOL_XDP, XDP_OPTIONS, 4))
        return bool(flags & XDP_OPTIONS_ZEROCOPY)

    @property
    def cookie(self) -> int:
        """What tells this socket from every other since boot."""
        return _cookie(self._socket)

    @property
    def umem_inode(self) -> int:
        """What tells this memory from every other memfd."""
        return os.fstat(self.umem_fd).st_ino

    def statistics(self) -> tuple[int, ...]:
        """Return struct xdp_statistics: rx_dropped, rx_invalid, tx_invalid, rx_ring_full, rx_fill_ring_empty, tx_ring_empty."""
        return STATISTICS.unpack(self._socket.getsockopt(SOL_XDP, XDP_STATISTICS, STATISTICS.size))


def adopt_xsk(fd: int, umem_fd: int, shape: RingShape) -> Xsk:
    """Take over copies of a bound socket and its memory that another process has. Raises OSError."""
    opened = _copy_of(fd)
    memory = -1
    try:
        memory = os.dup(umem_fd)
        return Xsk(opened, memory, shape)
    except BaseException:
        opened.close()
        if memory >= 0:
            os.close(memory)
        raise


def socket_cookie(fd: int) -> int | None:
    """Return what identifies an AF_XDP socket, None for any other descriptor. Asks no filesystem, so it cannot block."""
    try:
        with _copy_of(fd) as opened:
            domain = opened.getsockopt(socket.SOL_SOCKET, SO_DOMAIN)
            return _cookie(opened) if domain == AF_XDP else None
    except OSError:
        return None


def _copy_of(fd: int) -> socket.socket:
    """A socket of its own on what a descriptor names. Raises OSError if that is no socket."""
    copy = os.dup(fd)
    try:
        return socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _cookie(opened: socket.socket) -> int:
    (cookie,) = struct.unpack("=Q", opened.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
    return int(cookie)


def _u32(view: mmap.mmap, at: int) -> int:
    (value,) = struct.unpack_from("=I", view, at)
    return int(value)
