"""Which clock frames are aligned to, and whether it can be trusted: what the condition `ClockSynchronized` says.

Reading is `observe`, judging is `judge`. TAI is 37 s ahead of UTC since 2017; a kernel that nobody told so has a CLOCK_TAI that
equals CLOCK_REALTIME, and RTP timestamps made of it disagree with every other sender's. Source: SMPTE ST 2059-1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CLOCK_TAI = getattr(time, "CLOCK_TAI", 11)
SECOND_NS = 1_000_000_000
FAR_NS = 3600 * SECOND_NS  # a PTP clock further away than this was never set
LIKELY_OFFSETS_S = range(35, 45)  # TAI less UTC, with room for leap seconds to come or to be taken back


@dataclass(frozen=True, slots=True)
class Readings:
    """Nanoseconds of several clocks at one moment. ptp_ns: of the PTP clock `ptp`; both None where there is none to read."""

    tai_ns: int
    realtime_ns: int
    ptp: str | None = None
    ptp_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """What was found. reason, message: of the condition. offset_ns: what CLOCK_TAI is ahead of the clock that is used."""

    synchronized: bool
    reason: str
    message: str
    offset_ns: int = 0


def judge(source: str, readings: Readings) -> ClockFinding:
    """Choose the clock for frames and say what it is worth. source: "PTP" or "System", as in the stream's spec. Pure."""
    if source == "PTP" and readings.ptp_ns is not None:
        return _judge_ptp(readings, readings.ptp_ns)
    system = _judge_system(readings)
    if source == "PTP" and system.synchronized:
        return ClockFinding(
            False, "NoPtpClock", "no PTP clock can be read here: frames follow CLOCK_TAI, which may be PTP's or not"
        )
    return system


def _judge_system(readings: Readings) -> ClockFinding:
    ahead_s = round((readings.tai_ns - readings.realtime_ns) / SECOND_NS)
    if ahead_s == 0:
        why = "CLOCK_TAI equals CLOCK_REALTIME: nobody told this kernel how far TAI is ahead (37 s; ptp4l and chrony do)"
        return ClockFinding(False, "NoTaiOffset", why)
    if ahead_s not in LIKELY_OFFSETS_S:
        return ClockFinding(False, "WrongTaiOffset", f"CLOCK_TAI is {ahead_s} s ahead of UTC, where 37 s are expected")
    return ClockFinding(True, "SystemClock", f"frames follow CLOCK_TAI, {ahead_s} s ahead of UTC")


def _judge_ptp(readings: Readings, ptp_ns: int) -> ClockFinding:
    """A PTP clock counts TAI. One that counts UTC, or nothing sensible, is not used: CLOCK_TAI is."""
    ahead_ns = ptp_ns - readings.realtime_ns
    if abs(ahead_ns) > FAR_NS:
        return ClockFinding(False, "PtpNotSet", f"{readings.ptp} was never set: frames follow CLOCK_TAI")
    if round(ahead_ns / SECOND_NS) not in LIKELY_OFFSETS_S:
        ahead_s = round(ahead_ns / SECOND_NS)
        return ClockFinding(
            False, "NoTaiOffset", f"{readings.ptp} is {ahead_s} s ahead of UTC and so not TAI: frames follow CLOCK_TAI"
        )
    return ClockFinding(True, "PtpClock", f"frames follow {readings.ptp}", readings.tai_ns - ptp_ns)


class Clocks:
    """Reads them. devices: PTP clocks, the first that opens is taken (a pod sees those that it was given)."""

    def __init__(self, devices: Iterable[Path] | None = None) -> None:
        self._ptp, self._clock_id = _first_ptp(sorted(Path("/dev").glob("ptp[0-9]*")) if devices is None else devices)

    def read(self) -> Readings:
        """All clocks, read one after the other within a microsecond."""
        realtime_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        if self._clock_id is None:
            return Readings(time.clock_gettime_ns(CLOCK_TAI), realtime_ns)
        before_ns = time.clock_gettime_ns(CLOCK_TAI)
        ptp_ns = time.clock_gettime_ns(self._clock_id)
        after_ns = time.clock_gettime_ns(CLOCK_TAI)
        return Readings((before_ns + after_ns) // 2, realtime_ns, self._ptp, ptp_ns)


def observe(source: str) -> ClockFinding:
    """Read this machine's clocks once and judge them."""
    return judge(source, Clocks().read())


def _first_ptp(devices: Iterable[Path]) -> tuple[str | None, int | None]:
    """(name, clock id) of the first that can be opened and read. Source of the id: clock_gettime(2)."""
    for device in devices:
        try:
            clock_id = ~os.open(device, os.O_RDONLY | os.O_CLOEXEC) << 3 | 3
            time.clock_gettime_ns(clock_id)
        except OSError:
            continue
        return device.name, clock_id
    return None, None
