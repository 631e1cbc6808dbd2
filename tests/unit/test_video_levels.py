"""The C loop's pacing and its live figures, on a clock that the test owns, against the laws of ST 2110-21 in timing.py.

video.c is compiled with a ring that only notes when each batch was handed over; a hand-over takes as long as the test says.
"""

from __future__ import annotations

import ctypes as ct
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.video.formats import PictureFormat, pixel_group
from spillway_stream.video.packets import packet_table, shape_packets
from spillway_stream.video.timing import NANOSECONDS, FrameTiming, Profile, buffer_extremes, network_peak

CORE = Path(__file__).parents[2] / "dataplane/spillway_stream/core"
TICK_NS = 20  # each look at a clock takes so long
STUB = """
#include <time.h>
#include "sources.h"
#define TICK 20
int64_t stub_now, stub_ahead, stub_step, stub_costs[64], stub_handed[100000];
uint32_t stub_batches, stub_packets;
static uint8_t frames[256][2048];
static uint32_t lengths[256];
uint64_t spw_monotonic_of(uint64_t at_tai_ns) { return at_tai_ns - (uint64_t)stub_ahead; }
int stub_clock(clockid_t clock, struct timespec *now) {
  (void)clock;
  stub_now += TICK;
  *now = (struct timespec){stub_now / 1000000000, stub_now % 1000000000};
  return 0;
}
void spw_facts(struct spw_ring *ring, struct spw_facts *facts) { (void)ring, *facts = (struct spw_facts){.header_bytes = 42}; }
uint8_t *spw_frame(struct spw_ring *ring, uint32_t index) { (void)ring; return frames[index]; }
uint32_t *spw_lengths(struct spw_ring *ring) { (void)ring; return lengths; }
int spw_reserve(struct spw_ring *ring, uint32_t n, int64_t timeout_ns, uint32_t *first, struct spw_error *error) {
  (void)ring, (void)timeout_ns, (void)error;
  *first = 0;
  return n > 256 ? -1 : 0;
}
int spw_send(struct spw_ring *ring, uint32_t n, const struct spw_send_how *how, uint32_t *sent, struct spw_error *error) {
  (void)ring, (void)error;
  int64_t due = (int64_t)(how->at_tai_ns ? spw_monotonic_of(how->at_tai_ns) : how->at_monotonic_ns);
  if (stub_now < due) stub_now = due;
  stub_ahead += stub_batches == 3 ? stub_step : 0;
  stub_now += stub_costs[stub_batches++ % 64];
  for (uint32_t i = 0; i < n; i++) stub_handed[stub_packets++] = stub_now + TICK;
  *sent = n;
  return 0;
}
"""


class RtpState(ct.Structure):
    """struct spw_rtp_state."""

    _fields_ = [("sequence", ct.c_uint32), ("timestamps", ct.c_uint32 * 2), ("ssrc", ct.c_uint32), ("payload_type", ct.c_uint8)]


class Picture(ct.Structure):
    """struct spw_picture."""

    _fields_ = [("packets", ct.c_void_p), ("count", ct.c_uint32), ("pixels", ct.c_char_p), ("state", RtpState)]


class Schedule(ct.Structure):
    """struct spw_schedule."""

    _fields_ = [
        ("read_ns", ct.c_int64), ("lead_ns", ct.c_int64), ("spacing_ns", ct.c_double), ("drain_ns", ct.c_double),
        ("clock_offset_ns", ct.c_int64), ("burst", ct.c_uint32),
    ]  # fmt: skip


class Levels(ct.Structure):
    """struct spw_levels."""

    _fields_ = [
        ("bucket", ct.c_double), ("before_ns", ct.c_int64), ("bucket_peak", ct.c_double), ("buffer_peak", ct.c_int32),
        ("buffer_lowest", ct.c_int32), ("first_ns", ct.c_int64), ("last_ns", ct.c_int64),
    ]  # fmt: skip


PICTURE = PictureFormat(640, 180, pixel_group("YCbCr-4:2:2", 8))
SHAPES = shape_packets(PICTURE, 1460)
TIMING = FrameTiming(Fraction(1, 100), len(SHAPES), PICTURE.height, False, Profile.WIDE)
NUMBER = 180_000_000_000  # a frame of the year 2027
START_NS = int(TIMING.start_s(NUMBER) * NANOSECONDS)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    home = tmp_path_factory.mktemp("levels")
    (home / "stub.c").write_text(STUB)
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-Dclock_gettime=stub_clock", f"-I{CORE}"]
    words = ["gcc", *flags, str(home / "stub.c"), str(CORE / "video.c"), "-lm", "-o", str(home / "loop.so")]
    subprocess.run(words, check=True)
    return ct.CDLL(str(home / "loop.so"))


