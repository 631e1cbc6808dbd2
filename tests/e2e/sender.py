"""What an application owner would write, and what runs in the tests' pods: numbered packets through a ring, in plain Python.

    COUNT       packets to send, 0: until told to stop
    SIZE        payload bytes of each; its number is in the first eight that lie on a multiple of eight of the frame
    RATE        packets a second, 0: as fast as it goes, none: the stream's own pace
    STAY        seconds to hold the ring after the last packet
    SLEEP       seconds between two batches, for a sender that is hardly awake

Says on standard output, one JSON object a line: that it waits and for whom, that it has the ring, how much was sent.
"""

from __future__ import annotations

import json
import os
import signal
import time
from array import array
from types import FrameType

from spillway_stream import Ring, connect

BLOCK = 64
WORD = 8


class Told(Exception):
    """Somebody asked us to end."""


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def stop(_number: int, _frame: FrameType | None) -> None:
    raise Told


def send(ring: Ring, count: int, size: int, pause_s: float) -> int:
    """Number packets from 0 on and send them; return how many were handed over."""
    words = memoryview(ring.frames).cast("B").cast("Q")
    step, start = ring.facts.frame_bytes // WORD, -(-ring.facts.header_bytes // WORD)
    sent = 0
    try:
        while not count or sent < count:
            block = ring.reserve(min(BLOCK, count - sent) if count else BLOCK)
            wanted = block.stop - block.start
            words[block.start * step + start : block.stop * step : step] = memoryview(array("Q", range(sent, sent + wanted)))
            sent += ring.send(size=size)
            if pause_s:
                time.sleep(pause_s)
    except Told:
        pass
    return sent


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    rate = os.environ.get("RATE")
    ring = connect(
        packets_per_second=int(rate) if rate else None,
        drop_when_not_ready=True,
        waiting=lambda what: say(waiting=what),
    )
    with ring:
        say(ring=ring.facts.interface, queue=ring.facts.queue, zeroCopy=ring.facts.zero_copy)
        sent = send(
            ring, int(os.environ.get("COUNT", "0")), int(os.environ.get("SIZE", "1000")), float(os.environ.get("SLEEP", "0"))
        )
        ring.drain()
        stats = ring.stats
        say(sent=sent, packets=stats.packets, bytes=stats.bytes, refused=stats.refused)
        try:
            time.sleep(float(os.environ.get("STAY", "0")))
        except Told:
            pass


if __name__ == "__main__":
    main()
