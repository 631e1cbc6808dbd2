"""AF_XDP sockets that only transmit: open, recognise, ask. Source: include/uapi/linux/if_xdp.h, net/xdp/xsk.c (5.4 to 6.18)."""

from __future__ import annotations

import ctypes as ct
import errno
import fcntl
import mmap
import os
import platform
import socket
import struct
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from spillway_crds.errors import NotSupported
from spillway_dataplane.kernel.umem import FillMemory, side_by_side

AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 1, 3, 4, 5, 6
XDP_STATISTICS, XDP_OPTIONS, XDP_MAX_TX_SKB_BUDGET = 7, 8, 9
XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP = 1 << 1, 1 << 2, 1 << 3
XDP_OPTIONS_ZEROCOPY = 1 << 0
PGOFF_TX_RING, PGOFF_FILL_RING, PGOFF_COMPLETION_RING = 0x80000000, 0x100000000, 0x180000000
SO_DOMAIN, SO_COOKIE = 39, 57
SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
F_SEAL_FUTURE_WRITE = 0x10
DESCRIPTOR_BYTES, ADDRESS_BYTES = 16, 8  # struct xdp_desc; fill and completion rings hold plain addresses
TX_BUDGET = 512  # packets that one kick may take; the kernel's own is 32, so that a batch of 64 would need two kicks
LIBC = ct.CDLL(None, use_errno=True)


class SockaddrXdp(ct.Structure):
    """struct sockaddr_xdp, uapi/linux/if_xdp.h. Nothing in it is in network byte order."""

    _fields_ = [
        ("family", ct.c_uint16),
        ("flags", ct.c_uint16),
        ("ifindex", ct.c_uint32),
        ("queue_id", ct.c_uint32),
        ("shared_umem_fd", ct.c_uint32),
    ]


