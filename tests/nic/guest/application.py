"""An application in a guest: `python -m tests.nic.guest.application SOCKET COUNT` sends numbered packets through a ring.

It runs as nobody, without a capability, as a pod's process does.
"""

from __future__ import annotations

import sys

import numpy

from spillway_stream import Ring, connect
from tests.nic.guest.numbered import BODY_BYTES

REST = numpy.arange(BODY_BYTES - 4)
PATIENCE_S = 30.0


def send(ring: Ring, numbers: range) -> None:
    """Send packets, batch by batch, and wait until the card is done with them."""
    for first in numbers[:: ring.facts.batch]:
        batch = numpy.arange(first, min(first + ring.facts.batch, numbers.stop))
        block = ring.reserve(len(batch), timeout_s=PATIENCE_S)
        ring.payload[block, :4] = batch.astype(">u4").view(numpy.uint8).reshape(-1, 4)
        ring.payload[block, 4:BODY_BYTES] = (batch[:, None] + REST) & 0xFF
        ring.send(size=BODY_BYTES)
    assert ring.drain(PATIENCE_S) == 0


if __name__ == "__main__":
    with connect(sys.argv[1], timeout_s=PATIENCE_S) as taken:
        assert taken.facts.zero_copy, "the ring is a copying one"
        send(taken, range(int(sys.argv[2])))
        print(taken.stats.packets)
