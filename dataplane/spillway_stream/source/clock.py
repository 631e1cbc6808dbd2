"""Which clock frames are aligned to, and whether it can be trusted: what the condition `ClockSynchronized` says.

Reading is `observe`, judging is `judge`. TAI is 37 s ahead of UTC since 2017; a kernel that nobody told so has a CLOCK_TAI that
equals CLOCK_REALTIME, and RTP timestamps made of it disagree with every other sender's. Source: SMPTE ST 2059-1.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spillway_stream.clocks import WORDS, ClockCode

LOG = logging.getLogger("spillway_stream.source")
CLOCK_TAI = getattr(time, "CLOCK_TAI", 11)
SECOND_NS = 1_000_000_000
FAR_NS = 3600 * SECOND_NS  # a PTP clock further away than this was never set
LIKELY_OFFSETS_S = range(35, 45)  # TAI less UTC, with room for leap seconds to come or to be taken back


@dataclass(frozen=True, slots=True)
class Readings:
    """Nanoseconds of several clocks at one moment. ptp_ns: of a PTP clock; None where there is none to read."""

    tai_ns: int
    realtime_ns: int
    ptp_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """What was found. offset_ns: what CLOCK_TAI is ahead of the clock that is used."""

    code: ClockCode
    offset_ns: int = 0

    @property
    def synchronized(self) -> bool:
        """Whether it can be trusted."""
        return WORDS[self.code].synchronized


def judge(source: str, readings: Readings) -> ClockFinding:
    """Choose the clock for frames and say what it is worth. source: "PTP" or "System", as in the stream's spec. Pure."""
    if source == "PTP" and readings.ptp_ns is not None:
        return _judge_ptp(readings, readings.ptp_ns)
    system = _judge_system(readings)
    return ClockFinding(ClockCode.NO_PTP_CLOCK) if source == "PTP" and system.synchronized else system


def _judge_system(readings: Readings) -> ClockFinding:
    ahead_s = round((readings.tai_ns - readings.realtime_ns) / SECOND_NS)
    if ahead_s == 0:
        return ClockFinding(ClockCode.NO_TAI_OFFSET)
    return ClockFinding(ClockCode.SYSTEM_CLOCK if ahead_s in LIKELY_OFFSETS_S else ClockCode.WRONG_TAI_OFFSET)


def _judge_ptp(readings: Readings, ptp_ns: int) -> ClockFinding:
    """A PTP clock counts TAI. One that counts UTC, or nothing sensible, is not used: CLOCK_TAI is."""
    ahead_ns = ptp_ns - readings.realtime_ns
    if abs(ahead_ns) > FAR_NS:
        return ClockFinding(ClockCode.PTP_NOT_SET)
    if round(ahead_ns / SECOND_NS) not in LIKELY_OFFSETS_S:
        return ClockFinding(ClockCode.NO_TAI_OFFSET)
    return ClockFinding(ClockCode.PTP_CLOCK, readings.tai_ns - ptp_ns)


class Clocks:
    """Reads them. devices: PTP clocks, the first that opens is taken (a pod sees those that it was given)."""

    def __init__(self, devices: Iterable[Path] | None = None) -> None:
        self._clock_id = _first_ptp(sorted(Path("/dev").glob("ptp[0-9]*")) if devices is None else devices)

    def read(self) -> Readings:
        """All clocks, read one after the other within a microsecond."""
        realtime_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        before_ns = time.clock_gettime_ns(CLOCK_TAI)
        ptp_ns = self._read_ptp()
        after_ns = time.clock_gettime_ns(CLOCK_TAI)
        return Readings((before_ns + after_ns) // 2, realtime_ns, ptp_ns)

    def _read_ptp(self) -> int | None:
        if self._clock_id is None:
            return None
        try:
            return time.clock_gettime_ns(self._clock_id)
        except OSError as error:  # its card is gone
            LOG.warning("PTP clock: %s", error.strerror)
            self._clock_id = None
            return None


def observe(source: str) -> ClockFinding:
    """Read this machine's clocks once and judge them."""
    return judge(source, Clocks().read())


def _first_ptp(devices: Iterable[Path]) -> int | None:
    """The clock id of the first that can be opened and read. Source of the id: clock_gettime(2)."""
    for device in devices:
        try:
            fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            time.clock_gettime_ns(clock_id := ~fd << 3 | 3)
        except OSError:
            os.close(fd)
            continue
        LOG.info("PTP clock %s", device.name)
        return clock_id
    return None
