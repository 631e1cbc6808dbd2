"""The pacer by a clock that the test moves: what a batch costs, what explains lateness, how it is caught up."""

from __future__ import annotations

import ctypes as ct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import spillway_stream
from spillway_stream.pages import REPORT_COUNTERS, bucket_floor_ns

CORE = Path(spillway_stream.__file__).parent / "core"
MICROSECOND, MILLISECOND = 1_000, 1_000_000
RATE, BATCH = 340_000, 4
SPAN_NS = BATCH * 1_000_000_000 // RATE
STUB = """
#include <stdlib.h>
#include "core.h"
uint64_t stub_now = 1000000000, stub_looks, stub_away_at;
int stub_clock(clockid_t clock, struct timespec *now) {
  (void)clock;
  stub_looks++, stub_now += stub_looks == stub_away_at ? 250000 : 25;
  return *now = (struct timespec){(time_t)(stub_now / SECOND_NS), (long)(stub_now % SECOND_NS)}, 0;
}
uint64_t spw_tai_ns(void) { return stub_now; }
uint64_t spw_monotonic_of(uint64_t at_tai_ns) { return at_tai_ns; }
int stub_sleep(clockid_t clock, int flags, const struct timespec *till, struct timespec *rest) {
  (void)clock, (void)flags, (void)rest;
  uint64_t till_ns = (uint64_t)till->tv_sec * SECOND_NS + (uint64_t)till->tv_nsec;
  return stub_now = till_ns > stub_now ? till_ns : stub_now, 0;
}
struct spw_ring *stub_ring(uint64_t packets_per_second) {
  struct spw_ring *ring = calloc(1, sizeof *ring);
  spw_pace(ring, packets_per_second, SECOND_NS);
  ring->pacer.due = (u128)stub_now << 32;
  ring->pacer.seen_ns = stub_now;
  ring->pacer.started = true;
  ring->offer.batch = 64;
  return ring;
}
/* away_ns: passes while the batch is prepared. cost_ns: its kick. Returns when it was handed over. */
uint64_t stub_batch(struct spw_ring *ring, uint32_t packets, uint64_t away_ns, uint64_t cost_ns) {
  uint64_t due_ns, handed_ns;
  stub_now += away_ns;
  spw_wait_due(ring, &due_ns, &handed_ns);
  stub_now += cost_ns;
  spw_judge(ring, packets, due_ns, handed_ns);
  spw_advance(ring, packets, 0);
  return handed_ns;
}
void stub_begin(struct spw_ring *ring) { spw_begin(ring, &(struct spw_send_how){.size = 1}); }
uint64_t stub_counter(struct spw_ring *ring, uint32_t which) { return ring->counters[which]; }
uint64_t stub_jitter(struct spw_ring *ring, uint32_t which) { return ring->jitter[which]; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    home = tmp_path_factory.mktemp("pacer")
    (home / "stub.c").write_text(STUB)
    stubs = ["-Dclock_nanosleep=stub_sleep", "-Dclock_gettime=stub_clock"]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", *stubs, f"-I{CORE}"]
    sources = [str(home / "stub.c"), str(CORE / "pacer.c")]
    subprocess.run(["gcc", *flags, *sources, "-o", str(home / "pacer.so")], check=True)
    made = ct.CDLL(str(home / "pacer.so"))
    made.stub_ring.argtypes, made.stub_ring.restype = [ct.c_uint64], ct.c_void_p
    made.stub_batch.argtypes, made.stub_batch.restype = [ct.c_void_p, ct.c_uint32, ct.c_uint64, ct.c_uint64], ct.c_uint64
    made.stub_begin.argtypes, made.stub_begin.restype = [ct.c_void_p], None
    for look in (made.stub_counter, made.stub_jitter):
        look.argtypes, look.restype = [ct.c_void_p, ct.c_uint32], ct.c_uint64
    return made


class Paced:
    """A ring's schedule in batches of BATCH."""

    def __init__(self, compiled: ct.CDLL, rate: int = RATE) -> None:
        self._c, self._ring = compiled, compiled.stub_ring(rate)

    def send(self, batches: int, *, away_ns: int = 0, cost_ns: int = 5 * MICROSECOND) -> list[int]:
        """When each was handed over; away_ns passes before the first."""
        return [self._c.stub_batch(self._ring, BATCH, 0 if number else away_ns, cost_ns) for number in range(batches)]

    def begin(self) -> None:
        self._c.stub_begin(self._ring)

    def count(self, name: str) -> int:
        return int(self._c.stub_counter(self._ring, REPORT_COUNTERS.index(name)))

    def looks(self) -> int:
        return ct.c_uint64.in_dll(self._c, "stub_looks").value

    def jitter(self) -> dict[int, int]:
        counts = ((bucket, int(self._c.stub_jitter(self._ring, bucket))) for bucket in range(272))
        return {bucket: count for bucket, count in counts if count}


@pytest.fixture
def paced(compiled: ct.CDLL) -> Paced:
    return Paced(compiled)


