"""One agent acts on a node. The lock is a flock: the kernel gives it back when its holder dies, however it dies.

During an update two agents live for a while. The new one asks for the lock with a file; the old one sees it, finishes its step,
gives the lock away and waits in line, ready to take over again if the new one should die.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time

from spillway_dataplane.kept.store import HANDOVER, LOCK, Store
from spillway_dataplane.source import Inbox, LockTaken

LOG = logging.getLogger(__name__)
COURTESY_S = 2.0  # who gave the lock away lets the other one take it first


class NodeLock:
    """One process's side of the lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._file = os.open(store.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_take(self) -> bool:
        """Take the lock if nobody has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._store.remove([HANDOVER])
        return True

    def request(self, inbox: Inbox, *, ask: bool) -> None:
        """Put LockTaken into the inbox once the lock is ours. ask: tell the holder that somebody newer waits."""
        if ask and self.try_take():
            inbox.put(LockTaken())
            return
        if ask:
            LOG.info("another agent acts on this node; asking it to hand over")
            self._store.write_bytes(HANDOVER, b"", durable=False)
        threading.Thread(target=self._wait, args=(inbox, 0.0 if ask else COURTESY_S), name="spillway-lock", daemon=True).start()

    def _wait(self, inbox: Inbox, pause_s: float) -> None:
        time.sleep(pause_s)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._store.remove([HANDOVER])
        inbox.put(LockTaken())

    @property
    def wanted_by_another(self) -> bool:
        """Whether a newer agent waits for the lock that we hold."""
        return self._store.has(HANDOVER)

    def release(self) -> None:
        """Give the lock away."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the lock away, if we have it, and be done."""
        os.close(self._file)
