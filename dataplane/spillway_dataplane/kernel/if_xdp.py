"""AF_XDP's constants and structures as the kernel has them. Source: include/uapi/linux/if_xdp.h (5.4 to 6.18)."""

from __future__ import annotations

import ctypes as ct
import struct

AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 1, 3, 4, 5, 6
XDP_STATISTICS, XDP_OPTIONS, XDP_MAX_TX_SKB_BUDGET = 7, 8, 9
XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP, XDP_USE_SG = 1 << 1, 1 << 2, 1 << 3, 1 << 4
XDP_OPTIONS_ZEROCOPY = 1 << 0
XDP_PKT_CONTD = 1 << 0  # in a descriptor's options: the packet goes on in the next one
PGOFF_TX_RING, PGOFF_FILL_RING, PGOFF_COMPLETION_RING = 0x80000000, 0x100000000, 0x180000000
DESCRIPTOR_BYTES, ADDRESS_BYTES = 16, 8  # struct xdp_desc; fill and completion rings hold plain addresses
MAX_CHUNK_BYTES = 4096  # xdp_umem_reg: a chunk is no larger than a page, and pages have 4096 bytes at least


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
DESCRIPTOR = struct.Struct("=QII")  # struct xdp_desc: address, length, options
assert (ct.sizeof(SockaddrXdp), ct.sizeof(UmemReg), OFFSETS.size, STATISTICS.size) == (16, 32, 128, 48)
assert DESCRIPTOR.size == DESCRIPTOR_BYTES
