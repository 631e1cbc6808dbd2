"""What one node has to do, as a table and as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_crds import names
from spillway_crds.filters import FilterContent, FilterSpec, FloodFilter, Mode, NodeSelector
from spillway_crds.orders import Attach, FilterOrder, InterfaceStatus, NodeOrder, NodeState, NodeStatus
from spillway_crds.orders_wire import encode_order, order_hash
from spillway_operator.filters.sights import DataplaneSight, NodeSight
from spillway_operator.plan import (
    Candidate,
    Resolved,
    Rules,
    is_empty,
    marked_failed,
    plan_node,
    plan_state,
    report_seconds,
    resolve_node,
)

EDGE = (("edge", "true"),)
NODE = NodeSight("n", "uid-n", 1, dict(EDGE))
LABELLED = replace(NODE, labels={**NODE.labels, names.NODE_LABEL: "true"})
STANDBY = Rules(standby=NodeSelector())
LINK = InterfaceStatus("eth0", link_id=7)


def candidate(name: str, *, priority=100, selector=EDGE, stored=True, valid=True, created="2026-01-01T00:00:00Z") -> Candidate:
    spec = FilterSpec(NodeSelector(selector), FilterContent((), priority))
    subject = FloodFilter(name, spec, uid=f"uid-{name}", created=created)
    order = FilterOrder(name, f"uid-{name}", f"{name}-2", Mode.ENFORCE, created=created)
    return Candidate(name, f"uid-{name}", subject if valid else None, order if stored else None)


def earlier(name: str) -> FilterOrder:
    return FilterOrder(name, f"uid-{name}", f"{name}-1", Mode.ENFORCE)


def dataplane(order: NodeOrder, *, links=(), waiting=(), current=True) -> DataplaneSight:
    status = NodeStatus(order_hash(order) if current else "old", interfaces=links, waiting_for_turn=waiting)
    return DataplaneSight("n", "uid-d", 1, 1, owner_uid="uid-n", order=order, order_hash=order_hash(order), status=status)


ACTIVE = NodeOrder(NodeState.ACTIVE, filters=(earlier("a"),))
IDLE, EMPTY = NodeOrder(NodeState.IDLE), NodeOrder(NodeState.EMPTY)
WANTED = Resolved(orders=(earlier("a"),))


@pytest.mark.parametrize(
    ("candidates", "seen", "revisions", "over_limit"),
    [
        pytest.param([], None, [], (), id="no filters"),
        pytest.param([candidate("a")], None, ["a-2"], (), id="selected"),
        pytest.param([candidate("a", selector=(("edge", "no"),))], None, [], (), id="not selected"),
        pytest.param([candidate("b", priority=1), candidate("a")], None, ["b-2", "a-2"], (), id="by priority"),
        pytest.param([candidate("b"), candidate("a")], None, ["a-2", "b-2"], (), id="then by name"),
        pytest.param([candidate("a", stored=False)], None, [], (), id="revision not stored: not yet ordered"),
        pytest.param([candidate("a", stored=False)], ACTIVE, ["a-1"], (), id="revision not stored: the old one stays"),
        pytest.param([candidate("a", stored=False, valid=False)], ACTIVE, ["a-1"], (), id="invalid: what ran before stays"),
        pytest.param([candidate("a", stored=False, valid=False)], None, [], (), id="invalid and never ran"),
        pytest.param([candidate("b")], ACTIVE, ["b-2"], (), id="a deleted filter goes"),
    ],
)
def test_what_filters_mean(candidates, seen, revisions, over_limit):
    resolved = resolve_node(NODE, seen, candidates)
    assert [each.revision for each in resolved.orders] == revisions
    assert resolved.over_limit == over_limit


def test_filters_that_only_the_order_names_keep_their_order():
    seen = NodeOrder(NodeState.ACTIVE, filters=(earlier("z"), earlier("a"), earlier("m")))
    ghosts = [candidate(name, stored=False, valid=False) for name in "amz"]
    assert resolve_node(NODE, seen, ghosts).orders == seen.filters


def test_the_youngest_beyond_24_are_named():
    crowd = [candidate(f"f{n:02}", created=f"2026-01-{30 - n:02}T00:00:00Z") for n in range(26)]
    resolved = resolve_node(NODE, None, crowd)
    assert len(resolved.orders) == 24
    assert resolved.over_limit == ("f00", "f01")
    assert resolved.concerns("f00")
    assert not resolved.concerns("f99")


def test_the_largest_order_is_within_its_limit():
    crowd = [candidate(f"{n:063}") for n in range(24)]
    long = [replace(each, order=replace(each.order, revision="r" * 74, uid="u" * 36)) for each in crowd]
    order = NodeOrder(NodeState.ACTIVE, filters=resolve_node(NODE, None, long).orders)
    assert len(str(encode_order(order))) < names.MAX_ORDER_BYTES


@given(st.permutations([candidate("a"), candidate("b", priority=1), candidate("c", stored=False), candidate("d", valid=False)]))
def test_the_order_of_filters_does_not_matter(candidates):
    reference = sorted(candidates, key=lambda each: each.name)
    assert resolve_node(NODE, ACTIVE, candidates) == resolve_node(NODE, ACTIVE, reference)


@pytest.mark.parametrize(
    ("rules", "seen", "resolved", "idle_for_s", "state"),
    [
        pytest.param(STANDBY, None, WANTED, 0, NodeState.ACTIVE, id="filters"),
        pytest.param(STANDBY, None, Resolved(), 0, NodeState.EMPTY, id="none, nothing attached"),
        pytest.param(STANDBY, dataplane(ACTIVE, links=(LINK,)), Resolved(), 0, NodeState.IDLE, id="none, attached: it stays"),
        pytest.param(STANDBY, dataplane(EMPTY, links=(LINK,)), Resolved(), 0, NodeState.IDLE, id="attached meanwhile: it stays"),
        pytest.param(replace(STANDBY, standby_attach=True), None, Resolved(), 0, NodeState.IDLE, id="standby attaches"),
        pytest.param(Rules(idle_s=60), dataplane(IDLE, links=(LINK,)), Resolved(), 59, NodeState.IDLE, id="idle not long enough"),
        pytest.param(Rules(idle_s=60), dataplane(IDLE, links=(LINK,)), Resolved(), 60, NodeState.EMPTY, id="idle long enough"),
        pytest.param(Rules(idle_s=60), dataplane(EMPTY, links=(LINK,)), Resolved(), 0, NodeState.EMPTY, id="already begun"),
        pytest.param(replace(STANDBY, emptying=True), dataplane(ACTIVE), WANTED, 0, NodeState.EMPTY, id="uninstalling"),
    ],
)
def test_states(rules, seen, resolved, idle_for_s, state):
    assert plan_state(NODE, seen, resolved, rules, idle_for_s) is state


@pytest.mark.parametrize(
    ("node", "seen", "resolved", "rules", "ordered", "wants_pod"),
    [
        pytest.param(NODE, None, WANTED, Rules(), True, True, id="selected"),
        pytest.param(NODE, None, Resolved(), STANDBY, True, True, id="standby"),
        pytest.param(NODE, None, Resolved(), Rules(), False, False, id="nobody wants it"),
        pytest.param(LABELLED, None, Resolved(), Rules(), True, True, id="its order is lost: ask what is left there"),
        pytest.param(LABELLED, dataplane(IDLE, links=(LINK,)), Resolved(), Rules(), True, True, id="a pinned link"),
        pytest.param(LABELLED, dataplane(EMPTY, current=False), Resolved(), Rules(), True, True, id="not confirmed"),
        pytest.param(LABELLED, dataplane(EMPTY, waiting=("eth0",)), Resolved(), Rules(), True, True, id="waits to detach"),
        pytest.param(LABELLED, dataplane(EMPTY), Resolved(), Rules(), False, False, id="confirmed empty"),
        pytest.param(LABELLED, dataplane(EMPTY), Resolved(), STANDBY, True, True, id="confirmed empty in standby"),
        pytest.param(LABELLED, dataplane(EMPTY), WANTED, replace(STANDBY, emptying=True), False, False, id="uninstalled"),
        pytest.param(LABELLED, dataplane(ACTIVE), WANTED, replace(STANDBY, emptying=True), True, True, id="uninstalling"),
        pytest.param(NODE, None, WANTED, replace(STANDBY, emptying=True), False, False, id="uninstalled: nothing comes back"),
    ],
)
def test_who_has_an_order_and_a_pod(node, seen, resolved, rules, ordered, wants_pod):
    plan = plan_node(node, seen, resolved, rules)
    assert (plan.order is not None, plan.wants_pod) == (ordered, wants_pod)


@pytest.mark.parametrize(
    ("resolved", "rules", "ordered"),
    [
        pytest.param(Resolved(), Rules(), False, id="nobody will ever confirm: it goes"),
        pytest.param(WANTED, replace(STANDBY, emptying=True), False, id="does not stand in the way of an uninstall"),
        pytest.param(WANTED, Rules(), True, id="wanted: its order waits for an agent"),
    ],
)
def test_a_node_that_never_had_an_agent(resolved, rules, ordered):
    plan = plan_node(LABELLED, dataplane(EMPTY, current=False), resolved, rules, abandoned=True)
    assert (plan.order is not None, plan.wants_pod) == (ordered, ordered)


@pytest.mark.parametrize("turn", list(Attach))
def test_a_turn_stands_in_the_order(turn):
    plan = plan_node(NODE, None, WANTED, Rules(), turn=turn)
    assert plan.order == NodeOrder(NodeState.ACTIVE, attach=turn, filters=WANTED.orders)


def test_a_failed_node_gets_an_order_that_it_cannot_have_reported():
    allowed = replace(ACTIVE, attach=Attach.ALLOWED)
    assert len({order_hash(each) for each in (ACTIVE, allowed, marked_failed(allowed))}) == 3
    assert marked_failed(allowed).attach is Attach.HOLD


def test_empty_is_believed_only_from_the_kernel():
    assert is_empty(dataplane(EMPTY))
    assert not is_empty(dataplane(EMPTY, links=(LINK,)))
    assert not is_empty(dataplane(IDLE))
    assert not is_empty(dataplane(replace(EMPTY, attach=Attach.ALLOWED)))
    assert not is_empty(replace(dataplane(EMPTY), order=None))


@pytest.mark.parametrize(("nodes", "seconds"), [(0, 5), (150, 5), (151, 10), (1000, 35), (3000, 100)])
def test_all_nodes_together_report_about_thirty_times_a_second(nodes, seconds):
    assert report_seconds(nodes) == seconds
