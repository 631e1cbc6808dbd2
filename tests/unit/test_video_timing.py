"""ST 2110-21 in figures, and the media clock without drift."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.video.timing import FrameTiming, Profile, buffer_extremes, frame_at, network_peak, rtp_timestamp

HD = Fraction(1, 50)
NTSC = Fraction(1001, 60000)


def timing(profile: Profile, *, frame_s=HD, packets=4320, height=1080, interlaced=False) -> FrameTiming:
    return FrameTiming(frame_s, packets, height, interlaced, profile)


def interlaced(frame_s: Fraction, height: int) -> FrameTiming:
    return timing(Profile.NARROW, frame_s=frame_s, height=height, interlaced=True)


@pytest.mark.parametrize(
    ("given", "offset_us", "spacing_ns", "burst", "buffer"),
    [
        pytest.param(timing(Profile.NARROW), 764.444, 4444.444, 5, 8, id="1080p50 Narrow"),
        pytest.param(timing(Profile.NARROW_LINEAR), 764.444, 4629.630, 5, 8, id="1080p50 NarrowLinear"),
        pytest.param(timing(Profile.WIDE), 764.444, 4629.630, 16, 720, id="1080p50 Wide"),
        pytest.param(timing(Profile.WIDE, packets=17280, height=2160), 764.444, 1157.407, 40, 2880, id="2160p50 Wide"),
        pytest.param(timing(Profile.NARROW, packets=17280, height=2160), 764.444, 1111.111, 20, 32, id="2160p50 Narrow"),
        pytest.param(timing(Profile.WIDE, frame_s=Fraction(1, 25), interlaced=True), 782.222, 9259.259, 16, 720, id="1080i25"),
        pytest.param(interlaced(Fraction(1, 25), 576), 1664, 8533.333, 4, 8, id="576i25"),
        pytest.param(interlaced(Fraction(1001, 30000), 480), 1271.111, 7164.712, 4, 8, id="480i59"),
        pytest.param(timing(Profile.WIDE, height=720), 746.667, 4629.630, 16, 720, id="720p50"),
    ],
)  # fmt: skip
def test_figures_of_the_standard(given, offset_us, spacing_ns, burst, buffer):
    assert float(given.offset_s * 1_000_000) == pytest.approx(offset_us, abs=0.001)
    assert float(given.spacing_s * 1_000_000_000) == pytest.approx(spacing_ns, abs=0.001)
    assert (given.burst_packets, given.buffer_packets()) == (burst, buffer)


def test_a_gapped_second_field_begins_half_a_frame_later():
    """ST 2110-21, 6.3.3: each field is read within its own active time."""
    gapped = timing(Profile.NARROW, interlaced=True)
    assert gapped.read_s(0, 2160) - gapped.read_s(0, 0) == HD / 2
    even = timing(Profile.WIDE, interlaced=True)
    assert even.read_s(0, 2160) - even.read_s(0, 0) == HD / 2
    assert even.read_s(1, 0) - even.read_s(0, 4319) == even.spacing_s


def test_the_media_clock_is_exact_after_fifty_years():
    """Frame 94,405,594,405 of 59.94 is 50 years in; a sum of rounded steps would be minutes off."""
    number = 94_405_594_405
    assert rtp_timestamp(number, NTSC) == (number * 3003 // 2) % 2**32
    assert rtp_timestamp(1, NTSC) == 1501
    assert rtp_timestamp(2, NTSC) == 3003
    assert rtp_timestamp(1, Fraction(1, 25), second_field=True) == 3600 + 1800


@settings(deadline=None)  # a loaded machine is no fault
@given(st.integers(0, 2**62), st.sampled_from([HD, NTSC, Fraction(1001, 24000)]))
def test_the_next_frame_is_never_in_the_past(tai_ns, frame_s):
    number = frame_at(tai_ns, frame_s)
    assert number * frame_s >= Fraction(tai_ns, 10**9) > (number - 1) * frame_s


def test_ideal_packets_hold_one_in_the_network_and_none_behind():
    ideal = timing(Profile.WIDE, packets=100)
    times = [int(ideal.read_s(3, packet) * 10**9) for packet in range(100)]
    assert network_peak(times, ideal) == 1
    assert buffer_extremes(times, 3, ideal) == (0, 1)


def test_batches_raise_both_levels():
    """Batches of ten, each handed over when its first packet is due: ten in the bucket, ten in the buffer."""
    wide = timing(Profile.WIDE, packets=1000)
    times = [int(wide.read_s(0, packet // 10 * 10) * 10**9) for packet in range(1000)]
    assert 10 <= network_peak(times, wide) < 11
    assert buffer_extremes(times, 0, wide) == (0, 10)


def test_a_late_packet_is_an_underflow():
    wide = timing(Profile.WIDE, packets=1000)
    times = [int(wide.read_s(0, packet) * 10**9) + (50_000 if packet == 500 else 0) for packet in range(1000)]
    lowest, _ = buffer_extremes(times, 0, wide)
    assert lowest < 0
