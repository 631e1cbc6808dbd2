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

from spillway_stream._ring import clock_steered
from spillway_stream.clocks import WORDS, ClockCode
from spillway_stream.source.ptp import PtpDevice, PtpReading, given_devices

CLOCK_TAI = getattr(time, "CLOCK_TAI", 11)
SECOND_NS = 1_000_000_000
LIKELY_OFFSETS_S = range(35, 45)  # TAI less UTC, with room for leap seconds to come or to be taken back


@dataclass(frozen=True, slots=True)
class Readings:
    """Nanoseconds of several clocks at one moment. ptp: of a PTP clock; None where there is none to read.

    steered: the kernel does not say that its own clock is left to itself.
    """

    tai_ns: int
    realtime_ns: int
    ptp: PtpReading | None = None
    steered: bool = True


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """What was found. offset_ns: what CLOCK_TAI is ahead of the clock that is used.

    ptp: the PTP clock's number and one, 0 where none was read. to_tai_ns, to_utc_ns: what it, or without one CLOCK_TAI, is ahead
    of CLOCK_TAI and of CLOCK_REALTIME, used or not.
    """

    code: ClockCode
    offset_ns: int = 0
    ptp: int = 0
    to_tai_ns: int = 0
    to_utc_ns: int = 0

    @property
    def synchronized(self) -> bool:
        """Whether it can be trusted."""
        return WORDS[self.code].synchronized


def judge(source: str, readings: Readings) -> ClockFinding:
    """Choose the clock for frames and say what it is worth. source: "PTP" or "System", as in the stream's spec. Pure."""
    if source == "PTP" and readings.ptp is not None:
        return _judge_ptp(readings, readings.ptp)
    code, ahead_ns = _judge_system(readings), readings.tai_ns - readings.realtime_ns
    missed = source == "PTP" and WORDS[code].synchronized
    return ClockFinding(ClockCode.NO_PTP_CLOCK if missed else code, to_utc_ns=ahead_ns)


def _judge_system(readings: Readings) -> ClockCode:
    ahead_s = round((readings.tai_ns - readings.realtime_ns) / SECOND_NS)
    if ahead_s == 0:
        return ClockCode.NO_TAI_OFFSET
    if ahead_s not in LIKELY_OFFSETS_S:
        return ClockCode.WRONG_TAI_OFFSET
    return ClockCode.SYSTEM_CLOCK if readings.steered else ClockCode.NOT_STEERED


def _judge_ptp(readings: Readings, ptp: PtpReading) -> ClockFinding:
    """A PTP clock counts TAI. One that counts UTC, or nothing sensible, is not used: CLOCK_TAI is."""
    to_tai_ns, to_utc_ns = ptp.time_ns - readings.tai_ns, ptp.time_ns - readings.realtime_ns
    ahead_s = round(to_utc_ns / SECOND_NS)
    if ahead_s in LIKELY_OFFSETS_S:
        code, offset_ns = ClockCode.PTP_CLOCK, -to_tai_ns
    else:
        code, offset_ns = ClockCode.PTP_NOT_SET if ahead_s else ClockCode.PTP_COUNTS_UTC, 0
    return ClockFinding(code, offset_ns, ptp.number + 1, to_tai_ns, to_utc_ns)


class Clocks:
    """Reads them. devices: PTP clocks, the first that opens is taken; None: what the environment says."""

    def __init__(self, devices: Iterable[Path] | None = None) -> None:
        self._ptp = PtpDevice(given_devices(os.environ) if devices is None else devices)

    def read(self) -> Readings:
        """All clocks, read one after the other within some microseconds."""
        realtime_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        before_ns = time.clock_gettime_ns(CLOCK_TAI)
        ptp = self._ptp.read()
        after_ns = time.clock_gettime_ns(CLOCK_TAI)
        return Readings((before_ns + after_ns) // 2, realtime_ns, ptp, clock_steered())

    def close(self) -> None:
        """Let the PTP clock go. Who keeps it open keeps its number: a card that is reset then comes back with another one."""
        self._ptp.close()


def observe(source: str) -> ClockFinding:
    """Read this machine's clocks once and judge them."""
    return judge(source, Clocks().read())
