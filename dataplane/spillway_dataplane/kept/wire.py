"""What the agent remembers, as JSON and back. Pure. What it does not understand it does not remember: never an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spillway_crds.orders import Totals
from spillway_dataplane.filter.slots import RuleKey, SlotTable
from spillway_dataplane.kept.counts import CountBook, numbers
from spillway_dataplane.kept.records import InterfaceRecord, MemberRecord, Records


def encode_records(records: Records) -> dict[str, Any]:
    """Return Records as JSON."""
    return {
        "interfaces": {name: asdict(each) for name, each in records.interfaces.items()},
        "order": list(records.interfaces),  # JSON is written with sorted keys; the age of a record lies in its place
        "programs": {digest: [asdict(member) for member in members] for digest, members in records.programs.items()},
        "slots": {
            "rules": _encode_rules(records.slots.rules),
            "modes": [list(pair) for pair in records.slots.modes],
            "retired": _encode_rules(records.slots.retired),
            "retiredModes": [list(pair) for pair in records.slots.retired_modes],
        },
    }


def decode_records(raw: Mapping[str, Any] | None) -> Records:
    """Inverse of `encode_records`; nothing for what is missing or of another version."""
    try:
        return _decode_records(raw) if raw else Records()
    except (KeyError, TypeError, ValueError):
        return Records()


def _decode_records(raw: Mapping[str, Any]) -> Records:
    slots = raw["slots"]
    return Records(
        interfaces={name: InterfaceRecord(**raw["interfaces"][name]) for name in raw["order"]},
        programs={digest: tuple(MemberRecord(**each) for each in members) for digest, members in raw["programs"].items()},
        slots=SlotTable(
            rules=_decode_rules(slots["rules"]),
            modes=tuple((uid, int(slot)) for uid, slot in slots["modes"]),
            retired=_decode_rules(slots["retired"]),
            retired_modes=tuple((uid, int(slot)) for uid, slot in slots["retiredModes"]),
        ),
    )


def _encode_rules(pairs: tuple[tuple[RuleKey, int], ...]) -> list[list[object]]:
    return [[key.uid, key.rule, slot] for key, slot in pairs]


def _decode_rules(raw: list[list[Any]]) -> tuple[tuple[RuleKey, int], ...]:
    return tuple((RuleKey(uid, rule), int(slot)) for uid, rule, slot in raw)


def encode_book(book: CountBook) -> dict[str, Any]:
    """Return a CountBook as JSON."""
    return {
        "countsFor": book.counts_for,
        "bases": [[key.uid, key.rule, *numbers(totals)] for key, totals in book.bases.items()],
        "left": [[uid, *numbers(totals)] for uid, totals in book.left.items()],
        "starts": [[*place, *numbers(totals)] for place, totals in book.starts.items()],
        "latest": [[*place, *numbers(totals)] for place, totals in book.latest.items()],
    }


def decode_book(raw: Mapping[str, Any] | None) -> CountBook:
    """Inverse of `encode_book`; an empty book for what is missing or of another version."""
    try:
        return _decode_book(raw) if raw else CountBook()
    except (KeyError, TypeError, ValueError):
        return CountBook()


def _decode_book(raw: Mapping[str, Any]) -> CountBook:
    return CountBook(
        counts_for=raw["countsFor"],
        bases={RuleKey(uid, rule): Totals(*counts) for uid, rule, *counts in raw["bases"]},
        left={uid: Totals(*counts) for uid, *counts in raw["left"]},
        starts={(ifname, slot): Totals(*counts) for ifname, slot, *counts in raw["starts"]},
        latest={(ifname, slot): Totals(*counts) for ifname, slot, *counts in raw["latest"]},
    )
