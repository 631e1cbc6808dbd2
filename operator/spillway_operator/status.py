"""What a FloodFilter's status says, from what its nodes say. Pure: the same input gives the same report.

Laws: a node is ready only if its kernel runs this revision in this mode, by its agent's own word; a condition's time changes only
with its status; what is said first is what somebody has to act on first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from spillway_crds.filters import Mode
from spillway_crds.orders import Condition, FilterOrder, FilterState, FilterStatus, Totals
from spillway_operator.ledger import Tally
from spillway_operator.report import Departed, Failure, FilterReport, RuleReport
from spillway_operator.sights import FilterSight

READY, PROGRESSING, DEGRADED, FAILSAFE_OVERLAP = "Ready", "Progressing", "Degraded", "FailsafeOverlap"
ENFORCEMENT_OFF, INVALID_INTENT, NODES_FAILED = "EnforcementOff", "InvalidIntent", "NodesFailed"
PODS_UNAVAILABLE, TURNS_STOPPED, WAITING_FOR_TURN = "DataplanePodsUnavailable", "TurnsStopped", "WaitingForTurn"
TURN_FAILED, NO_AGENT, UNREACHABLE = "TurnFailed", "NoAgent", "NodeNotReady"
MAX_FAILURES = 5
MAX_NAMED = 3
MAX_MESSAGE_CHARS = 1000
MAX_OVERLAP_CHARS = 8000


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

    def waits(self, reason: str) -> bool:
        """Whether a pending node gives that reason."""
        return any(each.reason == reason for each in self.pending)


def plan_report(
    subject: FilterSight, views: Iterable[NodeView], around: Surroundings, *, tally: Tally, departed: Departed
) -> FilterReport:
    """Return the whole status.

    Nodes are held against the spec as it is now, not against what they have been told so far: `observedGeneration` means that
    the status describes that generation.
    """
    counted = count(views, subject.order, around)
    conditions = (
        _ready(subject, counted, around),
        _progressing(subject, counted, around),
        _degraded(subject, counted, around),
        _overlap(subject),
    )
    return FilterReport(
        generation=subject.generation,
        revision=subject.order.revision if subject.order else subject.report.revision,
        desired=len(counted.verdicts),
        ready=counted.ready,
        failed=len(counted.failed),
        failures=tuple(Failure(each.node, each.reason, each.message) for each in counted.failed[:MAX_FAILURES]),
        totals=tally.totals,
        rules=_rules(subject, tally, around.now),
        departed=departed,
        conditions=tuple(_dated(each, subject.report.condition(each.type), around.now) for each in conditions),
    )


def with_totals_of(report: FilterReport, written: FilterReport) -> FilterReport:
    """The report with the counts that were written last: a large filter's counts are not rewritten with each change of state."""
    return replace(report, totals=written.totals, rules=written.rules, departed=written.departed)


def _rules(subject: FilterSight, tally: Tally, now: str) -> tuple[RuleReport, ...]:
    since = {rule.name: rule.since for rule in subject.report.rules}
    return tuple(RuleReport(name, tally.rules.get(name, Totals()), since.get(name) or now) for name in subject.rule_names)


def _dated(condition: Condition, before: Condition | None, now: str) -> Condition:
    same = before is not None and before.status == condition.status and before.changed
    return replace(condition, changed=before.changed if same and before else now)


def count(views: Iterable[NodeView], order: FilterOrder | None, around: Surroundings) -> Counted:
    """Judge every selected node."""
    selected = sorted(views, key=lambda each: each.name)
    off = any(view.entry is not None and view.entry.state is FilterState.OFF for view in selected)
    return Counted(tuple(judge(view, order, around) for view in selected), off)


# ---- one node -----------------------------------------------------------------------------------------------------------


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
    reason = WAITING_FOR_TURN if view.waiting else "Pending"
    return Verdict(view.name, reason=reason, message="the agent has not taken the filter up yet")


def _pending(view: NodeView, entry: FilterStatus) -> Verdict:
    reason = WAITING_FOR_TURN if view.waiting else entry.reason or "Pending"
    return Verdict(view.name, reason=reason, message=entry.message[:MAX_MESSAGE_CHARS])


def _runs(entry: FilterStatus, order: FilterOrder) -> bool:
    if order.suspend:
        wanted = {FilterState.SUSPENDED}
    else:
        wanted = {FilterState.ENFORCING if order.mode is Mode.ENFORCE else FilterState.MONITORING, FilterState.OFF}
    return entry.revision == order.revision and entry.state in wanted


# ---- conditions ---------------------------------------------------------------------------------------------------------


