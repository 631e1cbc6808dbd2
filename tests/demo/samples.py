"""One second of the demo as a value, made of the counters that the kernel keeps and of what the callers report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters, all ever growing. at: monotonic seconds. sent: of the attacker's card. lost: at full sockets.

    filter_at: when dropped and would_drop were read; somebody else reads them.
    """

    at: float
    sent: int = 0
    lost: int = 0
    filter_at: float = 0.0
    dropped: int = 0
    would_drop: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Packets a second, and which share of the callers' requests was answered (None: none was made)."""

    at_s: float
    flood: int
    would_drop: int
    dropped: int
    lost: int
    video: float | None
    web: float | None


def make_sample(began: float, before: Reading, now: Reading, callers: Mapping[str, Mapping[str, int]]) -> Sample:
    """Return what happened between two readings. callers: asked and answered, by service."""
    kernel_s, filter_s = now.at - before.at, now.filter_at - before.filter_at
    return Sample(
        at_s=now.at - began,
        flood=rate(now.sent - before.sent, kernel_s),
        would_drop=rate(now.would_drop - before.would_drop, filter_s),
        dropped=rate(now.dropped - before.dropped, filter_s),
        lost=rate(now.lost - before.lost, kernel_s),
        video=share(callers.get("video", {})),
        web=share(callers.get("web", {})),
    )


def rate(count: int, seconds: float) -> int:
    """A second's worth; a counter that began anew has none."""
    return max(0, round(count / seconds)) if seconds > 0 else 0


def share(counts: Mapping[str, int]) -> float | None:
    """Answered of asked."""
    asked = counts.get("asked", 0)
    return counts.get("answered", 0) / asked if asked else None
