"""Which clock is used and what is said of it.

The PTP clocks here are files, and their time is a test's: what a real one shows, tests/nic reads where a guest has one.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spillway_stream.clocks import ClockCode, distance_text, measured_text, word_of
from spillway_stream.source import ptp
from spillway_stream.source.clock import Clocks, Readings, judge, observe
from spillway_stream.source.ptp import PtpReading, given_devices

NOW = 1_800_000_000 * 10**9
TAI = NOW + 37 * 10**9


@pytest.mark.parametrize(
    ("source", "readings", "synchronized", "reason", "offset_ns"),
    [
        pytest.param("System", Readings(TAI, NOW), True, "SystemClock", 0, id="offset set"),
        pytest.param("System", Readings(NOW - 1900, NOW), False, "NoTaiOffset", 0, id="offset not set"),
        pytest.param("System", Readings(NOW + 10**10, NOW), False, "WrongTaiOffset", 0, id="an offset from 1972"),
        pytest.param("System", Readings(TAI, NOW, steered=False), False, "NotSteered", 0, id="nobody steers it"),
        pytest.param("System", Readings(NOW, NOW, steered=False), False, "NoTaiOffset", 0, id="nor has it an offset"),
        pytest.param(
            "System", Readings(TAI + 10**9, NOW), True, "SystemClock", 0, id="the second before UTC has its leap second"
        ),
        pytest.param("System", Readings(TAI + 500_000_000, NOW), True, "SystemClock", 0, id="in the middle of a smeared one"),
        pytest.param("PTP", Readings(TAI, NOW), False, "NoPtpClock", 0, id="no PTP clock"),
        pytest.param(
            "PTP", Readings(TAI, NOW, steered=False), False, "NotSteered", 0, id="no PTP clock, and nobody steers the node's"
        ),
        pytest.param(
            "PTP", Readings(TAI, NOW, PtpReading(0, TAI), steered=False), True, "PtpClock", 0, id="PTP needs nobody else"
        ),
        pytest.param("PTP", Readings(NOW, NOW), False, "NoTaiOffset", 0, id="no PTP clock, no offset: the worse news"),
        pytest.param("PTP", Readings(TAI, NOW, PtpReading(0, TAI - 500)), True, "PtpClock", 500, id="PTP"),
        pytest.param(
            "PTP", Readings(NOW, NOW, PtpReading(0, TAI)), True, "PtpClock", NOW - TAI, id="PTP is right where the kernel is not"
        ),
        pytest.param("PTP", Readings(TAI, NOW, PtpReading(0, 12345)), False, "PtpNotSet", 0, id="counts since boot"),
        pytest.param("PTP", Readings(TAI, NOW, PtpReading(0, NOW + 9)), False, "PtpCountsUtc", 0, id="a PTP clock in UTC"),
        pytest.param("PTP", Readings(TAI, NOW, PtpReading(0, NOW + 12 * 10**9)), False, "PtpNotSet", 0, id="12 s off"),
        pytest.param("PTP", Readings(TAI, NOW, PtpReading(0, 2 * NOW)), False, "PtpNotSet", 0, id="in another century"),
        pytest.param("System", Readings(TAI, NOW, PtpReading(0, 12345)), True, "SystemClock", 0, id="not asked for"),
    ],
)
def test_findings(source, readings, synchronized, reason, offset_ns):
    found = judge(source, readings)
    word = word_of(found.code)
    assert word is not None
    assert (word.synchronized, word.reason, found.offset_ns) == (synchronized, reason, offset_ns)
    assert word.message


@pytest.mark.parametrize("code", [0, 9, 2**64 - 1])
def test_a_report_may_hold_anything(code):
    assert word_of(code) is None


def test_this_machine_as_it_is(tmp_path):
    """Real clocks: CLOCK_TAI and CLOCK_REALTIME differ by whole seconds; a file that is no PTP clock is passed over."""
    (tmp_path / "ptp0").write_bytes(b"")
    before = len(list(Path("/proc/self/fd").iterdir()))
    readings = Clocks([tmp_path / "ptp9", tmp_path / "ptp0"]).read()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert readings.ptp is None
    assert abs(readings.realtime_ns - time.time_ns()) < 10**9
    equal = round((readings.tai_ns - readings.realtime_ns) / 10**9) == 0
    assert (observe("System").code is ClockCode.NO_TAI_OFFSET) == equal


def test_a_ptp_clock_that_goes(tmp_path, monkeypatch):
    """Read as long as it is there; then the source goes on by CLOCK_TAI and says so."""
    (tmp_path / "ptp0").write_bytes(b"")
    real, gone = time.clock_gettime_ns, False

    def clock(clock_id: int) -> int:
        if clock_id >= 0:
            return real(clock_id)
        if gone:
            raise OSError(19, "No such device")
        return real(time.CLOCK_REALTIME) + 37 * 10**9

    monkeypatch.setattr("spillway_stream.source.clock.time.clock_gettime_ns", clock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    clocks = Clocks([tmp_path / "ptp0"])
    found = judge("PTP", clocks.read())
    assert (found.code, found.ptp) == (ClockCode.PTP_CLOCK, 1)
    assert abs(found.to_utc_ns - 37 * 10**9) < 10**9
    gone = True
    assert clocks.read().ptp is None
    assert judge("PTP", clocks.read()).code in (ClockCode.NO_PTP_CLOCK, ClockCode.NO_TAI_OFFSET)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "nothing is left open"
    gone = False
    assert clocks.read().ptp is None, "not tried again at once: each try costs a system call or two"
    monkeypatch.setattr(ptp, "AGAIN_S", -1.0)
    clocks.close()
    assert judge("PTP", clocks.read()).code is ClockCode.PTP_CLOCK, "the card is back"


def test_the_node_says_which_clock(tmp_path):
    assert given_devices({"SPILLWAY_PTP": "/dev/ptp3"}) == (Path("/dev/ptp3"),)
    assert given_devices({}) == tuple(sorted(Path("/dev").glob("ptp[0-9]*")))


@pytest.mark.parametrize(
    ("ahead_ns", "expected"),
    [
        (37 * 10**9, "37.000 s ahead of X"),
        (-37_000_001_000, "37.000 s behind X"),
        (-1_500_000, "1.5 ms behind X"),
        (1234, "1.23 us ahead of X"),
        (0, "0 ns ahead of X"),
        (999, "999 ns ahead of X"),
    ],
)
def test_distances_are_said_to_three_places(ahead_ns, expected):
    assert distance_text(ahead_ns, "X") == expected


def test_what_was_measured_is_said_of_the_clock_that_was_read():
    assert measured_text("", 0, 37 * 10**9) == "CLOCK_TAI is 37.000 s ahead of CLOCK_REALTIME"
    said = measured_text("/dev/ptp0 (igb)", -250, 37 * 10**9 - 250)
    assert said == "/dev/ptp0 (igb) is 250 ns behind CLOCK_TAI and 37.000 s ahead of CLOCK_REALTIME"
