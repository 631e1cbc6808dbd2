"""A ring's memory in two parts, one UMEM to the kernel: what the holder maps, and behind it what the card receives into.

The second part is handed to nobody. A queue in zero copy is one that receives nothing, but should something come all the same
(a table that was lost, somebody's new rule), its holder does not have it in its memory and cannot alter it on its way.
"""

from __future__ import annotations

import ctypes as ct
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

LIBC = ct.CDLL(None, use_errno=True)
LIBC.mmap.restype = ct.c_void_p
LIBC.mmap.argtypes = [ct.c_void_p, ct.c_size_t, ct.c_int, ct.c_int, ct.c_int, ct.c_long]
LIBC.munmap.argtypes = [ct.c_void_p, ct.c_size_t]
MAP_FIXED, MAP_FAILED = 0x10, ct.c_void_p(-1).value


class FillMemory:
    """Zeroed frames that only the card and we reach."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.fd = os.memfd_create("spillway-fill", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, size_bytes)
            self._seen = mmap.mmap(self.fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            os.close(self.fd)
            raise

    def mark(self) -> int:
        """Return a checksum of what stands there now: another one, and the card has received something."""
        return zlib.crc32(self._seen)

    def close(self) -> None:
        """Let go of it; the kernel keeps the pages as long as the socket lives."""
        self._seen.close()
        os.close(self.fd)


@contextmanager
def side_by_side(*parts: tuple[int, int]) -> Iterator[int]:
    """Map files one behind the other for the block, as registering a UMEM wants it; yields where they begin.

    parts: (descriptor, size in bytes), sizes in whole pages. Raises OSError.
    """
    total = sum(size for _, size in parts)
    start = _map(None, total, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    try:
        at = start
        for descriptor, size in parts:
            _map(at, size, mmap.MAP_SHARED | MAP_FIXED, descriptor)
            at += size
        yield start
    finally:
        LIBC.munmap(start, total)


def _map(at: int | None, size: int, flags: int, descriptor: int) -> int:
    found = LIBC.mmap(at, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, 0)
    if found is None or found == MAP_FAILED:
        raise OSError(ct.get_errno(), os.strerror(ct.get_errno()))
    return int(found)
