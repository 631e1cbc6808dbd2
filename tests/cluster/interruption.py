"""Stopping a command half-way: what it made so far is undone, and nothing interrupts the undoing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tests.cluster.shell import say

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undone_on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Run the block; if it fails or somebody stops it, undo what it did, undisturbed, and let the failure go on."""
    with signals(stop):
        try:
            yield
        except BaseException:
            with signals(signal.SIG_IGN):  # the programs started here inherit it
                say("interrupted or failed: taking down what was made")
                undo()
            raise


def stop(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle the signals that end a program in one way for a while. Only a main thread can, and gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