def _ready(subject: FilterSight, counted: Counted, around: Surroundings) -> Condition:
    if (hindrance := _hindrance(subject, around)) is not None:
        return Condition(READY, "False", *hindrance)
    if not counted.verdicts:
        return Condition(READY, "False", "NoNodesSelected", "spec.nodeSelector selects no node")
    if counted.ready == len(counted.verdicts):
        return _all_ready(subject, counted)
    return Condition(READY, "False", *_shortfall(counted, around))


def _hindrance(subject: FilterSight, around: Surroundings) -> tuple[str, str] | None:
    """What keeps every node from following the filter, as reason and message."""
    if subject.problem:
        return INVALID_INTENT, f"{subject.problem[:MAX_MESSAGE_CHARS]}; nodes keep what they ran before"
    if around.missing_crd:
        return "CustomResourceDefinitionMissing", f"{around.missing_crd} is gone: nodes keep what they run until it is back"
    if around.emptying:
        return "Uninstalling", "programs are taken off node by node, until ConfigMap spillway-uninstall is deleted"
    return None


def _all_ready(subject: FilterSight, counted: Counted) -> Condition:
    nodes = _nodes(len(counted.verdicts))
    if counted.off:
        return Condition(READY, "True", ENFORCEMENT_OFF, f"{nodes} ready; the kill switch is pulled: nothing is dropped")
    if subject.order is not None and subject.order.suspend:
        return Condition(READY, "True", "Suspended", f"{nodes} ready; suspended: the filter touches nothing")
    return Condition(READY, "True", "AllNodesReady", f"{nodes} ready")


def _shortfall(counted: Counted, around: Surroundings) -> tuple[str, str]:
    done = f"{counted.ready} of {_nodes(len(counted.verdicts))} ready"
    if counted.failed:
        return NODES_FAILED, f"{done}; failed: {_named(counted.failed)}"
    if around.pod_trouble and counted.waits(NO_AGENT):
        return PODS_UNAVAILABLE, f"{done}; {around.pod_trouble}"
    if counted.waits(WAITING_FOR_TURN):
        return WAITING_FOR_TURN, f"{done}; attaching goes in turns: {_named(counted.pending)}"
    return "NodesPending", f"{done}; pending: {_named(counted.pending)}"


def _progressing(subject: FilterSight, counted: Counted, around: Surroundings) -> Condition:
    if (hindrance := _hindrance(subject, around)) is not None:
        return Condition(PROGRESSING, "False", *hindrance)
    if not counted.pending:
        return Condition(PROGRESSING, "False", "Complete", "every selected node has followed or failed")
    if around.turns_stopped and counted.waits(WAITING_FOR_TURN):
        return Condition(PROGRESSING, "False", TURNS_STOPPED, _stopped_message())
    return Condition(PROGRESSING, "True", "RollingOut", f"pending: {_named(counted.pending)}")


def _degraded(subject: FilterSight, counted: Counted, around: Surroundings) -> Condition:
    if (hindrance := _hindrance(subject, around)) is not None:
        return Condition(DEGRADED, "True", *hindrance)
    if around.turns_stopped and counted.waits(WAITING_FOR_TURN):
        return Condition(DEGRADED, "True", TURNS_STOPPED, _stopped_message())
    if counted.failed:
        return Condition(DEGRADED, "True", NODES_FAILED, _named(counted.failed))
    if around.pod_trouble and counted.waits(NO_AGENT):
        return Condition(DEGRADED, "True", PODS_UNAVAILABLE, around.pod_trouble)
    if counted.off:
        return Condition(DEGRADED, "True", ENFORCEMENT_OFF, "the kill switch is pulled: nothing is dropped")
    return Condition(DEGRADED, "False", "AsExpected", "")


def _overlap(subject: FilterSight) -> Condition:
    if not subject.overlaps:
        return Condition(FAILSAFE_OVERLAP, "False", "NoOverlap", "no rule would drop a failsafe flow")
    message = f"these failsafe flows pass although a rule would drop them: {'; '.join(subject.overlaps)}"
    return Condition(FAILSAFE_OVERLAP, "True", "RulesMatchFailsafeFlows", message[:MAX_OVERLAP_CHARS])


def _stopped_message() -> str:
    return "too many nodes fell silent in their turns: nobody else attaches until they answer; see failures"


def _named(verdicts: tuple[Verdict, ...]) -> str:
    first = ", ".join(f"{each.node} ({each.reason})" for each in verdicts[:MAX_NAMED])
    more = len(verdicts) - MAX_NAMED
    return f"{first} and {more} more" if more > 0 else first


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
