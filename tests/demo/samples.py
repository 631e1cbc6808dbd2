"""One second of the demo as a value, made of the counters that the kernel keeps and of what the callers report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment, all ever growing. at: monotonic seconds. sent: of the attacker's card. lost: at full sockets."""

    at: float
    sent: int = 0
    lost: int = 0
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
    voice: float | None
    web: float | None


def make_sample(began: float, before: Reading, now: Reading, callers: Mapping[str, Mapping[str, int]]) -> Sample:
    """Return what happened between two readings. callers: asked and answered, by service."""
    seconds = max(now.at - before.at, 0.001)

    def rate(later: int, earlier: int) -> int:
        return max(0, round((later - earlier) / seconds))

    return Sample(
        at_s=now.at - began,
        flood=rate(now.sent, before.sent),
        would_drop=rate(now.would_drop, before.would_drop),
        dropped=rate(now.dropped, before.dropped),
        lost=rate(now.lost, before.lost),
        voice=share(callers.get("voice", {})),
        web=share(callers.get("web", {})),
    )


def share(counts: Mapping[str, int]) -> float | None:
    """Answered of asked."""
    asked = counts.get("asked", 0)
    return counts.get("answered", 0) / asked if asked else None
