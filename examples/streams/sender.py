"""Send a counter to the stream's destination, 64 packets a system call, at the stream's own pace. Ctrl-C ends it.

python sender.py [packets]     # in a pod with a claim; SPILLWAY_RING is set there
"""

from __future__ import annotations

import sys
import time

import numpy as np

from spillway_stream import NotReady, Ring, connect, quantile_ns

SIZE, BATCH = 1400, 64


def main() -> None:
    """Send so many packets, or without end, and say every second how it goes."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
    sent, told_s = 0, time.monotonic()
    with connect() as ring:
        print(f"{ring.facts.stream}: {ring.facts.interface} queue {ring.facts.queue}, {ring.facts.payload_bytes} bytes a packet")
        numbers = ring.payload[:, :8].view(">u8")[:, 0]
        while wanted is None or sent < wanted:
            sent += send_batch(ring, numbers, sent, BATCH if wanted is None else min(BATCH, wanted - sent))
            if time.monotonic() - told_s > 1:
                told_s = time.monotonic()
                tell(ring)
        ring.drain()
        tell(ring)


def send_batch(ring: Ring, numbers: np.ndarray, first: int, count: int) -> int:
    """The next packets, or none while the way is closed."""
    block = ring.reserve(count)
    numbers[block] = np.arange(first, first + count)
    try:
        return ring.send(size=SIZE)
    except NotReady as closed:
        print(f"waiting: {closed}")
        time.sleep(0.5)
        return closed.sent


def tell(ring: Ring) -> None:
    """One line of figures."""
    stats = ring.stats
    p99_us = quantile_ns(stats.jitter, 0.99) / 1000
    print(f"{stats.packets} packets, {stats.kicks} calls, {stats.late} late, {stats.holes} holes, p99 {p99_us:.1f} us")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
