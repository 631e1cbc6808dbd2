"""What a filter's status and its Events say, and in which order of importance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway_crds.filters import Mode
from spillway_crds.orders import FilterOrder, FilterState, FilterStatus, Totals
from spillway_operator.filters.events import notes_between
from spillway_operator.filters.ledger import Tally
from spillway_operator.filters.report import Departed, FilterReport, RuleReport, decode_report, encode_report
from spillway_operator.filters.sights import FilterSight
from spillway_operator.filters.status import plan_report, with_totals_of
from spillway_operator.filters.verdicts import NodeView, Surroundings, judge
from spillway_operator.notes import Note, Regarding, Sieve, encode_event

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
ORDER = FilterOrder("f", "uid-f", "f-2", Mode.ENFORCE)
SUBJECT = FilterSight("f", "uid-f", 1, 3, order=ORDER, rule_names=("r",))
AROUND = Surroundings(NOW, turn_s=120)
NOTHING = Tally()


def view(name="n1", *, state=FilterState.ENFORCING, revision="f-2", reason="", message="", **more) -> NodeView:
    entry = FilterStatus("f", "uid-f", revision, state, reason, message)
    return NodeView(name, entry=entry, reported=True, **more)


def report(views, subject=SUBJECT, around=AROUND, tally=NOTHING) -> FilterReport:
    return plan_report(subject, views, around, tally=tally, departed=Departed())


def says(found: FilterReport, kind: str) -> tuple[str, str]:
    condition = found.condition(kind)
    assert condition is not None
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("seen", "order", "ready", "failed", "reason"),
    [
        pytest.param(view(), ORDER, True, False, "", id="enforcing"),
        pytest.param(view(state=FilterState.OFF), ORDER, True, False, "", id="kill switch: as told"),
        pytest.param(view(state=FilterState.MONITORING), ORDER, False, False, "Pending", id="not yet in this mode"),
        pytest.param(view(state=FilterState.MONITORING), replace(ORDER, mode=Mode.MONITOR), True, False, "", id="monitoring"),
        pytest.param(view(state=FilterState.SUSPENDED), replace(ORDER, suspend=True), True, False, "", id="suspended"),
        pytest.param(view(), replace(ORDER, suspend=True), False, False, "Pending", id="not yet suspended"),
        pytest.param(view(revision="f-1"), ORDER, False, False, "Pending", id="earlier revision"),
        pytest.param(view(state=FilterState.PENDING, waiting=True), ORDER, False, False, "WaitingForTurn", id="waits"),
        pytest.param(view(state=FilterState.PENDING, reason="Compiling"), ORDER, False, False, "Compiling", id="says why"),
        pytest.param(view(state=FilterState.FAILED, reason="Conflict"), ORDER, False, True, "Conflict", id="failed"),
        pytest.param(view(turn_failed=True), ORDER, False, True, "TurnFailed", id="silent in its turn"),
        pytest.param(view(over_limit=True), ORDER, False, True, "Conflict", id="no room"),
        pytest.param(view(reachable=False), ORDER, False, False, "NodeNotReady", id="node away: its word is old"),
        pytest.param(NodeView("n1"), ORDER, False, False, "NoAgent", id="no agent"),
        pytest.param(NodeView("n1", reported=True), ORDER, False, False, "Pending", id="agent has not seen it"),
        pytest.param(view(), None, False, False, "Pending", id="invalid spec"),
    ],
)
def test_one_node(seen, order, ready, failed, reason):
    verdict = judge(seen, order, AROUND)
    assert (verdict.ready, verdict.failed, verdict.reason) == (ready, failed, reason)


LOST = NodeView("n2")
WAITING = view("n2", state=FilterState.PENDING, waiting=True)
FAILED = view("n3", state=FilterState.FAILED, reason="Conflict", message="program 9 is there")


@pytest.mark.parametrize(
    ("views", "changes", "around", "ready", "progressing", "degraded"),
    [
        pytest.param([view()], {}, {}, ("True", "AllNodesReady"), ("False", "Complete"), ("False", "AsExpected"), id="fine"),
        pytest.param([], {}, {}, ("False", "NoNodesSelected"), ("False", "Complete"), ("False", "AsExpected"), id="no nodes"),
        pytest.param(
            [view(), WAITING], {}, {}, ("False", "WaitingForTurn"), ("True", "RollingOut"), ("False", "AsExpected"), id="turns"
        ),
        pytest.param(
            [view(), FAILED, WAITING], {}, {}, ("False", "NodesFailed"), ("True", "RollingOut"), ("True", "NodesFailed"), id="bad"
        ),
        pytest.param(
            [view(), WAITING],
            {},
            {"turns_stopped": True},
            ("False", "WaitingForTurn"),
            ("False", "TurnsStopped"),
            ("True", "TurnsStopped"),
            id="turns stopped",
        ),
        pytest.param(
            [view(), LOST],
            {},
            {"pod_trouble": "pod x: ImagePullBackOff"},
            ("False", "DataplanePodsUnavailable"),
            ("True", "RollingOut"),
            ("True", "DataplanePodsUnavailable"),
            id="pods cannot run",
        ),
        pytest.param(
            [view(), view("n2", revision="f-1")],
            {},
            {"pod_trouble": "pods cannot be created: exceeded quota"},
            ("False", "DataplanePodsUnavailable"),
            ("True", "RollingOut"),
            ("True", "DataplanePodsUnavailable"),
            id="an agent that once ran cannot be made again",
        ),
        pytest.param(
            [view(), LOST], {}, {}, ("False", "NodesPending"), ("True", "RollingOut"), ("False", "AsExpected"), id="pods start"
        ),
        pytest.param(
            [view()],
            {},
            {"pod_trouble": "pod x: ImagePullBackOff"},
            ("True", "AllNodesReady"),
            ("False", "Complete"),
            ("False", "AsExpected"),
            id="trouble elsewhere",
        ),
        pytest.param(
            [view(state=FilterState.OFF)],
            {},
            {},
            ("True", "EnforcementOff"),
            ("False", "Complete"),
            ("True", "EnforcementOff"),
            id="kill switch",
        ),
        pytest.param(
            [view()], {"problem": "no"}, {}, *[("False", "InvalidIntent")] * 2, ("True", "InvalidIntent"), id="invalid spec"
        ),
        pytest.param(
            [view()], {}, {"emptying": True}, *[("False", "Uninstalling")] * 2, ("True", "Uninstalling"), id="uninstalling"
        ),
        pytest.param(
            [view()],
            {},
            {"missing_crd": "nodedataplanes.spillway.dev"},
            *[("False", "CustomResourceDefinitionMissing")] * 2,
            ("True", "CustomResourceDefinitionMissing"),
            id="CRD gone",
        ),
    ],
)
def test_conditions(views, changes, around, ready, progressing, degraded):
    found = report(views, replace(SUBJECT, **changes), replace(AROUND, **around))
    assert (says(found, "Ready"), says(found, "Progressing"), says(found, "Degraded")) == (ready, progressing, degraded)


def test_the_first_failures_are_named():
    views = [view(f"n{n}", state=FilterState.FAILED, reason="Conflict", message=f"program {n}") for n in range(9, 0, -1)]
    found = report([*views, view("n0")])
    assert (found.desired, found.ready, found.failed) == (10, 1, 9)
    assert [(each.node, each.message) for each in found.failures] == [(f"n{n}", f"program {n}") for n in range(1, 6)]
    ready = found.condition("Ready")
    assert ready is not None
    assert ready.message == "1 of 10 nodes ready; failed: n1 (Conflict), n2 (Conflict), n3 (Conflict) and 6 more"


def test_overlaps_are_named():
    found = report([view()], replace(SUBJECT, overlaps=("rule r: ssh, kubelet",)))
    assert says(found, "FailsafeOverlap")[0] == "True"
    assert "rule r: ssh, kubelet" in found.conditions[-1].message
    assert says(report([view()]), "FailsafeOverlap") == ("False", "NoOverlap")


def test_a_conditions_time_changes_with_its_status_only():
    first = report([view(), WAITING])
    second = report([view()], replace(SUBJECT, report=first), replace(AROUND, now=LATER))
    changed = {each.type: each.changed for each in second.conditions}
    assert changed == {"Ready": LATER, "Progressing": LATER, "Degraded": NOW, "FailsafeOverlap": NOW}


def test_since_is_when_a_rules_counts_began():
    first = report([view()])
    subject = replace(SUBJECT, report=first, rule_names=("r", "s"))
    second = report([view()], subject, replace(AROUND, now=LATER), tally=Tally(Totals(5), {"r": Totals(5)}))
    assert second.rules == (RuleReport("r", Totals(5), NOW), RuleReport("s", Totals(), LATER))


def test_a_report_survives_the_wire():
    departed = Departed(("u1",), Totals(1, 2, 3, 4, 5, 6))
    found = plan_report(SUBJECT, [FAILED, view()], AROUND, tally=Tally(Totals(9)), departed=departed)
    raw = encode_report(found)
    assert decode_report(raw) == found
    assert raw["nodes"]["summary"] == "1/2"
    foreign = {"type": "Stranger", "status": "True"}
    assert decode_report({**raw, "conditions": [foreign, *raw["conditions"]]}) == found
    assert decode_report(None) == FilterReport()


def test_a_large_filters_counts_can_wait():
    written = report([view()], tally=Tally(Totals(1)))
    kept = with_totals_of(report([], tally=Tally(Totals(2))), written)
    assert (kept.totals, kept.desired) == (Totals(1), 0)


# ---- events -------------------------------------------------------------------------------------------------------------


def told(before: FilterReport, after: FilterReport) -> list[tuple[str, str]]:
    return [(note.type, note.reason) for note in notes_between(before, after)]


def test_what_a_person_wants_to_know_is_told_once():
    fresh, pending, ready = FilterReport(), report([WAITING]), report([view()])
    failed, off = report([view(), FAILED]), report([view(state=FilterState.OFF)])
    assert told(fresh, pending) == []
    assert told(pending, ready) == [("Normal", "Ready")]
    assert told(ready, ready) == []
    assert told(ready, failed) == [("Warning", "NodesFailed")]
    assert told(failed, report([view(), FAILED, replace(FAILED, name="n4")])) == []
    assert told(failed, ready) == [("Normal", "Ready"), ("Normal", "Recovered")]
    assert told(ready, off) == [("Warning", "EnforcementOff")]
    assert told(off, ready) == [("Normal", "EnforcementOn")]
    assert told(ready, report([view()], replace(SUBJECT, overlaps=("rule r: ssh",)))) == [("Warning", "FailsafeOverlap")]


def test_the_sieve_lets_nothing_through_twice_and_no_flood():
    sieve, note = Sieve(), Note("Normal", "Ready", "2 nodes ready")
    assert sieve.passes("u", note, 0.0)
    assert not sieve.passes("u", note, 599.0)
    assert sieve.passes("other", note, 599.0)
    assert sieve.passes("u", note, 601.0)
    assert sum(sieve.passes("u", replace(note, text=str(n)), 700.0) for n in range(1000)) == 25


def test_an_event_is_one_that_the_api_server_takes():
    note = Note("Warning", "NodesFailed", "x" * 5000)
    body = encode_event(note, Regarding("spillway.dev/v1alpha1", "FloodFilter", "f" * 250, "u"), instance="pod", now=NOW)
    assert len(body["note"]) <= 1024
    assert len(body["metadata"]["generateName"]) <= 248
    assert body["metadata"]["namespace"] == "default"
