"""`python -m tests.bench.tx_python SOCKET SECONDS BATCH BLOCK`: the Python sender of row tx-python. One line of JSON.

Every packet gets its Ethernet, IPv4 and UDP header, RTP's number and time, and 1,388 bytes of payload, all written with numpy;
the library checks and sends.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from spillway_stream import connect

PAYLOAD, RTP = 1400, 12


def main() -> None:
    """Send for so long, then say how many."""
    path, seconds, batch, block_size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    picture = np.random.default_rng(1).integers(0, 255, (block_size, PAYLOAD - RTP), dtype=np.uint8)
    numbers, sent = np.arange(block_size, dtype=np.uint32), 0
    with connect(path, timeout_s=10, batch=batch) as ring:
        head = ring.facts.header_bytes
        template = ring.frames[0, :head].copy()
        headers, bodies = ring.frames[:, :head], ring.payload[:, RTP:PAYLOAD]
        rtp_number = ring.payload[:, 2:4].view(">u2")[:, 0]
        rtp_time = ring.payload[:, 4:8].view(">u4")[:, 0]
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            block = ring.reserve(block_size)
            headers[block] = template
            bodies[block] = picture
            now = numbers + np.uint32(sent & 0x7FFFFFFF)
            rtp_number[block] = now
            rtp_time[block] = now * 90
            sent += ring.send(size=PAYLOAD)
        took = time.perf_counter() - begin
        print(json.dumps({"packets": sent, "seconds": took, "calls": ring.stats.kicks}))


if __name__ == "__main__":
    main()