def send_frame(loop: ct.CDLL, batch: int, lead_ns: int, costs_ns: list[int], step_ns: int = 0) -> tuple[Levels, list[int]]:
    """One frame. costs_ns: how long each hand-over takes, over and over. step_ns: what CLOCK_TAI is set on after three.

    Returns levels and each packet's time.
    """
    table = ct.create_string_buffer(packet_table(SHAPES))
    picture = Picture(ct.addressof(table), len(SHAPES), bytes(PICTURE.frame_bytes), RtpState(0, (0, 0), 0, 96))
    schedule = Schedule(
        START_NS, lead_ns, float(TIMING.spacing_s * NANOSECONDS), float(TIMING.drain_s * NANOSECONDS), 0, TIMING.burst_packets
    )
    levels, error, rings = Levels(), ct.create_string_buffer(512), (ct.c_void_p * 1)(None)
    ct.c_int64.in_dll(loop, "stub_now").value = START_NS - 1_000_000_000
    ct.c_int64.in_dll(loop, "stub_ahead").value = 0
    ct.c_int64.in_dll(loop, "stub_step").value = step_ns
    for name in ("stub_batches", "stub_packets"):
        ct.c_uint32.in_dll(loop, name).value = 0
    (ct.c_int64 * 64).in_dll(loop, "stub_costs")[:] = [costs_ns[place % len(costs_ns)] for place in range(64)]
    assert loop.spw_send_picture(rings, 1, ct.byref(picture), ct.byref(schedule), batch, ct.byref(levels), error) == 0
    handed = (ct.c_int64 * 100_000).in_dll(loop, "stub_handed")
    assert ct.c_uint32.in_dll(loop, "stub_packets").value == len(SHAPES)
    return levels, list(handed[: len(SHAPES)])


costs = st.lists(st.integers(500, 20_000) | st.integers(20_000, 3_000_000), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 64), lead_ns=st.integers(0, 500_000), costs_ns=costs)
def test_live_figures_are_the_laws(loop: ct.CDLL, batch: int, lead_ns: int, costs_ns: list[int]) -> None:
    """However long hand-overs take: VRX and C_INST of the C loop are what the standard's definitions make of the same times."""
    levels, times = send_frame(loop, batch, lead_ns, costs_ns)
    lowest, highest = buffer_extremes(times, NUMBER, TIMING)
    assert abs(levels.buffer_lowest - min(lowest, 0)) <= 1  # the C loop rounds a read's time to a double
    assert abs(levels.buffer_peak - max(highest, 0)) <= 1
    assert levels.bucket_peak == pytest.approx(float(network_peak(times, TIMING)), abs=0.2)


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 64), costs_ns=costs)
def test_a_late_sender_keeps_to_the_network_model(loop: ct.CDLL, batch: int, costs_ns: list[int]) -> None:
    """Held up as often and as long as may be, it never sends more at once than C_MAX allows, and leaves nothing out."""
    _, times = send_frame(loop, batch, 500_000, costs_ns)
    assert network_peak(times, TIMING) <= TIMING.burst_packets + Fraction(1, 10)
    assert times == sorted(times)


def test_an_undisturbed_sender_is_compliant(loop: ct.CDLL) -> None:
    """Half a millisecond ahead of every read: nothing is read too early, the buffer is far from full, no burst above a batch."""
    levels, times = send_frame(loop, 8, 500_000, [4_000])
    lowest, highest = buffer_extremes(times, NUMBER, TIMING)
    assert 0 < lowest < highest < TIMING.buffer_packets()
    assert 8 <= levels.bucket_peak < 9
    assert 0 <= levels.first_ns < 10_000
    assert times[0] >= START_NS - 500_000


@pytest.mark.parametrize(
    "step_ns", [pytest.param(3 * 3600 * NANOSECONDS, id="forward"), pytest.param(-3 * 3600 * NANOSECONDS, id="back")]
)
def test_a_clock_that_is_set_within_a_frame_changes_nothing_in_it(loop: ct.CDLL, step_ns: int) -> None:
    """Three hours on, or back: neither a burst nor a wait, and figures as without it. The next frame goes by the new time."""
    levels, times = send_frame(loop, 8, 500_000, [4_000])
    set_levels, set_times = send_frame(loop, 8, 500_000, [4_000], step_ns)
    assert set_times == times
    for name, _ in Levels._fields_:
        assert getattr(set_levels, name) == getattr(levels, name), name
