"""Which counter slot a rule holds, and which mode word a filter. Pure: a new table for each change, nothing is altered.

Slots outlive programs (docs/adr/0001): a rule keeps its slot for as long as its filter has a rule of that name, and a slot that
is given up stays `retired` until the agent has added its counts to the filter's base and says so with `release`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from spillway_crds.errors import Transient
from spillway_dataplane.filter.program import COUNTER_SLOTS, MODE_SLOTS


@dataclass(frozen=True, slots=True, order=True)
class RuleKey:
    """One rule on one interface: the uid of its filter and its name."""

    uid: str
    rule: str


Key = TypeVar("Key", RuleKey, str)


@dataclass(frozen=True, slots=True)
class SlotTable:
    """Slots of one interface. rules and modes: in use; the retired ones are given up and not yet free. All sorted by key."""

    rules: tuple[tuple[RuleKey, int], ...] = ()
    modes: tuple[tuple[str, int], ...] = ()
    retired: tuple[tuple[RuleKey, int], ...] = ()
    retired_modes: tuple[tuple[str, int], ...] = ()

    def rule_slot(self, uid: str, rule: str) -> int:
        """Return the counter slot of a rule in use. Raises KeyError if it has none."""
        return dict(self.rules)[RuleKey(uid, rule)]

    def rule_slots(self, uid: str, rules: Iterable[str]) -> tuple[int, ...]:
        """Return the counter slots of a filter's rules, in the order given. Raises KeyError if one has none."""
        known = dict(self.rules)
        return tuple(known[RuleKey(uid, rule)] for rule in rules)

    def mode_slot(self, uid: str) -> int:
        """Return the mode word of a filter in use. Raises KeyError if it has none."""
        return dict(self.modes)[uid]


def assign(table: SlotTable, wanted: Mapping[str, Iterable[str]]) -> SlotTable:
    """Give every wanted rule a slot and retire those of all others.

    wanted: rule names by filter uid. A key that is in use keeps its slot; one that comes back while retired gets it back, counts
    and all. `assign(assign(t, w), w) == assign(t, w)`.
    Raises Transient if too many slots wait to be released: release them and ask again.
    """
    keys = [RuleKey(uid, rule) for uid, rules in wanted.items() for rule in rules]
    rules, retired = _allocate(table.rules, table.retired, keys, COUNTER_SLOTS)
    modes, retired_modes = _allocate(table.modes, table.retired_modes, list(wanted), MODE_SLOTS)
    return SlotTable(rules, modes, retired, retired_modes)


def release(table: SlotTable, slots: Iterable[int], mode_slots: Iterable[int] = ()) -> SlotTable:
    """Make retired slots free again: their counts are in their filter's base on disk and their words in the kernel are zero."""
    free, free_modes = frozenset(slots), frozenset(mode_slots)
    return SlotTable(
        table.rules,
        table.modes,
        tuple(pair for pair in table.retired if pair[1] not in free),
        tuple(pair for pair in table.retired_modes if pair[1] not in free_modes),
    )


def _allocate(
    used: tuple[tuple[Key, int], ...], retired: tuple[tuple[Key, int], ...], wanted: list[Key], size: int
) -> tuple[tuple[tuple[Key, int], ...], tuple[tuple[Key, int], ...]]:
    known = dict(retired) | dict(used)
    free = _free_slots(frozenset(known.values()), size)
    given = {key: known[key] if key in known else next(free) for key in wanted}
    left = {key: slot for key, slot in known.items() if key not in given}
    return tuple(sorted(given.items())), tuple(sorted(left.items()))


def _free_slots(taken: frozenset[int], size: int) -> Iterator[int]:
    yield from (slot for slot in range(size) if slot not in taken)
    raise Transient(operation="assign counter slots", detail=f"all {size} are in use or wait for their counts to be saved")
