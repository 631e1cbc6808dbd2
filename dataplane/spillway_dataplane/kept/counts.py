"""The book of counts: exact, and never falling, over new programs, new maps, restarts and reboots. Pure.

A slot's owner has counted `live - start` on an interface since it got the slot there, on top of what the book already holds as
its base. Nothing is ever cleared in the kernel: an agent that dies between two steps finds both numbers again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter

from spillway_crds.orders import RuleTotals, Totals
from spillway_dataplane.filter.program import Counts
from spillway_dataplane.filter.slots import RuleKey, SlotTable

NOTHING = Totals()
MAX_FORMER_FILTERS = 200  # filters that left this node's order and may come back under the same uid
Place = tuple[str, int]  # (ifname, slot)
numbers = attrgetter(*(each.name for each in fields(Totals)))  # dataclasses.astuple copies deeply: ten times as long


@dataclass(frozen=True, slots=True)
class CountBook:
    """counts_for: uid of the NodeDataplane that all of it belongs to.

    bases: what each rule has counted in places that are closed. left: by filter uid, what rules counted that were taken out.
    starts: the live value at which a slot's owner began. latest: the live value last seen.
    """

    counts_for: str = ""
    bases: Mapping[RuleKey, Totals] = field(default_factory=dict)
    left: Mapping[str, Totals] = field(default_factory=dict)
    starts: Mapping[Place, Totals] = field(default_factory=dict)
    latest: Mapping[Place, Totals] = field(default_factory=dict)


def as_totals(counts: Counts) -> Totals:
    """The kernel's counts in the report's type: same fields, same order."""
    return Totals(*numbers(counts))


def minus(one: Totals, other: Totals) -> Totals:
    """Difference, field by field."""
    return Totals(*(a - b for a, b in zip(numbers(one), numbers(other), strict=True)))


def fell(now: Totals, before: Totals) -> bool:
    """Whether a counter is smaller than it was: the map is a new one."""
    return any(a < b for a, b in zip(numbers(now), numbers(before), strict=True))


def opened(book: CountBook, table: SlotTable, ifname: str, live: Mapping[int, Counts]) -> CountBook:
    """Begin the places that the book does not know, at the value that the kernel holds now: it is not their owner's."""
    fresh = {
        (ifname, slot): as_totals(live[slot]) for _, slot in table.rules if slot in live and (ifname, slot) not in book.starts
    }
    return replace(book, starts={**book.starts, **fresh}, latest={**book.latest, **fresh}) if fresh else book


def renewed(book: CountBook, table: SlotTable, ifname: str) -> CountBook:
    """Close an interface's places and begin them at zero: its maps have just been made."""
    closed = interface_closed(book, table, ifname)
    zero = {(ifname, slot): NOTHING for _, slot in table.rules}
    return replace(closed, starts={**closed.starts, **zero}, latest={**closed.latest, **zero})


def seen(book: CountBook, table: SlotTable, ifname: str, live: Mapping[int, Counts]) -> CountBook:
    """Take in what an interface's counters hold. One that fell belongs to new maps: they are closed and begin at zero."""
    now = {slot: as_totals(counts) for slot, counts in live.items()}
    if any(fell(totals, book.latest.get((ifname, slot), NOTHING)) for slot, totals in now.items()):
        book = renewed(book, table, ifname)
    book = opened(book, table, ifname, live)
    latest = {(ifname, slot): totals for slot, totals in now.items() if (ifname, slot) in book.starts}
    if all(book.latest.get(place) == totals for place, totals in latest.items()):
        return book
    return replace(book, latest={**book.latest, **latest})


def interface_closed(book: CountBook, table: SlotTable, ifname: str) -> CountBook:
    """Add an interface's counts to the bases and forget its places: its maps go, or have gone."""
    owners = {slot: key for key, slot in (*table.rules, *table.retired)}
    return _closed(book, owners, [place for place in book.starts if place[0] == ifname])


def slots_closed(book: CountBook, table: SlotTable) -> CountBook:
    """Add what the retired slots counted to their owners' bases; a rule that is gone leaves its counts to its filter.

    After this the slots may be released.
    """
    owners = {slot: key for key, slot in table.retired}
    closed = _closed(book, owners, [place for place in book.starts if place[1] in owners])
    bases, left = dict(closed.bases), dict(closed.left)
    current = {key.uid for key, _ in table.rules}
    for key in owners.values():
        if key.uid in current and key in bases:
            left[key.uid] = left.get(key.uid, NOTHING) + bases.pop(key)
    return replace(closed, bases=bases, left=left)


def _closed(book: CountBook, owners: Mapping[int, RuleKey], places: list[Place]) -> CountBook:
    bases = dict(book.bases)
    for place in places:
        if (key := owners.get(place[1])) is not None:
            bases[key] = bases.get(key, NOTHING) + _since_start(book, place)
    gone = frozenset(places)
    starts = {place: totals for place, totals in book.starts.items() if place not in gone}
    latest = {place: totals for place, totals in book.latest.items() if place not in gone}
    return CountBook(book.counts_for, bases, book.left, starts, latest)


def _since_start(book: CountBook, place: Place) -> Totals:
    start = book.starts.get(place, NOTHING)
    return minus(book.latest.get(place, start), start)


def begun_anew(book: CountBook, uid: str) -> CountBook:
    """Begin all totals at zero for another NodeDataplane; the same uid, or none, changes nothing."""
    if uid in ("", book.counts_for):
        return book
    if not book.counts_for:
        return replace(book, counts_for=uid)  # what was counted before anybody was told belongs to the first who asks
    return CountBook(uid, {}, {}, dict(book.latest), dict(book.latest))


def rule_totals(book: CountBook, table: SlotTable) -> dict[RuleKey, Totals]:
    """Return what each rule has counted, over all interfaces."""
    totals = dict(book.bases)
    owners = {slot: key for key, slot in (*table.rules, *table.retired)}
    for place in book.starts:
        if (key := owners.get(place[1])) is not None:
            totals[key] = totals.get(key, NOTHING) + _since_start(book, place)
    return totals


def filter_totals(left: Mapping[str, Totals], rules: Mapping[RuleKey, Totals]) -> dict[str, Totals]:
    """Return what each filter has counted, with the rules that were taken out of it."""
    totals = dict(left)
    for key, counted in rules.items():
        totals[key.uid] = totals.get(key.uid, NOTHING) + counted
    return totals


def rules_of(rules: Mapping[RuleKey, Totals], uid: str, names: Iterable[str]) -> tuple[RuleTotals, ...]:
    """Return one filter's rules in the order given."""
    return tuple(RuleTotals(name, rules.get(RuleKey(uid, name), NOTHING)) for name in names)


def forgotten(book: CountBook, wanted: frozenset[str]) -> CountBook:
    """Bound the book: of filters that are no longer ordered here only the latest MAX_FORMER_FILTERS keep their counts."""
    former = dict.fromkeys(uid for uid in (*book.left, *(key.uid for key in book.bases)) if uid not in wanted)
    gone = frozenset(list(former)[:-MAX_FORMER_FILTERS])
    if not gone:
        return book
    bases = {key: totals for key, totals in book.bases.items() if key.uid not in gone}
    return replace(book, bases=bases, left={uid: totals for uid, totals in book.left.items() if uid not in gone})
