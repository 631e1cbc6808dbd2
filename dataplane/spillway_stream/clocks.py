"""What a video source found of its clock, as a number in the report and in words for a condition. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ClockCode(IntEnum):
    """The report's counter `clock`. UNTOLD: no video source has the ring."""

    UNTOLD = 0
    SYSTEM_CLOCK = 1
    PTP_CLOCK = 2
    NO_TAI_OFFSET = 3
    WRONG_TAI_OFFSET = 4
    NO_PTP_CLOCK = 5
    PTP_NOT_SET = 6
    PTP_COUNTS_UTC = 7
    NOT_STEERED = 8


@dataclass(frozen=True, slots=True)
class ClockWord:
    """The condition `ClockSynchronized`: status, reason, message."""

    synchronized: bool
    reason: str
    message: str


WORDS = {
    ClockCode.SYSTEM_CLOCK: ClockWord(True, "SystemClock", "frames follow CLOCK_TAI, which is ahead of UTC as it should be"),
    ClockCode.PTP_CLOCK: ClockWord(True, "PtpClock", "frames follow the PTP clock, which counts TAI as PTP does"),
    ClockCode.NO_TAI_OFFSET: ClockWord(
        False,
        "NoTaiOffset",
        "the clock equals UTC: nobody told this node how far TAI is ahead (37 s; ptp4l and chrony do); frames follow CLOCK_TAI",
    ),
    ClockCode.WRONG_TAI_OFFSET: ClockWord(
        False, "WrongTaiOffset", "CLOCK_TAI is not 37 s ahead of UTC, nor anything near it; frames follow it all the same"
    ),
    ClockCode.NOT_STEERED: ClockWord(
        False,
        "NotSteered",
        "the kernel says that nobody steers its clock (phc2sys does, chrony with rtcsync too); frames follow CLOCK_TAI",
    ),
    ClockCode.NO_PTP_CLOCK: ClockWord(
        False, "NoPtpClock", "no PTP clock can be read in the source's pod: frames follow CLOCK_TAI, which may be PTP's or not"
    ),
    ClockCode.PTP_NOT_SET: ClockWord(
        False, "PtpNotSet", "the PTP clock shows no time that PTP gives, ptp4l does not set it: frames follow CLOCK_TAI"
    ),
    ClockCode.PTP_COUNTS_UTC: ClockWord(
        False,
        "PtpCountsUtc",
        "the PTP clock counts UTC where PTP counts TAI, as clocks of virtual machines do: frames follow CLOCK_TAI",
    ),
}
UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))


def distance_text(ahead_ns: int, of: str) -> str:
    """How far one clock is from another, to three places; exact enough to see a leap second and a servo."""
    size, unit = next(((size, unit) for size, unit in UNITS if abs(ahead_ns) >= size), UNITS[-1])
    value = abs(ahead_ns) / size
    number = f"{value:.3f}" if unit == "s" else f"{value:.3g}"
    return f"{number} {unit} {'behind' if ahead_ns < 0 else 'ahead of'} {of}"


def measured_text(clock: str, to_tai_ns: int, to_utc_ns: int) -> str:
    """What was measured. clock: the PTP clock as people know it; empty for CLOCK_TAI itself."""
    if not clock:
        return f"CLOCK_TAI is {distance_text(to_utc_ns, 'CLOCK_REALTIME')}"
    return f"{clock} is {distance_text(to_tai_ns, 'CLOCK_TAI')} and {distance_text(to_utc_ns, 'CLOCK_REALTIME')}"


def word_of(code: int) -> ClockWord | None:
    """None for UNTOLD, and for a number that means nothing: a report's writer is not to be trusted."""
    return WORDS.get(ClockCode(code)) if code in set(ClockCode) else None
