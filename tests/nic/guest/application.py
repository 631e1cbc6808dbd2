"""An application in a guest: `python -m tests.nic.guest.application SOCKET COUNT` sends numbered packets through a ring.

It runs as nobody, without a capability, as a pod's process does.
"""

from __future__ import annotations

import sys

import numpy

from spillway_stream import connect
from tests.nic.guest.numbered import BODY_BYTES


def send_all(path: str, count: int) -> None:
    shape = numpy.arange(BODY_BYTES - 4)
    with connect(path, timeout_s=30) as ring:
        assert ring.facts.zero_copy, "the ring is a copying one"
        for first in range(0, count, ring.facts.batch):
            numbers = numpy.arange(first, min(first + ring.facts.batch, count))
            block = ring.reserve(len(numbers), timeout_s=20)
            ring.payload[block, :4] = numbers.astype(">u4").view(numpy.uint8).reshape(-1, 4)
            ring.payload[block, 4:BODY_BYTES] = (numbers[:, None] + shape) & 0xFF
            ring.send(size=BODY_BYTES)
        assert ring.drain(20.0) == 0
        print(ring.stats.packets)


if __name__ == "__main__":
    send_all(sys.argv[1], int(sys.argv[2]))
