"""Memory that processes share by descriptor and whose size nobody can change. Source: memfd_create(2), fcntl(2)."""

from __future__ import annotations

import errno
import fcntl
import os

SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
F_SEAL_FUTURE_WRITE = 0x10


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


def memory_inode(fd: int, size_bytes: int) -> int | None:
    """Return what identifies a memfd of that size and our seals, None for any other descriptor. Cannot block."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SIZE_SEALS != SIZE_SEALS:
            return None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EBADF):
            return None
        raise
    seen = os.fstat(fd)  # only a memfd has seals: no filesystem of somebody's own answers here
    return seen.st_ino if seen.st_size == size_bytes else None
