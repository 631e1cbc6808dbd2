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


@dataclass(frozen=True, slots=True)
class ClockWord:
    """The condition `ClockSynchronized`: status, reason, message."""

    synchronized: bool
    reason: str
    message: str


WORDS = {
    ClockCode.SYSTEM_CLOCK: ClockWord(True, "SystemClock", "frames follow CLOCK_TAI, which is ahead of UTC as it should be"),
    ClockCode.PTP_CLOCK: ClockWord(True, "PtpClock", "frames follow a PTP clock"),
    ClockCode.NO_TAI_OFFSET: ClockWord(
        False,
        "NoTaiOffset",
        "the clock equals UTC: nobody told this node how far TAI is ahead (37 s; ptp4l and chrony do); frames follow CLOCK_TAI",
    ),
    ClockCode.WRONG_TAI_OFFSET: ClockWord(
        False, "WrongTaiOffset", "CLOCK_TAI is not 37 s ahead of UTC, nor anything near it; frames follow it all the same"
    ),
    ClockCode.NO_PTP_CLOCK: ClockWord(
        False, "NoPtpClock", "no PTP clock can be read in the source's pod: frames follow CLOCK_TAI, which may be PTP's or not"
    ),
    ClockCode.PTP_NOT_SET: ClockWord(False, "PtpNotSet", "the PTP clock was never set: frames follow CLOCK_TAI"),
}


def word_of(code: int) -> ClockWord | None:
    """None for UNTOLD, and for a number that means nothing: a report's writer is not to be trusted."""
    return WORDS.get(ClockCode(code)) if code in set(ClockCode) else None
