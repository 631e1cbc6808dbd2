"""What was tried and refused, and when it is tried again. Pure.

As long as nothing changed, trying again is for what may pass by itself, later and later. A changed interface, order or program is
another attempt and is tried at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.planning.view import Attempt

FIRST_S, LONGEST_S = 1.0, 60.0  # of what may pass by itself
SLOW_FIRST_S, SLOW_LONGEST_S = 30.0, 600.0  # of what probably needs somebody
MAX_ATTEMPTS = 256


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt's latest refusal. tries: how many there were. retry_at: seconds of the monotonic clock."""

    finding: Finding
    tries: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class Refusals:
    """All of them, the latest last."""

    entries: Mapping[Attempt, Refusal] = field(default_factory=dict)

    def active(self, now: float) -> Mapping[Attempt, Finding]:
        """Return what is not to be tried now, with what is to be told of it."""
        return {attempt: each.finding for attempt, each in self.entries.items() if each.retry_at > now}

    def next_at(self, now: float) -> float | None:
        """Return when the next one is to be tried again, or None."""
        return min((each.retry_at for each in self.entries.values() if each.retry_at > now), default=None)


def refused(refusals: Refusals, attempt: Attempt, finding: Finding, now: float) -> Refusals:
    """Remember a refusal; other attempts on that interface are history."""
    known = refusals.entries.get(attempt)
    tries = known.tries + 1 if known is not None else 1
    others = {key: each for key, each in refusals.entries.items() if key.ifname != attempt.ifname}
    entries = {**others, attempt: Refusal(finding, tries, now + delay_s(finding.reason, tries))}
    return Refusals(dict(list(entries.items())[-MAX_ATTEMPTS:]))


def hurried(refusals: Refusals, now: float) -> Refusals:
    """Try everything again soon: something on the node changed. Never faster than a failure that passes by itself."""
    return Refusals(
        {
            attempt: replace(each, retry_at=min(each.retry_at, now + delay_s(Reason.TRANSIENT, each.tries)))
            for attempt, each in refusals.entries.items()
        }
    )


def succeeded(refusals: Refusals, ifname: str) -> Refusals:
    """Forget what was refused on an interface: it went well."""
    return Refusals({attempt: each for attempt, each in refusals.entries.items() if attempt.ifname != ifname})


def delay_s(reason: Reason, tries: int) -> float:
    """Return the pause after the n-th refusal in a row."""
    first, longest = (FIRST_S, LONGEST_S) if reason is Reason.TRANSIENT else (SLOW_FIRST_S, SLOW_LONGEST_S)
    return float(min(longest, first * 2 ** min(tries - 1, 10)))
