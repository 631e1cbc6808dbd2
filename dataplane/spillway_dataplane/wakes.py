"""Signals as wake-ups: the end of the process, and changes of the marker files in the state directory."""

from __future__ import annotations

import fcntl
import os
import signal
from types import FrameType

from spillway_dataplane.kept.store import HANDOVER, OFF, ON, Store
from spillway_dataplane.source import Inbox, MarkersChanged, Stop

MARKERS = (OFF, ON, HANDOVER)
ENTRY_CHANGES = fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT


class Wakes:
    """Signal handlers of the main thread. They only look and put: what is to be done, the loop does.

    Changes come as dnotify's SIGIO (fcntl(2), F_NOTIFY): a few file names need no more.
    """

    def __init__(self, store: Store, inbox: Inbox) -> None:
        self._store, self._inbox = store, inbox
        self._markers = self._look()
        self._directory = os.open(store.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def install(self) -> None:
        """Begin. Only the main thread may; raises ValueError elsewhere."""
        signal.signal(signal.SIGIO, self._directory_changed)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        fcntl.fcntl(self._directory, fcntl.F_NOTIFY, ENTRY_CHANGES)

    def _look(self) -> tuple[bool, ...]:
        return tuple(self._store.has(name) for name in MARKERS)

    def _directory_changed(self, number: int, frame: FrameType | None) -> None:
        """Our own files come and go there too: only a marker's change wakes the loop."""
        markers = self._look()
        if markers != self._markers:
            self._markers = markers
            self._inbox.put(MarkersChanged())

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._inbox.put(Stop())
