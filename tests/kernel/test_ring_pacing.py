"""The pacer's promises that hold on any machine, however busy: never early, never more at once, everything counted.

How late it is under which load is a row of `make bench` (tx-pacing), not a test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair
from tests.kernel.ring_server import RingNode, header_page, ring_node
from tests.kernel.ring_wire import address

from spillway_crds.streams import Flow
from spillway_stream import Ring, connect, tai_ns
from spillway_stream.pages import bucket_floor_ns

FLOW = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)


@pytest.fixture
def node(netns_pair: NetnsPair, tmp_path: Path) -> Iterator[RingNode]:
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, FLOW), frames=1024) as opened:
        yield opened


def seconds(ring: Ring, count: int, size: int = 100) -> float:
    """How long sending so many packets takes."""
    begin = time.monotonic()
    for _ in range(0, count, 100):
        ring.reserve(min(count, 100))
        ring.send(size=size)
    return time.monotonic() - begin


def test_packets_are_never_early(node: RingNode) -> None:
    with connect(node.path, timeout_s=5, packets_per_second=5000, batch=4) as ring:
        assert seconds(ring, 1000) >= (1000 - 4) / 5000
        assert (ring.stats.packets, sum(ring.stats.jitter)) == (1000, 1000)


def test_bits_count_as_ip_packets(node: RingNode) -> None:
    """1,000 packets of 28 + 1,222 bytes at 80 Mbit/s take an eighth of a second."""
    with connect(node.path, timeout_s=5, bits_per_second=80_000_000, batch=2) as ring:
        assert seconds(ring, 1000, size=1222) >= 0.125 * 998 / 1000


def test_no_kick_hands_over_more_than_a_batch(node: RingNode) -> None:
    with connect(node.path, timeout_s=5, packets_per_second=100_000, batch=8) as ring:
        ring.reserve(100)
        ring.send(size=10)
        assert ring.stats.batches == 13
        assert ring.facts.batch == 8
    with connect(node.path, timeout_s=5, batch=1000) as ring:
        assert ring.facts.batch == 64  # the stream's is the most


def test_a_late_sender_catches_up_at_most_at_twice_its_pace(node: RingNode) -> None:
    with connect(node.path, timeout_s=5, packets_per_second=1000, batch=1) as ring:
        ring.reserve(50)
        begin = time.monotonic()
        ring.send(size=10, at_tai_ns=tai_ns() - 60_000_000)
        assert time.monotonic() - begin >= 49 * 0.0005 - 0.0001
        assert ring.stats.late > 0
        assert ring.stats.latest_ns >= 60_000_000


def test_a_sender_that_paused_begins_anew(node: RingNode) -> None:
    """What was missed while the application had nothing to send is not sent after it."""
    with connect(node.path, timeout_s=5, packets_per_second=1000, batch=1) as ring:
        seconds(ring, 1)
        time.sleep(0.25)
        assert seconds(ring, 50) >= 49 * 0.001


def test_a_send_at_a_given_time(node: RingNode) -> None:
    with connect(node.path, timeout_s=5, packets_per_second=1000, batch=10) as ring:
        at = tai_ns() + 150_000_000
        ring.reserve(30)
        ring.send(size=10, at_tai_ns=at)
        assert tai_ns() >= at + 20_000_000
        ring.reserve(10)
        ring.send(size=10, at_tai_ns=at)
        assert ring.stats.late >= 10  # it was past


def test_a_time_far_ahead_is_waited_for(node: RingNode) -> None:
    """A quiet quarter of a minute in a capture, say."""
    with connect(node.path, timeout_s=5) as ring:
        at = tai_ns() + 11_000_000_000
        ring.reserve(1)
        ring.send(size=10, at_tai_ns=at)
        assert tai_ns() >= at


class Enough(Exception):
    """A signal that somebody sent."""


def test_a_wait_that_was_given_up_delays_nobody(node: RingNode) -> None:
    """Of a send that was to leave in hours, and did not, nothing is caught up with."""

    def stop(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with connect(node.path, timeout_s=5) as ring:
            ring.reserve(2)
            ring.send(1, size=10)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Enough):
                ring.send(1, size=10, at_tai_ns=tai_ns() + 20 * 3600 * 10**9)
            signal.setitimer(signal.ITIMER_REAL, 5)
            ring.send(1, size=10, at_tai_ns=tai_ns() + 10_000_000)
            assert ring.stats.packets == 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


SLEEPER = """
import sys
from spillway_stream import connect, tai_ns
with connect(sys.argv[1], timeout_s=10) as ring:
    ring.reserve(1)
    ring.send(size=10, at_tai_ns=tai_ns() + 2_000_000_000)
    stats = ring.stats
    print(stats.late, stats.late_outside_holes, stats.holes, stats.longest_hole_ns, max(each.length_ns for each in ring.holes))
"""


def test_a_core_that_is_taken_away_is_a_hole(node: RingNode) -> None:
    """A process stopped from before its packet is due until after it: late, and a hole says why."""
    child = subprocess.Popen([sys.executable, "-c", SLEEPER, node.path], stdout=subprocess.PIPE, text=True)
    while "nanosleep" not in Path(f"/proc/{child.pid}/wchan").read_text():  # it waits for the schedule
        time.sleep(0.01)
        assert child.poll() is None
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(child.pid, signal.SIGCONT)
    output, _ = child.communicate(timeout=30)
    late, outside, holes, longest_ns, logged_ns = (int(each) for each in output.split())
    assert (late, outside) == (1, 0)
    assert holes >= 1
    assert longest_ns == logged_ns > 100_000_000


def test_the_histogram_holds_how_late(node: RingNode) -> None:
    """A packet half a second late stands in the bucket of half a second, and no memory grows."""
    with connect(node.path, timeout_s=5, packets_per_second=1000, batch=1) as ring:
        ring.reserve(1)
        ring.send(size=10, at_tai_ns=tai_ns() - 500_000_000)
        (bucket,) = (index for index, count in enumerate(ring.stats.jitter) if count)
        assert bucket_floor_ns(bucket) <= ring.stats.latest_ns < bucket_floor_ns(bucket + 1)
        assert ring.stats.latest_ns >= 500_000_000
