"""One filter's counts over all nodes. Pure of I/O; it remembers what each node said last.

Laws: a total never falls while the filter exists; nothing is added twice. What a NodeDataplane counted is either `live`, or, once
it has left (its object went, or its order no longer holds the filter), part of the base that is written down with its uid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, field

from spillway_crds.orders import FilterStatus, RuleTotals, Totals
from spillway_operator.filters.report import Departed, FilterReport

NOTHING = Totals()
MAX_GONE_UIDS = 200  # a uid whose object is gone never comes back; the newest are kept for people to read


@dataclass(frozen=True, slots=True)
class Tally:
    """The whole and its rules."""

    totals: Totals = NOTHING
    rules: Mapping[str, Totals] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        names = {**self.rules, **other.rules}
        rules = {name: self.rules.get(name, NOTHING) + other.rules.get(name, NOTHING) for name in names}
        return Tally(self.totals + other.totals, rules)

    def against(self, other: Tally, combine: Callable[[Totals, Totals], Totals]) -> Tally:
        """Combine each part with the same part of `other`."""
        rules = {name: combine(totals, other.rules.get(name, NOTHING)) for name, totals in self.rules.items()}
        return Tally(combine(self.totals, other.totals), rules)

    def only(self, rule_names: Collection[str]) -> Tally:
        """Without rules that the filter no longer has; their counts stay in its totals."""
        return Tally(self.totals, {name: totals for name, totals in self.rules.items() if name in rule_names})


def _beyond(one: Totals, other: Totals) -> Totals:
    """What `one` has more, count by count, never less than nothing."""
    return Totals(*(max(0, a - b) for a, b in zip(astuple(one), astuple(other), strict=True)))


def _fell(now: Totals, was: Totals) -> bool:
    return any(a < b for a, b in zip(astuple(now), astuple(was), strict=True))


def _begun_anew(was: Totals, now: Totals) -> Totals:
    """What would be lost: all that was, if whoever counts began at zero again."""
    return was if _fell(now, was) else NOTHING


def _more(now: Totals, was: Totals) -> Totals:
    """What came since: the difference, or all of it if the count began at zero again."""
    return now if _fell(now, was) else _beyond(now, was)


def tally_of(status: FilterStatus) -> Tally:
    """What one node says of one filter."""
    return Tally(status.totals, {rule.name: rule.totals for rule in status.rules})


def reported_tally(report: FilterReport) -> Tally:
    """What the filter's status said last."""
    return Tally(report.totals, {rule.name: rule.totals for rule in report.rules})


class Ledger:
    """Begins with what the filter's status holds, so that a new leader goes on where the last one stopped."""

    def __init__(self, written: FilterReport) -> None:
        departed = written.departed
        self._base = Tally(departed.totals, {rule.name: rule.totals for rule in departed.rules})
        self._departed = dict.fromkeys(departed.uids)
        self._marks: dict[str, Tally] = {}  # of departed uids: how much of what they say is in the base already
        self._live: dict[str, Tally] = {}
        self._floor: Tally | None = reported_tally(written)

    def take(self, reports: Mapping[str, Tally], rule_names: Collection[str]) -> Tally:
        """Take in what every NodeDataplane, by uid, says of the filter now. Returns the totals, of `rule_names` only."""
        self._forget_rules(rule_names)
        for uid in self._live.keys() - reports.keys():
            self._depart(uid)
        for uid, tally in reports.items():
            if uid in self._departed:
                self._add_to_base(uid, tally.only(rule_names))
            else:
                self._count(uid, tally.only(rule_names))
        return self._at_least_what_was_written(sum(self._live.values(), self._base), rule_names)

    def _forget_rules(self, rule_names: Collection[str]) -> None:
        if self._base.rules.keys() - set(rule_names):
            self._base = self._base.only(rule_names)
        for uid, tally in self._live.items():
            if tally.rules.keys() - set(rule_names):
                self._live[uid] = tally.only(rule_names)

    def _depart(self, uid: str) -> None:
        last = self._live.pop(uid)
        self._base += last
        self._departed[uid] = None
        self._marks[uid] = last

    def _count(self, uid: str, tally: Tally) -> None:
        before = self._live.get(uid, Tally())
        now = Tally(tally.totals, {**before.rules, **tally.rules})  # a rule that a status has no room for keeps its last count
        self._base += before.against(now, _begun_anew)
        self._live[uid] = now

    def _add_to_base(self, uid: str, tally: Tally) -> None:
        """It came back. How much of it is in the base is known exactly, or, after a restart, taken to be all."""
        self._base += tally.against(self._marks.get(uid, tally), _more)
        self._marks[uid] = tally

    def _at_least_what_was_written(self, totals: Tally, rule_names: Collection[str]) -> Tally:
        """A node that left while nobody led took its last count with it: the base makes up for it, once."""
        if self._floor is None:
            return totals
        missing, self._floor = self._floor.only(rule_names).against(totals, _beyond), None
        self._base += missing
        return totals + missing

    def departed(self, rule_names: Iterable[str], existing: Collection[str]) -> Departed:
        """The base, to be written down. existing: uids of the NodeDataplanes that there are."""
        gone = [uid for uid in self._departed if uid not in existing]
        for uid in gone[:-MAX_GONE_UIDS]:
            del self._departed[uid]
            self._marks.pop(uid, None)
        rules = tuple(RuleTotals(name, self._base.rules[name]) for name in rule_names if name in self._base.rules)
        return Departed(tuple(self._departed), self._base.totals, rules)
