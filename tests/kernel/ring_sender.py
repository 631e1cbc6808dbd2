"""A numbered stream through the library, a driver in a process of its own, and what arrived: for tests that count."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel.ring_wire import Wire

from spillway_stream import NotReady, Ring, connect

PACKETS_PER_SECOND = 20_000
BATCH, SIZE = 16, 100
DRIVER = """
import sys
from pathlib import Path
from tests.kernel.ring_lab import make_order
from spillway_dataplane.stream.keeper import RingKeeper
keeper = RingKeeper()
print(keeper.open(make_order(Path(sys.argv[1]))).state, flush=True)
sys.stdin.read()
keeper.stop()
"""


class Sender:
    """Sends numbered packets at a steady pace from a thread; one that the link refuses is sent again later."""

    def __init__(self, directory: Path) -> None:
        self.ring: Ring = connect(str(directory / "ring.sock"), timeout_s=10, batch=BATCH, packets_per_second=PACKETS_PER_SECOND)
        self.sent, self.refusals, self.resumed, self._stop = 0, 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            block = self.ring.reserve(BATCH)
            for at, number in enumerate(range(self.sent, self.sent + BATCH), start=block.start):
                self.ring.payload[at, :4] = list(number.to_bytes(4, "big"))
            self.sent += self._send()
            self.resumed = self.ring.stats.resumed  # here, because one thread at a time may use a ring

    def _send(self) -> int:
        gone = 0
        while gone < BATCH and not self._stop.is_set():
            try:
                gone += self.ring.send(size=SIZE)
            except NotReady as refused:
                gone += refused.sent
                self.refusals += 1
                time.sleep(0.005)
        return gone

    def until(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while self.sent < count:
            assert self._thread.is_alive() and time.monotonic() < deadline, self.sent
            time.sleep(0.005)

    def until_resumed(self, times: int) -> None:
        deadline = time.monotonic() + 20
        while self.resumed < times:
            assert self._thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)

    def finish(self) -> int:
        self._stop.set()
        self._thread.join()
        self.ring.close()
        return self.sent


@contextmanager
def sending(directory: Path) -> Iterator[Sender]:
    sender = Sender(directory)
    try:
        sender.until(2000)
        yield sender
    finally:
        sender.finish()


@contextmanager
def driver(tmp_path: Path, state: str = "Starting") -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() in (state, "Ready", "Unresolved")
            yield process
        finally:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()


def arrived(far: Wire, count: int) -> list[tuple[int, bytes]]:
    """Numbers in the order of their arrival, each with the MAC address it was sent to."""
    found: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        frames = [each for each in far.raw(0) if len(each) == 42 + SIZE and each[12:14] == b"\x08\x00"]
        found += [(int.from_bytes(each[42:46], "big"), each[:6]) for each in frames]
    return found


def in_order(count: int) -> list[int]:
    return list(range(count))
