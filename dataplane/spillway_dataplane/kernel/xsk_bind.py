"""Open AF_XDP sockets that only transmit: memory, rings, bind. Source: net/xdp/xsk.c, xsk_buff_pool.c (5.4 to 6.18)."""

from __future__ import annotations

import ctypes as ct
import errno
import mmap
import os
import platform
import socket
import struct
from contextlib import ExitStack, suppress

from spillway_crds.errors import NotSupported
from spillway_dataplane.kernel.if_xdp import (
    ADDRESS_BYTES,
    AF_XDP,
    OFFSETS,
    PGOFF_FILL_RING,
    SOL_XDP,
    XDP_COPY,
    XDP_MAX_TX_SKB_BUDGET,
    XDP_MMAP_OFFSETS,
    XDP_TX_RING,
    XDP_UMEM_COMPLETION_RING,
    XDP_UMEM_FILL_RING,
    XDP_UMEM_REG,
    XDP_USE_NEED_WAKEUP,
    XDP_USE_SG,
    SockaddrXdp,
    UmemReg,
)
from spillway_dataplane.kernel.memfd import sealed_memory
from spillway_dataplane.kernel.umem import FillMemory, side_by_side
from spillway_dataplane.kernel.xsk import RingShape, Xsk

TX_BUDGET = 512  # descriptors that one kick may take; the kernel's own is 32, so that a batch of 64 would need two kicks
NO_IFINDEX = 0x7FFFFFFF  # no interface has it
LIBC = ct.CDLL(None, use_errno=True)


def open_xsk(ifindex: int, queue_id: int, shape: RingShape, bind_flags: int) -> Xsk:
    """Open a socket for one TX queue, with memory of its own.

    bind_flags: XDP_COPY, XDP_ZEROCOPY or neither. Wakeups are always on need; several descriptors for one packet where the
    shape has longer frames than chunks, and nowhere else.
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
        several = XDP_USE_SG if shape.segments > 1 else 0
        _bind(opened, SockaddrXdp(AF_XDP, bind_flags | XDP_USE_NEED_WAKEUP | several, ifindex, queue_id, 0))
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
        registration = UmemReg(start, shape.umem_bytes + shape.fill_bytes, shape.chunk_bytes, 0, 0, 0)
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
            struct.pack_into("=Q", ring, at[2] + slot * ADDRESS_BYTES, shape.umem_bytes + slot * shape.chunk_bytes)
        ring[at[0] : at[0] + 4] = struct.pack("=I", shape.fill_frames)


def _bind(opened: socket.socket, address: SockaddrXdp) -> None:
    if LIBC.bind(opened.fileno(), ct.byref(address), ct.sizeof(address)) != 0:
        number = ct.get_errno()
        raise OSError(number, "bind", os.strerror(number))


def takes_several_buffers() -> bool:
    """Whether the kernel sends one packet from several descriptors (Linux 6.6). Raises OSError: EPERM no CAP_NET_RAW.

    Asked by a bind to an interface that is not there: an older kernel refuses the flag (EINVAL) before it looks for it (ENODEV).
    """
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0) as opened:
        try:
            _bind(opened, SockaddrXdp(AF_XDP, XDP_COPY | XDP_USE_SG, NO_IFINDEX, 0, 0))
        except OSError as error:
            return error.errno != errno.EINVAL
    return True


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
