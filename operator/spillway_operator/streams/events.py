"""What a person wants to be told of a stream, once. Pure: computed from two statuses, so that a new leader repeats nothing."""

from __future__ import annotations

from spillway_operator.notes import NORMAL, WARNING, Note
from spillway_operator.streams.plan import CLAIM_REFUSED, CONFLICT, INVALID_INTENT, NOT_GRANTED, NOT_SUPPORTED, SOURCE_REFUSED
from spillway_operator.streams.report import StreamReport
from spillway_operator.streams.status import PROGRESSING, READY

# Somebody has to act on these; what a stream waits for by itself is no news.
TOLD = frozenset({CONFLICT, INVALID_INTENT, NOT_SUPPORTED, NOT_GRANTED, CLAIM_REFUSED, SOURCE_REFUSED})


def notes_between(before: StreamReport, after: StreamReport) -> tuple[Note, ...]:
    """Return what became different, as a person would put it."""
    notes = (_readiness(before, after), _claim_in_use(before, after), _mode(before, after), _next_hop(before, after))
    return tuple(note for note in notes if note is not None)


def _readiness(before: StreamReport, after: StreamReport) -> Note | None:
    was, now = before.condition(READY), after.condition(READY)
    if now is None or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return None
    if now.status == "True":
        return Note(NORMAL, READY, now.message) if was is None or was.status != "True" else None
    if now.reason in TOLD or (was is not None and was.status == "True"):
        return Note(WARNING, now.reason, now.message)
    return None


def _claim_in_use(before: StreamReport, after: StreamReport) -> Note | None:
    was, now = before.condition(PROGRESSING), after.condition(PROGRESSING)
    if now is None or now.status != "True" or (was is not None and was.status == "True"):
        return None
    return Note(NORMAL, now.reason, now.message)


def _mode(before: StreamReport, after: StreamReport) -> Note | None:
    if not before.bind_mode or not after.bind_mode or before.bind_mode == after.bind_mode:
        return None
    return Note(WARNING, "ModeChanged", f"the ring was in mode {before.bind_mode} and is now in mode {after.bind_mode}")


def _next_hop(before: StreamReport, after: StreamReport) -> Note | None:
    was, now = before.next_hop_mac_address, after.next_hop_mac_address
    if not was or not now or was == now or before.node != after.node:
        return None
    return Note(NORMAL, "NextHopChanged", f"frames went to {was} and go to {now} now")
