"""Totals never fall while a filter exists, and nothing is added twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.orders import Totals
from spillway_operator.filters.ledger import Ledger, Tally
from spillway_operator.filters.report import FilterReport, RuleReport

RULES = ("r",)


def tally(packets: int, **rules: int) -> Tally:
    return Tally(Totals(packets), {name: Totals(count) for name, count in (rules or {"r": packets}).items()})


def written(ledger: Ledger, total: Tally, existing: set[str]) -> FilterReport:
    """What a status would hold, for the next leader to begin with."""
    rules = tuple(RuleReport(name, totals, "") for name, totals in total.rules.items())
    return FilterReport(totals=total.totals, rules=rules, departed=ledger.departed(RULES, existing))


def test_nodes_add_up():
    assert Ledger(FilterReport()).take({"a": tally(3), "b": tally(4)}, RULES) == tally(7)


def test_a_node_that_leaves_leaves_its_count_and_its_uid():
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(3), "b": tally(4)}, RULES)
    assert ledger.take({"b": tally(5)}, RULES) == tally(8)
    departed = ledger.departed(RULES, {"b"})
    assert (departed.uids, departed.totals) == (("a",), Totals(3))


def test_a_node_that_comes_back_counts_only_what_is_new():
    """Deselected and selected again: its agent counts on, from where it stopped or from zero."""
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(3)}, RULES)
    ledger.take({}, RULES)
    assert ledger.take({"a": tally(5)}, RULES) == tally(5)
    ledger.take({}, RULES)
    assert ledger.take({"a": tally(1)}, RULES) == tally(6)


def test_a_new_leader_goes_on():
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(3), "b": tally(4)}, RULES)
    total = ledger.take({"b": tally(4)}, RULES)
    successor = Ledger(written(ledger, total, {"b"}))
    assert successor.take({"b": tally(6)}, RULES) == tally(9)


def test_a_node_that_left_while_nobody_led_is_made_up_for():
    ledger = Ledger(FilterReport())
    total = ledger.take({"a": tally(30), "b": tally(4)}, RULES)
    successor = Ledger(written(ledger, total, {"a", "b"}))
    assert successor.take({"b": tally(4)}, RULES) == tally(34)
    assert successor.take({"b": tally(5)}, RULES) == tally(35)


def test_a_uid_in_the_base_is_not_added_again_by_a_new_leader():
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(3)}, RULES)
    total = ledger.take({}, RULES)
    successor = Ledger(written(ledger, total, {"a"}))
    assert successor.take({"a": tally(3)}, RULES) == tally(3)
    assert successor.take({"a": tally(4)}, RULES) == tally(4)


def test_a_rule_that_goes_leaves_its_count_in_the_whole():
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(7, r=3, s=4)}, ("r", "s"))
    assert ledger.take({"a": tally(7, r=3)}, ("r",)) == tally(7, r=3)
    assert ledger.take({"a": tally(8, r=3, s=1)}, ("r", "s")) == tally(8, r=3, s=1)


def test_a_rule_without_room_in_a_status_keeps_its_count():
    ledger = Ledger(FilterReport())
    ledger.take({"a": tally(7, r=3, s=4)}, ("r", "s"))
    assert ledger.take({"a": tally(9, r=4)}, ("r", "s")) == tally(9, r=4, s=4)


steps = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), max_size=4) | st.just("new leader"), min_size=1, max_size=20
)


@given(steps)
def test_totals_never_fall(history):
    """Whatever nodes say, come and go, fall back to zero, and whoever leads."""
    ledger, last, existing = Ledger(FilterReport()), tally(0), set("abcd")
    for each in history:
        if each == "new leader":
            ledger = Ledger(written(ledger, last, existing))
            continue
        total = ledger.take({uid: tally(packets) for uid, packets in each.items()}, RULES)
        assert total.totals.matched_packets >= last.totals.matched_packets
        assert total.rules.get("r", Totals()).matched_packets >= last.rules.get("r", Totals()).matched_packets
        last = total


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=30))
def test_what_growing_counters_say_is_counted_exactly(history):
    """Nodes that only ever count up, some not selected for a while: the total is what all of them have counted."""
    ledger, counted, selected = Ledger(FilterReport()), dict.fromkeys("abc", 0), set()
    total = tally(0)
    for uid, more, is_selected in history:
        counted[uid] += more if uid in selected or is_selected else 0
        selected.add(uid)
        total = ledger.take({each: tally(counted[each]) for each in selected}, RULES)
        if not is_selected:
            selected.discard(uid)
            total = ledger.take({each: tally(counted[each]) for each in selected}, RULES)
    assert total.totals.matched_packets == sum(counted.values())
