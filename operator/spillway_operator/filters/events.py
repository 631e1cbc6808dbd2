"""Events of filters: what a person wants to be told, once. Computed from conditions, so that a new leader repeats nothing."""

from __future__ import annotations

from spillway_operator.filters.report import FilterReport
from spillway_operator.filters.status import DEGRADED, ENFORCEMENT_OFF, FAILSAFE_OVERLAP, READY
from spillway_operator.notes import NORMAL, WARNING, Note


def notes_between(before: FilterReport, after: FilterReport) -> tuple[Note, ...]:
    """Return what became different, as a person would put it."""
    notes = (_ready(before, after), _degraded(before, after), _overlap(before, after))
    return tuple(note for note in notes if note is not None)


def _ready(before: FilterReport, after: FilterReport) -> Note | None:
    was, now = before.condition(READY), after.condition(READY)
    if now is None or now.status != "True" or (was is not None and was.status == "True"):
        return None
    return Note(NORMAL, "Ready", now.message)


def _degraded(before: FilterReport, after: FilterReport) -> Note | None:
    was, now = before.condition(DEGRADED), after.condition(DEGRADED)
    if now is None or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return None
    if now.status == "True":
        return Note(WARNING, now.reason, now.message)
    if was is None or was.status != "True":
        return None
    return Note(NORMAL, "EnforcementOn" if was.reason == ENFORCEMENT_OFF else "Recovered", f"no longer {was.reason}")


def _overlap(before: FilterReport, after: FilterReport) -> Note | None:
    was, now = before.condition(FAILSAFE_OVERLAP), after.condition(FAILSAFE_OVERLAP)
    if now is None or now.status != "True" or (was is not None and was.message == now.message):
        return None
    return Note(WARNING, FAILSAFE_OVERLAP, now.message)
