"""Steps that ring tests share."""

from __future__ import annotations

import time
from collections.abc import Callable

from spillway_stream import Ring


def send(ring: Ring, count: int, size: int = 100) -> int:
    ring.reserve(count)
    return ring.send(size=size)


def wait_until(what: str, holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
