"""The small laws: who is at fault, when to try again, when to report, who gets slots, how a condition is dated."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.agent_fakes import Orders, card, content, rule

from spillway_crds.errors import KernelError, SpillwayError
from spillway_crds.filters import FilterContent, XdpMode
from spillway_crds.orders import Condition, NodeStatus
from spillway_dataplane.filter.program import COUNTER_SLOTS, FilterUnit, ProgramSpec
from spillway_dataplane.filter.slots import SlotTable, assign
from spillway_dataplane.kept.records import MemberRecord
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.planning.culprits import find_culprits
from spillway_dataplane.planning.drafts import make_drafts
from spillway_dataplane.planning.refusals import LONGEST_S, SLOW_LONGEST_S, Refusals, delay_s, hurried, refused, succeeded
from spillway_dataplane.planning.view import Attempt
from spillway_dataplane.planning.wishes import Circumstances
from spillway_dataplane.report import next_counts_at, with_times
from spillway_dataplane.settings import read_settings

REFUSED = KernelError(errno=13, operation="load program")
ATTEMPT = Attempt("eth0", 2, "abc", XdpMode.NATIVE, 1500, 4, True)


def program(uids: str) -> ProgramSpec:
    return ProgramSpec(tuple(FilterUnit(uid, uid, FilterContent(()), slot, ()) for slot, uid in enumerate(uids)))


@given(
    st.sets(st.sampled_from("abcdefgh"), min_size=1), st.sets(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh"))
)
def test_culprits_are_exactly_the_bad_ones(uids: set[str], bad: set[str], good: set[str]) -> None:
    """With filters that are bad by themselves: each is found, nobody else is blamed, and the rest can be had together."""
    spec, bad, good = program("".join(sorted(uids))), bad & uids, (good & uids) - bad
    tried = []

    def attempt(each: ProgramSpec) -> SpillwayError | None:
        tried.append(each)
        return REFUSED if any(unit.uid in bad for unit in each.filters) else None

    if bad:
        assert find_culprits(spec, frozenset(good), {}, REFUSED, attempt).keys() == bad
        assert len(tried) <= len(uids)


def test_of_two_that_cannot_go_together_the_older_stays() -> None:
    def attempt(each: ProgramSpec) -> SpillwayError | None:
        return REFUSED if len(each.filters) > 1 else None

    ages = {"a": ("2026", "a"), "b": ("2025", "b")}
    assert find_culprits(program("ab"), frozenset(), ages, REFUSED, attempt).keys() == {"a"}


def test_refusals_wait_longer_and_longer() -> None:
    refusals, now = Refusals(), 0.0
    waits = []
    for _ in range(12):
        refusals = refused(refusals, ATTEMPT, Finding(Reason.TRANSIENT, "no", "eth0"), now)
        next_at = refusals.next_at(now)
        assert next_at is not None
        waits.append(next_at - now)
        assert refusals.active(now)
        now = next_at
        assert not refusals.active(now)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    assert delay_s(Reason.NOT_SUPPORTED, 20) == SLOW_LONGEST_S


def test_change_of_the_node_hurries_a_refusal_and_success_ends_it() -> None:
    refusals = refused(Refusals(), ATTEMPT, Finding(Reason.NOT_SUPPORTED, "no", "eth0"), 0.0)
    assert hurried(refusals, 5.0).next_at(5.0) == 6.0
    other = replace(ATTEMPT, mtu=9000)
    assert list(refused(refusals, other, Finding(Reason.CONFLICT, "no", "eth0"), 0.0).entries) == [other]
    assert succeeded(refusals, "eth0") == Refusals()


def test_counts_are_due_soon_after_a_change_and_then_seldom() -> None:
    """2, 5 and 10 s after a change of state, then every report_seconds."""
    times, last = [], 100.0
    for _ in range(6):
        last = next_counts_at(100.0, last, 60)
        times.append(last - 100.0)
    assert times == [2, 5, 10, 70, 130, 190]


def test_condition_is_dated_when_it_turns() -> None:
    def status(state: str) -> NodeStatus:
        return NodeStatus("", conditions=(Condition("Ready", state, "Because"),))

    first = with_times(status("True"), None, "one")
    assert with_times(status("True"), first, "two").conditions[0].changed == "one"
    assert with_times(status("False"), first, "two").conditions[0].changed == "two"


def test_filter_without_slots_waits_and_takes_none_from_others() -> None:
    """While retired slots hold their counts, the youngest waits; what runs of it stays."""
    orders = Orders()
    before = content(*(rule(f"old-{number}") for number in range(60)))
    after = content(*(rule(f"new-{number}") for number in range(60)))
    running_order = orders.filter("dns", before)
    full = assign(
        SlotTable(), {running_order.uid: [each.name for each in before.rules], "others": map(str, range(COUNTER_SLOTS - 60))}
    )
    running = {"eth0": (MemberRecord(running_order.uid, "dns", running_order.revision),)}
    order = orders.seen(orders.filter("dns", after)).order
    made = make_drafts(order, Circumstances(orders.contents, ObservedNode((card(),)), running=running), full, ())
    (finding,) = made.findings
    assert (finding.reason, finding.uid) == (Reason.TRANSIENT, running_order.uid)
    assert [each.revision for each in made.interfaces["eth0"].members] == [running_order.revision]


def test_settings() -> None:
    found = read_settings(
        {"NODE_NAME": "node-7", "NODE_IP": "10.0.0.11,fd00::11", "SPILLWAY_STATE": "/s", "SPILLWAY_BPFFS": "/b"}
    )
    assert (found.node_name, len(found.node_addresses), str(found.pins)) == ("node-7", 2, "/b/spillway")
    for wrong in ({"NODE_IP": "here"}, {"SPILLWAY_METRICS_PER_RULE": "Some"}, {"SPILLWAY_METRICS_PORT": "x"}):
        with pytest.raises(ValueError, match=r".+"):
            read_settings({"NODE_NAME": "node-7", **wrong})
    with pytest.raises(KeyError):
        read_settings({})
