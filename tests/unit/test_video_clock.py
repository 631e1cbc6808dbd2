"""Which clock is used and what is said of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spillway_stream.clocks import ClockCode, word_of
from spillway_stream.source.clock import Clocks, Readings, judge, observe

NOW = 1_800_000_000 * 10**9
TAI = NOW + 37 * 10**9


@pytest.mark.parametrize(
    ("source", "readings", "synchronized", "reason", "offset_ns"),
    [
        pytest.param("System", Readings(TAI, NOW), True, "SystemClock", 0, id="offset set"),
        pytest.param("System", Readings(NOW - 1900, NOW), False, "NoTaiOffset", 0, id="offset not set"),
        pytest.param("System", Readings(NOW + 10**10, NOW), False, "WrongTaiOffset", 0, id="an offset from 1972"),
        pytest.param("PTP", Readings(TAI, NOW), False, "NoPtpClock", 0, id="no PTP clock"),
        pytest.param("PTP", Readings(NOW, NOW), False, "NoTaiOffset", 0, id="no PTP clock, no offset: the worse news"),
        pytest.param("PTP", Readings(TAI, NOW, TAI - 500), True, "PtpClock", 500, id="PTP"),
        pytest.param("PTP", Readings(NOW, NOW, TAI), True, "PtpClock", NOW - TAI, id="PTP is right where the kernel is not"),
        pytest.param("PTP", Readings(TAI, NOW, 12345), False, "PtpNotSet", 0, id="counts since boot"),
        pytest.param("PTP", Readings(TAI, NOW, NOW), False, "NoTaiOffset", 0, id="a PTP clock in UTC"),
        pytest.param("System", Readings(TAI, NOW, 12345), True, "SystemClock", 0, id="not asked for"),
    ],
)
def test_findings(source, readings, synchronized, reason, offset_ns):
    found = judge(source, readings)
    word = word_of(found.code)
    assert word is not None
    assert (word.synchronized, word.reason, found.offset_ns) == (synchronized, reason, offset_ns)
    assert word.message


@pytest.mark.parametrize("code", [0, 7, 2**64 - 1])
def test_a_report_may_hold_anything(code):
    assert word_of(code) is None


def test_this_machine_as_it_is(tmp_path):
    """Real clocks: CLOCK_TAI and CLOCK_REALTIME differ by whole seconds; a file that is no PTP clock is passed over."""
    (tmp_path / "ptp0").write_bytes(b"")
    before = len(list(Path("/proc/self/fd").iterdir()))
    readings = Clocks([tmp_path / "ptp9", tmp_path / "ptp0"]).read()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert readings.ptp_ns is None
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
    clocks = Clocks([tmp_path / "ptp0"])
    assert judge("PTP", clocks.read()).code is ClockCode.PTP_CLOCK
    gone = True
    assert clocks.read().ptp_ns is None
    assert judge("PTP", clocks.read()).code in (ClockCode.NO_PTP_CLOCK, ClockCode.NO_TAI_OFFSET)
