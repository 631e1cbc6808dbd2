"""What goes over the wire comes back as it was, has one text and one hash, and stays small."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import crd_cases as cases
from tests import crd_strategies as some
from tests.order_cases import running

from spillway_crds import names, orders_wire
from spillway_crds.canonical import canonical_json, size_bytes
from spillway_crds.decode import decode_filter, decode_filter_content
from spillway_crds.encode import encode_content
from spillway_crds.errors import InvalidIntent
from spillway_crds.filters import FilterContent
from spillway_crds.orders import (
    Attach,
    Condition,
    FilterOrder,
    FilterState,
    FilterStatus,
    InterfaceStatus,
    NodeOrder,
    NodeState,
    NodeStatus,
    RuleTotals,
    Totals,
)
from spillway_crds.revisions import content_hash, decode_revision, encode_revision, revision_name
from spillway_crds.schema.nodedataplane import STATUS
from spillway_crds.validate import problems_of


def shuffled(value: Any, seed: int) -> Any:
    """The same JSON value with the keys of its objects in another order."""
    if isinstance(value, dict):
        keys = random.Random(seed).sample(list(value), len(value))
        return {key: shuffled(value[key], seed) for key in keys}
    return [shuffled(each, seed) for each in value] if isinstance(value, list) else value


@some.QUICK
@given(some.contents())
def test_contents_come_back(content: FilterContent) -> None:
    """decode(encode(x)) is x, also through JSON text."""
    assert decode_filter_content(json.loads(json.dumps(encode_content(content)))) == content


@some.QUICK
@given(some.contents(), st.integers())
def test_a_hash_does_not_depend_on_the_order_of_keys(content: FilterContent, seed: int) -> None:
    """A revision has one name, whoever wrote it down."""
    again = decode_filter_content(shuffled(encode_content(content), seed))
    assert content_hash(again) == content_hash(content)
    assert canonical_json(shuffled(encode_content(content), seed)) == canonical_json(encode_content(content))


@some.QUICK
@given(some.contents(), some.contents())
def test_different_contents_have_different_hashes(one: FilterContent, other: FilterContent) -> None:
    """A changed filter is a new revision."""
    assert (content_hash(one) == content_hash(other)) == (one == other)


def test_what_is_no_content_makes_no_revision() -> None:
    """Mode, suspend and nodeSelector change without a new program."""
    plain = decode_filter(cases.spec()).spec.content
    other = decode_filter(cases.spec(mode="Enforce", suspend=True, nodeSelector={"matchLabels": {"edge": "true"}})).spec.content
    assert revision_name("a", plain) == revision_name("a", other)
    assert revision_name("a", plain) != revision_name("a", replace(plain, priority=7))


def test_a_protocol_has_one_spelling() -> None:
    """17 is UDP: the same packets, so the same revision."""
    by_name, by_number = cases.match(protocol="UDP"), cases.match(protocolNumber=17)
    assert decode_filter(by_name).spec.content == decode_filter(by_number).spec.content


@some.QUICK
@given(some.contents(), some.LABELS)
def test_revisions_come_back(content: FilterContent, name: str) -> None:
    """A ControllerRevision holds filter, number and content; its labels are none of the DaemonSet's."""
    raw = encode_revision(name, content, number=7, namespace="spillway-system")
    found = decode_revision(json.loads(json.dumps(raw)))
    assert (found.name, found.filter_name, found.number, found.content) == (revision_name(name, content), name, 7, content)
    assert raw["metadata"]["labels"] == {names.REVISION_LABEL: name}


def test_a_revision_that_was_changed_is_refused() -> None:
    """What is executed is what the name was made of."""
    raw = encode_revision("a", decode_filter(cases.spec()).spec.content, number=1, namespace="n")
    raw["data"]["content"]["priority"] = 7
    with pytest.raises(InvalidIntent, match="its content belongs to a-"):
        decode_revision(raw)


@pytest.mark.parametrize("raw", [{}, {"data": {}}, {"data": {"content": {"rules": []}}}, {"data": None, "metadata": None}])
def test_a_revision_without_content_is_refused(raw: dict[str, Any]) -> None:
    """A damaged file on disk is an error with a reason, not a crash."""
    with pytest.raises(InvalidIntent):
        decode_revision(raw)


@some.QUICK
@given(some.orders())
def test_orders_come_back(order: NodeOrder) -> None:
    """decode(encode(x)) is x, and the state is always said."""
    raw = orders_wire.encode_order(order)
    assert raw["state"] == order.state.value
    assert orders_wire.decode_order(json.loads(json.dumps(raw))) == order
    assert orders_wire.order_hash(orders_wire.decode_order(raw)) == orders_wire.order_hash(order)


@some.QUICK
@given(some.orders(), some.orders())
def test_different_orders_have_different_hashes(one: NodeOrder, other: NodeOrder) -> None:
    """An agent never reports the hash of an order that it does not carry out."""
    assert (orders_wire.order_hash(one) == orders_wire.order_hash(other)) == (one == other)
    assert len(orders_wire.order_hash(one)) == 16