class UmemReg(ct.Structure):
    """struct xdp_umem_reg as of 5.4, uapi/linux/if_xdp.h: later kernels take the shorter one too."""

    _fields_ = [
        ("addr", ct.c_uint64),
        ("len", ct.c_uint64),
        ("chunk_size", ct.c_uint32),
        ("headroom", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("pad", ct.c_uint32),
    ]


OFFSETS = struct.Struct("=16Q")  # struct xdp_mmap_offsets: producer, consumer, desc, flags of rx, tx, fill, completion
STATISTICS = struct.Struct("=6Q")  # struct xdp_statistics
assert (ct.sizeof(SockaddrXdp), ct.sizeof(UmemReg), OFFSETS.size, STATISTICS.size) == (16, 32, 128, 48)


@dataclass(frozen=True, slots=True)
class RingShape:
    """Sizes of a ring. Slots are powers of two. frames: the holder's; fill frames lie behind them, in memory that stays here."""

    frames: int
    frame_bytes: int
    tx_slots: int
    completion_slots: int
    fill_slots: int = 64
    fill_frames: int = 0

    @property
    def umem_bytes(self) -> int:
        """The memory that a holder maps."""
        return self.frames * self.frame_bytes

    @property
    def fill_bytes(self) -> int:
        """The memory that a card in zero copy receives into."""
        return self.fill_frames * self.frame_bytes


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


def open_xsk(ifindex: int, queue_id: int, shape: RingShape, bind_flags: int) -> Xsk:
    """Open a socket for one TX queue, with memory of its own.

    bind_flags: XDP_COPY, XDP_ZEROCOPY or neither. Wakeups are always on need.
    Raises NotSupported before Linux 6.4, else OSError with the refused operation as its text: EBUSY queue taken, EOPNOTSUPP
    mode not to be had, EINVAL no such queue, ENODEV no such interface, ENOBUFS memory above RLIMIT_MEMLOCK without
    CAP_IPC_LOCK, EPERM no CAP_NET_RAW.
    """
    with ExitStack() as undone:
        umem_fd = sealed_memory("spillway-umem", shape.umem_bytes)
        undone.callback(os.close, umem_fd)
        fill = FillMemory(shape.fill_bytes) if shape.fill_frames else None
        if fill is not None:
            undone.callback(fill.close)
        with _named("socket(AF_XDP)"):
            opened = undone.enter_context(socket.socket(AF_XDP, socket.SOCK_RAW, 0))
        _register(opened, umem_fd, fill, shape)
        _give_fill_frames(opened, shape)
        _bind(opened, SockaddrXdp(AF_XDP, bind_flags | XDP_USE_NEED_WAKEUP, ifindex, queue_id, 0))
        made = _mapped(opened, umem_fd, shape, fill)
        undone.pop_all()
        return made


def _mapped(opened: socket.socket, umem_fd: int, shape: RingShape, fill: FillMemory | None) -> Xsk:
    try:
        return Xsk(opened, umem_fd, shape, fill)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        detail = f"Linux {platform.release()} maps no rings of a bound socket (EBUSY), 6.4 and later do"
        raise NotSupported(subject="AF_XDP ring for another process", detail=detail) from error


def _register(opened: socket.socket, umem_fd: int, fill: FillMemory | None, shape: RingShape) -> None:
    """Give the socket its memory and rings. The kernel pins the pages, so the mapping here need not stay."""
    parts = ((umem_fd, shape.umem_bytes), *(((fill.fd, fill.size_bytes),) if fill else ()))
    with _named("setsockopt XDP_UMEM_REG"), side_by_side(*parts) as start:
        registration = UmemReg(start, shape.umem_bytes + shape.fill_bytes, shape.frame_bytes, 0, 0, 0)
        opened.setsockopt(SOL_XDP, XDP_UMEM_REG, bytes(registration))
    slots = {XDP_UMEM_FILL_RING: shape.fill_slots, XDP_UMEM_COMPLETION_RING: shape.completion_slots, XDP_TX_RING: shape.tx_slots}
    for option, count in slots.items():
        with _named(f"setsockopt {option} to {count} slots"):
            opened.setsockopt(SOL_XDP, option, count)
    with suppress(OSError):  # not before 6.17; a kick then takes 32 packets
        opened.setsockopt(SOL_XDP, XDP_MAX_TX_SKB_BUDGET, min(TX_BUDGET, shape.tx_slots))


def _give_fill_frames(opened: socket.socket, shape: RingShape) -> None:
    """Give the card its frames once, before the bind, when it asks for them: what it passes on comes back to its pool."""
    if not shape.fill_frames:
        return
    at = OFFSETS.unpack(opened.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))[8:11]
    with mmap.mmap(opened.fileno(), at[2] + shape.fill_slots * ADDRESS_BYTES, offset=PGOFF_FILL_RING) as ring:
        for slot in range(shape.fill_frames):
            struct.pack_into("=Q", ring, at[2] + slot * ADDRESS_BYTES, (shape.frames + slot) * shape.frame_bytes)
        ring[at[0] : at[0] + 4] = struct.pack("=I", shape.fill_frames)


def _bind(opened: socket.socket, address: SockaddrXdp) -> None:
    if LIBC.bind(opened.fileno(), ct.byref(address), ct.sizeof(address)) != 0:
        number = ct.get_errno()
        raise OSError(number, "bind", os.strerror(number))


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


def memory_inode(fd: int, size_bytes: int) -> int | None:
    """Return what identifies a memfd of that size and our seals, None for any other descriptor. Cannot block either."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SIZE_SEALS != SIZE_SEALS:
            return None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EBADF):
            return None
        raise
    seen = os.fstat(fd)  # only a memfd has seals: no filesystem of somebody's own answers here
    return seen.st_ino if seen.st_size == size_bytes else None


def sealed_memory(name: str, size_bytes: int, *, more_seals: bool = False) -> int:
    """Make zeroed memory that can neither grow nor shrink, whoever holds a descriptor of it. more_seals: seal_writes follows."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SIZE_SEALS if more_seals else SIZE_SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal_writes(fd: int) -> None:
    """Let nobody write any more but through mappings that are there: Linux 5.1, fcntl(2)."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)


def _cookie(opened: socket.socket) -> int:
    (cookie,) = struct.unpack("=Q", opened.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
    return int(cookie)


def _u32(view: mmap.mmap, at: int) -> int:
    (value,) = struct.unpack_from("=I", view, at)
    return int(value)


class _named:  # noqa: N801 - used as a statement
    """Say in an OSError which operation it was."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            number = error.errno or 0
            raise OSError(number, self._operation, os.strerror(number)) from error
