"""Who holds the node's lock, asked without getting in an agent's way."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

PROC_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """Whether an agent acts on this node. pid: its process, 0 when it is in a container that we cannot look into."""

    working: bool = False
    pid: int = 0

    def __str__(self) -> str:
        """As a sentence has it."""
        if not self.working:
            return "none at work here"
        return f"process {self.pid}" if self.pid else "at work, in another container"


def see_agent(lock: Path) -> AgentSeen:
    """Look who holds the lock. /proc/locks disturbs nobody; it hides processes outside our own process namespace."""
    pid = _holder(lock)
    return AgentSeen(pid > 0 or _is_held(lock), pid)


def _holder(lock: Path) -> int:
    try:
        inode = str(lock.stat().st_ino)
        rows = PROC_LOCKS.read_text().splitlines()
    except OSError:
        return 0
    for row in rows:
        words = row.split()  # `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`; one that waits has an arrow after the number
        if words[1] == "FLOCK" and words[3] == "WRITE" and words[5].rpartition(":")[2] == inode:
            return int(words[4])
    return 0


def _is_held(lock: Path) -> bool:
    """Ask by a shared lock for a moment: an agent that begins in this very moment waits for it, and then has the node."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
