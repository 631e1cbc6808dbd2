"""The book of counts: exact, and never falling, whatever happens between two readings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spillway_crds.orders import Totals
from spillway_dataplane.filter.program import Counts
from spillway_dataplane.filter.slots import RuleKey, SlotTable, assign, release
from spillway_dataplane.kept import counts
from spillway_dataplane.kept.wire import decode_book, encode_book

INTERFACES = ("eth0", "eth1")
FILTERS = ("uid-a", "uid-b")
RULES = ("one", "two", "three")


def packets(number: int) -> Counts:
    return Counts(matched_packets=number, matched_bytes=number * 60)


def matched(totals: Totals | None) -> int:
    return totals.matched_packets if totals is not None else 0


@dataclass
class Maps:
    """The kernel's side: counters by slot, of one interface."""

    live: dict[int, int] = field(default_factory=dict)


class BookMachine(RuleBasedStateMachine):
    """Packets, new rules, reboots, restarts and new objects, in any order; the model counts each packet once."""

    def __init__(self) -> None:
        super().__init__()
        self.book = counts.CountBook(counts_for="nd-1")
        self.table = SlotTable()
        self.maps = {name: Maps() for name in INTERFACES}
        self.expected: dict[str, int] = {}
        self.reported: dict[str, int] = {}
        self.objects = 1

    def live(self, ifname: str) -> dict[int, Counts]:
        slots = [slot for _, slot in (*self.table.rules, *self.table.retired)]
        return {slot: packets(self.maps[ifname].live.get(slot, 0)) for slot in slots}

    def read(self) -> None:
        for ifname in INTERFACES:
            self.book = counts.seen(self.book, self.table, ifname, self.live(ifname))

    def totals(self) -> dict[str, int]:
        totals = counts.filter_totals(self.book.left, counts.rule_totals(self.book, self.table))
        return {uid: matched(each) for uid, each in totals.items()}

    @rule(wanted=st.dictionaries(st.sampled_from(FILTERS), st.sets(st.sampled_from(RULES), min_size=1)))
    def new_rules(self, wanted):
        """Another program: slots are assigned, opened, and those that no program uses any more are closed and given free."""
        self.read()
        self.table = assign(self.table, {uid: sorted(rules) for uid, rules in wanted.items()})
        for ifname in INTERFACES:
            self.book = counts.opened(self.book, self.table, ifname, self.live(ifname))
        self.book = counts.slots_closed(self.book, self.table)
        self.table = release(self.table, [slot for _, slot in self.table.retired], [slot for _, slot in self.table.retired_modes])

    @precondition(lambda self: self.table.rules)
    @rule(data=st.data(), ifname=st.sampled_from(INTERFACES), number=st.integers(1, 1000))
    def flood(self, data, ifname, number):
        key, slot = data.draw(st.sampled_from(self.table.rules))
        self.maps[ifname].live[slot] = self.maps[ifname].live.get(slot, 0) + number
        self.expected[key.uid] = self.expected.get(key.uid, 0) + number

    @rule(ifname=st.sampled_from(INTERFACES))
    def new_maps(self, ifname):
        """A reboot, or an interface taken off and put on again: what was read last is what counts."""
        self.read()
        self.maps[ifname] = Maps()
        self.book = counts.renewed(self.book, self.table, ifname)

    @rule()
    def new_maps_unnoticed(self):
        """The same, after a death before it could be written down: counters that fell say it."""
        self.read()
        for ifname in INTERFACES:
            self.maps[ifname] = Maps()
        self.read()

    @rule()
    def restart(self):
        self.book = decode_book(json.loads(json.dumps(encode_book(self.book))))

    @rule()
    def new_object(self):
        """The NodeDataplane was made anew: its totals begin with it."""
        self.read()
        self.objects += 1
        self.book = counts.begun_anew(self.book, f"nd-{self.objects}")
        self.expected, self.reported = {}, {}

    @invariant()
    def exact_and_never_falling(self):
        self.read()
        totals = self.totals()
        assert {uid: number for uid, number in totals.items() if number} == self.expected
        assert all(totals.get(uid, 0) >= number for uid, number in self.reported.items())
        self.reported = totals


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_former_filters_are_bounded():
    """A node that many filters pass through does not keep all their counts for ever; those that are ordered always stay."""
    bases = {RuleKey(f"uid-{number:04}", "r"): Totals(matched_packets=1) for number in range(1000)}
    book = counts.forgotten(counts.CountBook(bases=bases), frozenset({"uid-0000"}))
    assert RuleKey("uid-0000", "r") in book.bases
    assert len(book.bases) == counts.MAX_FORMER_FILTERS + 1


def test_rule_taken_out_leaves_its_counts_to_its_filter():
    table = assign(SlotTable(), {"uid-a": ["one", "two"]})
    book = counts.renewed(counts.CountBook(), table, "eth0")
    book = counts.seen(book, table, "eth0", {0: packets(5), 1: packets(7)})
    table = assign(table, {"uid-a": ["one"]})
    book = counts.slots_closed(book, table)
    rules = counts.rule_totals(book, table)
    assert matched(rules[RuleKey("uid-a", "one")]) == 5
    assert RuleKey("uid-a", "two") not in rules
    assert matched(counts.filter_totals(book.left, rules)["uid-a"]) == 12


def test_damaged_book_is_an_empty_one():
    assert decode_book({"countsFor": "x"}) == counts.CountBook()
    assert decode_book(None) == counts.CountBook()
    assert replace(counts.CountBook(), counts_for="x") == decode_book(encode_book(counts.CountBook(counts_for="x")))
