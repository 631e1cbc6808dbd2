"""Many events, one wake-up: what comes within a moment is gathered, and somebody is called once for it."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

News = TypeVar("News")
SETTLE_S = 0.05  # a device's start, an editor's save: many events within milliseconds


class Gatherer(Generic[News]):
    """A thread that waits for one descriptor until it is closed.

    read: takes what waits there, without blocking; None: nothing of it concerns anybody. join: makes earlier and later news one.
    callback: must not raise. patience_s: no storm of events keeps it waiting for longer.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        read: Callable[[], News | None],
        join: Callable[[News, News], News],
        callback: Callable[[News], None],
        name: str,
        patience_s: float,
    ) -> None:
        self._descriptor, self._read, self._join, self._callback = descriptor, read, join, callback
        self._patience_s = patience_s
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """End the thread; no callback runs after this returns. False if that was done before."""
        if self._stop < 0:
            return False
        os.eventfd_write(self._stop, 1)
        if self._thread is not threading.current_thread():
            self._thread.join()
        os.close(self._stop)
        self._stop = -1
        return True

    def _run(self) -> None:
        while self._readable(None):
            news = self._settled()
            if news is not None:
                self._callback(news)

    def _settled(self) -> News | None:
        """Gather until nothing comes for a moment, or patience ends."""
        found, deadline = self._read(), time.monotonic() + self._patience_s
        while found is not None and time.monotonic() < deadline and self._readable(SETTLE_S):
            later = self._read()
            found = found if later is None else self._join(found, later)
        return found

    def _readable(self, timeout_s: float | None) -> bool:
        ready = {descriptor for descriptor, _ in self._poll.poll(None if timeout_s is None else timeout_s * 1000)}
        return self._descriptor in ready and self._stop not in ready
