"""Work on single claims by many threads: one at a time for each, patient until a deadline, given up when nobody wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from spillway_crds.errors import SpillwayError, Transient

LOOK_AGAIN_S = 0.25  # while waiting; whoever ends a turn wakes the others at once
Result = TypeVar("Result")


class Turns:
    """Who works on which claim. news: held while what all share is read or changed."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self._busy: set[str] = set()
        self._unwanted: set[str] = set()
        self._stopping = False

    @contextmanager
    def turn(self, uid: str, *, wait: bool = True) -> Iterator[bool]:
        """Work on one claim alone. Yields False where it is another's turn and was not to be waited for.

        Raises Transient when this process hands over to another.
        """
        with self.news:
            if wait:
                self.news.wait_for(lambda: uid not in self._busy or self._stopping)
            if self._stopping:
                raise Transient(operation=f"work on claim {uid}", detail="this process of the driver is ending")
            ours = uid not in self._busy
            self._busy.add(uid)
        try:
            yield ours
        finally:
            with self.news:
                if ours:
                    self._busy.discard(uid)
                    self.news.notify_all()

    @contextmanager
    def unwanted(self, uid: str) -> Iterator[None]:
        """End every wait for this claim, and work on it alone."""
        with self.news:
            self._unwanted.add(uid)
            self.news.notify_all()
        try:
            with self.turn(uid):
                yield
        finally:
            with self.news:
                self._unwanted.discard(uid)
                self.news.notify_all()

    def patiently(
        self, uid: str, deadline: float, step: Callable[[], Result], *, may_pass: Callable[[SpillwayError], bool]
    ) -> Result:
        """Do a step, again and again while it fails with what may pass, until this monotonic time. Raises what it failed with."""
        while True:
            try:
                return step()
            except SpillwayError as error:
                if not may_pass(error) or time.monotonic() >= deadline:
                    raise
                with self.news:
                    if self._stopping or uid in self._unwanted:
                        raise
                    self.news.wait(min(LOOK_AGAIN_S, max(0.0, deadline - time.monotonic())))

    def stop(self) -> None:
        """Begin nothing more, and return when what was begun has ended. Who waits fails, and kubelet asks again."""
        with self.news:
            self._stopping = True
            self.news.notify_all()
            self.news.wait_for(lambda: not self._busy)
