"""The laws of slots: a rule keeps its slot, a slot is nobody else's before its counts are saved."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.errors import Transient
from spillway_crds.names import MAX_FILTERS_PER_NODE, MAX_RULES
from spillway_dataplane.filter.program import COUNTER_SLOTS, MODE_SLOTS
from spillway_dataplane.filter.slots import RuleKey, SlotTable, assign, release

WANTED = st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from("rstuv"), unique=True), max_size=5)
CHANGES = st.lists(st.tuples(WANTED, st.booleans()), min_size=1, max_size=8)


def run(changes: list[tuple[dict[str, list[str]], bool]]) -> list[SlotTable]:
    """Tables after each change; the boolean says whether the agent then saves and releases what is retired."""
    tables = [SlotTable()]
    for wanted, saved in changes:
        table = assign(tables[-1], wanted)
        tables.append(table)
        if saved:
            tables.append(release(table, [slot for _, slot in table.retired], [slot for _, slot in table.retired_modes]))
    return tables


@given(CHANGES)
def test_no_slot_has_two_owners(changes: list[tuple[dict[str, list[str]], bool]]) -> None:
    for table in run(changes):
        slots = [slot for _, slot in (*table.rules, *table.retired)]
        modes = [slot for _, slot in (*table.modes, *table.retired_modes)]
        assert len(slots) == len(set(slots)) and len(modes) == len(set(modes))
        assert all(0 <= slot < COUNTER_SLOTS for slot in slots) and all(0 <= slot < MODE_SLOTS for slot in modes)


@given(CHANGES)
def test_who_stays_keeps_the_slot(changes: list[tuple[dict[str, list[str]], bool]]) -> None:
    tables = run(changes)
    for before, after in pairwise(tables):
        old, new = dict(before.rules) | dict(before.retired), dict(after.rules)
        assert all(new[key] == old[key] for key in new.keys() & old.keys())


@given(CHANGES, WANTED)
def test_assigning_again_changes_nothing(changes: list[tuple[dict[str, list[str]], bool]], wanted: dict[str, list[str]]) -> None:
    table = assign(run(changes)[-1], wanted)
    assert assign(table, wanted) == table
    assert {key for key, _ in table.rules} == {RuleKey(uid, rule) for uid, rules in wanted.items() for rule in rules}


def test_what_is_given_up_waits_until_it_is_saved() -> None:
    one = assign(SlotTable(), {"u": ["a", "b"]})
    two = assign(one, {"u": ["b", "c"]})
    assert two.retired == ((RuleKey("u", "a"), one.rule_slot("u", "a")),)
    assert two.rule_slot("u", "c") not in (one.rule_slot("u", "a"), one.rule_slot("u", "b"))
    assert release(two, [one.rule_slot("u", "a")]).retired == ()
    assert two.rule_slots("u", ["c", "b"]) == (two.rule_slot("u", "c"), two.rule_slot("u", "b"))


def test_the_largest_policy_can_be_exchanged_at_once() -> None:
    names = [f"r{number}" for number in range(MAX_RULES)]
    first = assign(SlotTable(), {f"old-{number}": names for number in range(MAX_FILTERS_PER_NODE)})
    second = assign(first, {f"new-{number}": names for number in range(MAX_FILTERS_PER_NODE)})
    assert len(second.rules) == len(second.retired) == MAX_RULES * MAX_FILTERS_PER_NODE


def test_full_is_said_and_passes() -> None:
    table = assign(SlotTable(), {"u": [f"r{number}" for number in range(COUNTER_SLOTS)]})
    with pytest.raises(Transient):
        assign(table, {"u": ["another"]})
    freed = release(assign(table, {}), [7])
    assert assign(freed, {"u2": ["another"]}).rule_slot("u2", "another") == 7


def test_a_stranger_has_no_slot() -> None:
    with pytest.raises(KeyError):
        SlotTable().rule_slot("u", "a")
    with pytest.raises(KeyError):
        SlotTable().mode_slot("u")
