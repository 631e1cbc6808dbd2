"""What became of one filter on each of its nodes. Pure.

Law: a node is ready only if its kernel runs this revision in this mode, by its agent's own word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spillway_crds.filters import Mode
from spillway_crds.orders import FilterOrder, FilterState, FilterStatus

WAITING_FOR_TURN, TURN_FAILED, NO_AGENT, UNREACHABLE = "WaitingForTurn", "TurnFailed", "NoAgent", "NodeNotReady"
PENDING = "Pending"
MAX_MESSAGE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class NodeView:
    """One selected node, as one filter sees it. entry: what the agent says of the filter; None if it says nothing."""

    name: str
    entry: FilterStatus | None = None
    over_limit: bool = False
    reported: bool = False
    waiting: bool = False
    turn_failed: bool = False
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds for all filters. pod_trouble: why agents' pods cannot run, empty if they can. now: RFC 3339."""

    now: str
    turn_s: float = 0.0
    turns_stopped: bool = False
    pod_trouble: str = ""
    emptying: bool = False
    missing_crd: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one node. reason and message are empty for a node that is ready."""

    node: str
    ready: bool = False
    failed: bool = False
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """All verdicts of one filter."""

    verdicts: tuple[Verdict, ...]
    off: bool = False

    @property
    def ready(self) -> int:
        """Nodes that are ready."""
        return sum(each.ready for each in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Nodes that failed, by name."""
        return tuple(each for each in self.verdicts if each.failed)

    @property
    def pending(self) -> tuple[Verdict, ...]:
        """Nodes that are neither ready nor failed, by name."""
        return tuple(each for each in self.verdicts if not (each.ready or each.failed))

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Nodes whose agent says nothing of this revision, by name: one that never ran, and one that ran once and is gone."""
        return tuple(each.node for each in self.pending if each.reason in (NO_AGENT, PENDING))

    def waits(self, reason: str) -> bool:
        """Whether a pending node gives that reason."""
        return any(each.reason == reason for each in self.pending)


def count(views: Iterable[NodeView], order: FilterOrder | None, around: Surroundings) -> Counted:
    """Judge every selected node."""
    selected = sorted(views, key=lambda each: each.name)
    off = any(view.entry is not None and view.entry.state is FilterState.OFF for view in selected)
    return Counted(tuple(judge(view, order, around) for view in selected), off)


def judge(view: NodeView, order: FilterOrder | None, around: Surroundings) -> Verdict:
    """Return what became of the filter on one node."""
    if (failure := _failure(view, around)) is not None:
        return failure
    if not view.reachable:
        return Verdict(view.name, reason=UNREACHABLE, message="the node is not Ready")
    if view.entry is None:
        return _unheard(view)
    if order is not None and _runs(view.entry, order):
        return Verdict(view.name, ready=True)
    return _pending(view, view.entry)


def _failure(view: NodeView, around: Surroundings) -> Verdict | None:
    if view.over_limit:
        reason, message = "Conflict", "24 older filters run there, and a node has room for no more"
    elif view.turn_failed:
        reason = TURN_FAILED
        message = f"silent for more than {around.turn_s:g} s in its turn to attach or detach; it gets another when it answers"
    elif view.entry is not None and view.entry.state is FilterState.FAILED:
        reason, message = view.entry.reason or "Failed", view.entry.message
    else:
        return None
    return Verdict(view.name, failed=True, reason=reason, message=message[:MAX_MESSAGE_CHARS])


def _unheard(view: NodeView) -> Verdict:
    if not view.reported:
        return Verdict(view.name, reason=NO_AGENT, message="no agent has reported from there yet")
    reason = WAITING_FOR_TURN if view.waiting else PENDING
    return Verdict(view.name, reason=reason, message="the agent has not taken the filter up yet")


def _pending(view: NodeView, entry: FilterStatus) -> Verdict:
    reason = WAITING_FOR_TURN if view.waiting else entry.reason or PENDING
    return Verdict(view.name, reason=reason, message=entry.message[:MAX_MESSAGE_CHARS])


def _runs(entry: FilterStatus, order: FilterOrder) -> bool:
    if order.suspend:
        wanted = {FilterState.SUSPENDED}
    else:
        wanted = {FilterState.ENFORCING if order.mode is Mode.ENFORCE else FilterState.MONITORING, FilterState.OFF}
    return entry.revision == order.revision and entry.state in wanted