def test_batches_go_when_they_are_due(paced: Paced) -> None:
    handed = paced.send(1000)
    gaps = [after - before for before, after in pairwise(handed)]
    assert all(abs(gap - SPAN_NS) <= 50 for gap in gaps)
    assert abs(handed[-1] - handed[0] - 999 * 1_000_000_000 * BATCH / RATE) <= 50
    assert [bucket_floor_ns(bucket) < 32 for bucket in paced.jitter()] == [True] * len(paced.jitter())
    assert sum(paced.jitter().values()) == 1000 * BATCH
    assert (paced.count("late"), paced.count("holes")) == (0, 0)


def test_a_late_batch_looks_at_the_clock_as_often_as_the_plainest_loop(paced: Paced) -> None:
    """Once when it may go, once when it went: each look costs it tens of nanoseconds."""
    paced.send(1)
    paced.send(1, away_ns=100 * MICROSECOND, cost_ns=8 * MICROSECOND)
    before = paced.looks()
    paced.send(5, cost_ns=8 * MICROSECOND)
    assert paced.looks() - before == 2 * 5


def test_without_a_schedule_nobody_looks_at_the_clock(compiled: ct.CDLL) -> None:
    free = Paced(compiled, rate=0)
    before = free.looks()
    free.begin()
    free.send(10)
    assert (free.looks(), free.jitter()) == (before, {})


def test_a_hole_explains_what_it_made_late(paced: Paced) -> None:
    """Also while the sender catches up, at twice its pace."""
    paced.send(100)
    handed = paced.send(4000, away_ns=10 * MILLISECOND)
    assert paced.count("holes") == 1
    assert paced.count("longest_hole_ns") == pytest.approx(10 * MILLISECOND, rel=0.01)
    assert paced.count("late") == pytest.approx(9 * MILLISECOND / SPAN_NS * 2 * BATCH, rel=0.05)
    assert paced.count("late_outside_holes") == 0
    gaps = [after - before for before, after in pairwise(handed)]
    assert gaps[-1] >= 0.9 * SPAN_NS


@pytest.mark.parametrize("away_ns", [30 * MICROSECOND, MILLISECOND, 10 * MILLISECOND])
def test_never_more_than_the_streams_batch_at_once(paced: Paced, away_ns: int) -> None:
    """Between any two moments: what twice the pace gives, and 64 packets. In batches of 4 that cost next to nothing."""
    paced.send(100)
    handed = paced.send(2000, away_ns=away_ns, cost_ns=100)
    for first in range(0, 1000, 7):
        for last in range(first, len(handed)):
            assert (last - first + 1) * BATCH <= 64 + (handed[last] - handed[first]) * 2 * RATE / 1e9 + 0.5


def test_a_hiccup_is_made_good_as_fast_as_the_card_takes_it(paced: Paced) -> None:
    """Less than a hole, as a timer's interrupt: the plainest loop does the same, and its jitter is what ours is measured by."""
    paced.send(100)
    handed = paced.send(12, away_ns=40 * MICROSECOND)
    due = [handed[-1] - (len(handed) - 1 - number) * SPAN_NS for number in range(len(handed))]
    late = [at - wanted for at, wanted in zip(handed, due, strict=True)]
    assert late[-3:] == pytest.approx([0, 0, 0], abs=60)
    gaps = [after - before for before, after in pairwise(handed)]
    assert gaps[:3] == pytest.approx([5 * MICROSECOND] * 3, abs=100)


def test_a_hole_does_not_excuse_a_sender_that_is_too_slow(paced: Paced) -> None:
    """A card that takes less than the rate is late for ever, whatever happened once."""
    paced.send(100)
    paced.send(1, away_ns=10 * MILLISECOND)
    paced.send(10_000, cost_ns=2 * SPAN_NS)
    assert paced.count("holes") == 1
    explained = paced.count("late") - paced.count("late_outside_holes")
    assert explained == pytest.approx(100 * MILLISECOND / (2 * SPAN_NS) * BATCH, rel=0.05)
    assert paced.count("late_outside_holes") > 20_000


def test_a_kick_that_the_core_left_is_a_hole(paced: Paced) -> None:
    paced.send(100)
    paced.send(1, cost_ns=MILLISECOND + 500 * MICROSECOND)
    paced.send(1000)
    assert paced.count("holes") == 1
    assert paced.count("late") > 0
    assert paced.count("late_outside_holes") == 0


def test_a_hole_in_the_spin_is_logged_and_waited_out(compiled: ct.CDLL) -> None:
    """The core is away in the midst of it: the batch goes as soon as it is back."""
    slow = Paced(compiled, rate=10_000)
    slow.send(2)
    ct.c_uint64.in_dll(compiled, "stub_away_at").value = slow.looks() + 50
    slow.send(2)
    assert slow.count("holes") == 1
    assert slow.count("longest_hole_ns") == pytest.approx(250 * MICROSECOND, rel=0.01)
    assert (slow.count("late"), sum(slow.jitter().values())) == (0, 4 * BATCH)