def test_the_largest_order_is_under_its_limit() -> None:
    """24 filters with the longest names fit."""
    name = "n" * names.MAX_NAME_LENGTH
    each = FilterOrder(name, "u" * 36, f"{name}-0123456789", suspend=True, created="2026-01-01T00:00:00Z")
    order = NodeOrder(NodeState.ACTIVE, Attach.ALLOWED, filters=(each,) * names.MAX_FILTERS_PER_NODE)
    assert size_bytes(orders_wire.encode_order(order)) < names.MAX_ORDER_BYTES


@pytest.mark.parametrize("raw", [{}, {"filters": []}, {"state": "Active"}, {"state": "Empty", "filters": [running()]}])
def test_an_order_is_never_expressed_by_absence(raw: dict[str, Any]) -> None:
    """What lost its state or its filters on the way is no order."""
    with pytest.raises(InvalidIntent):
        orders_wire.decode_order(raw)


@some.QUICK
@given(some.statuses())
def test_statuses_come_back(status: NodeStatus) -> None:
    """decode(encode(x)) is x."""
    assert orders_wire.decode_status(json.loads(json.dumps(orders_wire.encode_status(status)))) == status


@some.QUICK
@given(some.statuses())
def test_statuses_fit_the_crd(status: NodeStatus) -> None:
    """What an agent reports is never refused by the API server: a report that is lost is a node that is silent."""
    assert problems_of(STATUS, orders_wire.encode_status(orders_wire.trim_status(status)), "status") == ()


@pytest.mark.parametrize("raw", [None, {}, {"filters": [{}], "interfaces": [{}], "conditions": [{}], "later": 1}])
def test_a_status_may_be_missing_in_part(raw: dict[str, Any] | None) -> None:
    """An agent that has not reported yet, or a newer one, is read all the same."""
    found = orders_wire.decode_status(raw)
    assert found.observed_spec_hash == ""
    assert all(each.state is FilterState.PENDING for each in found.filters)


@some.QUICK
@given(some.statuses(), st.integers(1, 8), st.integers(1, 21), st.sampled_from([1, 10, 99]))
def test_a_trimmed_status_is_small(status: NodeStatus, more_filters: int, more_rules: int, more_interfaces: int) -> None:
    """Under both limits; filters, states and totals stay; rules are the first ones, and what is left out is said."""
    filters = tuple(replace(each, rules=each.rules * more_rules) for each in status.filters * more_filters)
    status = replace(status, filters=filters, interfaces=status.interfaces * more_interfaces)
    trimmed = orders_wire.trim_status(status)
    check_limits(trimmed)
    assert [(each.name, each.state, each.totals) for each in trimmed.filters] == [
        (each.name, each.state, each.totals) for each in status.filters
    ]
    for cut, whole in zip(trimmed.filters, status.filters, strict=True):
        assert cut.rules == whole.rules[: len(cut.rules)]
        assert cut.rule_counts == ("Status" if cut.rules == whole.rules else "Metrics")


def check_limits(status: NodeStatus) -> None:
    raw = orders_wire.encode_status(status)
    assert size_bytes(raw) < names.MAX_NODE_STATUS_BYTES
    assert sum(size_bytes(each["rules"]) - 2 for each in raw.get("filters", ())) < names.RULE_STATUS_BYTES


def worst(count: int) -> NodeStatus:
    """Every text as long as it gets, every list as long as a node can make it, all counts at `count`."""
    totals = Totals(count, count, count, count, count, count)
    condition = Condition("Attached", "False", "NotSupported", "é" * 2000, "2026-01-01T00:00:00Z")
    rules = tuple(RuleTotals(f"{index:063}", totals) for index in range(64))
    each = FilterStatus("n" * 63, "u" * 36, "r" * 74, FilterState.MONITORING, "NotSupported", "m" * 5000, totals, rules)
    interface = InterfaceStatus("e" * 15, "d" * 16, "Generic", 2**31, 2**31, "0" * 16, 1024, (condition,) * 4)
    return NodeStatus(
        "h" * 16,
        agent_version="0.1.0",
        counts_for="u" * 36,
        waiting_for_turn=("e" * 15,) * 500,
        interfaces=(interface,) * 500,
        filters=(each,) * 24,
        conditions=(condition,) * 8,
    )


def test_the_worst_status_is_small() -> None:
    """Whatever a node makes of its interfaces and errors, the API server takes it and etcd does not fill."""
    trimmed = orders_wire.trim_status(worst(2**63 - 1))
    check_limits(trimmed)
    assert problems_of(STATUS, orders_wire.encode_status(trimmed), "status") == ()
    assert len(trimmed.filters) == 24


def test_a_count_that_grows_pushes_no_rule_out() -> None:
    """A rule that came and went with the digits would make the operator's totals fall."""
    one = replace(worst(0), filters=(worst(0).filters[0],), interfaces=(), conditions=(), waiting_for_turn=())
    grown = replace(one, filters=(worst(10**15).filters[0],))
    listed = [len(orders_wire.trim_status(each).filters[0].rules) for each in (one, grown)]
    assert listed[0] == listed[1] > 40


def test_trimming_leaves_a_small_status_alone() -> None:
    """Nothing is cut without need."""
    running = {"name": "a", "state": "Enforcing", "message": "m" * 999, "rules": [{"name": "r"}]}
    status = orders_wire.decode_status({"observedSpecHash": "h", "filters": [running]})
    assert orders_wire.trim_status(status) == status
