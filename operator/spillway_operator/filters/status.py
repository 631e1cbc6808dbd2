"""What a FloodFilter's status says, from what its nodes say. Pure: the same input gives the same report.

Laws: a condition's time changes only with its status; what is said first is what somebody has to act on first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spillway_crds.orders import Condition, Totals
from spillway_operator.filters.ledger import Tally
from spillway_operator.filters.report import Departed, Failure, FilterReport, RuleReport
from spillway_operator.filters.sights import FilterSight
from spillway_operator.filters.verdicts import (
    MAX_MESSAGE_CHARS,
    WAITING_FOR_TURN,
    Counted,
    NodeView,
    Surroundings,
    Verdict,
    count,
)

READY, PROGRESSING, DEGRADED, FAILSAFE_OVERLAP = "Ready", "Progressing", "Degraded", "FailsafeOverlap"
ENFORCEMENT_OFF, INVALID_INTENT, NODES_FAILED = "EnforcementOff", "InvalidIntent", "NodesFailed"
PODS_UNAVAILABLE, TURNS_STOPPED = "DataplanePodsUnavailable", "TurnsStopped"
MAX_FAILURES = 5
MAX_NAMED = 3
MAX_OVERLAP_CHARS = 8000


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
    if around.pod_trouble and counted.unanswered:
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
    if around.pod_trouble and counted.unanswered:
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
