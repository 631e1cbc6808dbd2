"""Keep a node's status small: it is rewritten every few seconds, and what it rewrites fills etcd.

What goes first: long messages, then rules beyond their room (they stay in the metrics), then interfaces at the end of the list.
What a filter does, and its totals, stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spillway_crds import names
from spillway_crds.canonical import size_bytes
from spillway_crds.orders import Condition, FilterStatus, InterfaceStatus, NodeStatus, RuleTotals, Totals
from spillway_crds.status_wire import RULE_COUNTS_METRICS, RULE_COUNTS_STATUS, encode_status, encode_totals

MESSAGE_CHARS = (1024, 256, 64, 0)  # longest message, tried in this order
COUNT_DIGITS = 16  # room for each count, so that one that grows never pushes a rule out of the status
LIST_LIMIT = 64  # interfaces and waiting names that are listed at most
FULL_COUNT = 10**COUNT_DIGITS - 1
FULL = Totals(FULL_COUNT, FULL_COUNT, FULL_COUNT, FULL_COUNT, FULL_COUNT, FULL_COUNT)


def trim_status(status: NodeStatus) -> NodeStatus:
    """Return a status whose JSON stays under names.MAX_NODE_STATUS_BYTES, its rules under names.RULE_STATUS_BYTES.

    Rules are listed in order until the room is used; a filter with some left out says ruleCounts: Metrics. Which rules are listed
    depends on names and states only, not on how far the counts have come.
    """
    base = _within(status, names.MAX_NODE_STATUS_BYTES)
    room = min(names.RULE_STATUS_BYTES, names.MAX_NODE_STATUS_BYTES - _room_of(base)) - 1
    filters: list[FilterStatus] = []
    for bare, full in zip(base.filters, status.filters, strict=False):
        listed, room = _fitting(full.rules, room)
        counts = full.rule_counts if listed == full.rules else RULE_COUNTS_METRICS
        filters.append(replace(bare, rules=listed, rule_counts=counts))
    return replace(base, filters=tuple(filters))


def _fitting(rules: tuple[RuleTotals, ...], room: int) -> tuple[tuple[RuleTotals, ...], int]:
    """The first rules that fit, and the room after them; 0 once one did not fit, so that order holds over filters too."""
    for index, rule in enumerate(rules):
        size = _rule_bytes(rule)
        if size > room:
            return rules[:index], 0
        room -= size
    return rules, room


def _rule_bytes(rule: RuleTotals) -> int:
    """Bytes with a comma, every count at its full width or wider."""
    actual, full = encode_totals(rule.totals), encode_totals(FULL)
    return size_bytes({"name": rule.name, **{key: max(actual[key], full[key]) for key in full}}) + 1


def _within(status: NodeStatus, limit: int) -> NodeStatus:
    """The status without rules, cut down until it is under the limit."""
    for chars in MESSAGE_CHARS:
        shorter = _with_short_messages(status, chars)
        if _room_of(shorter) < limit:
            return shorter
    while shorter.interfaces and _room_of(shorter) >= limit:
        shorter = replace(shorter, interfaces=shorter.interfaces[:-1])
    return shorter


def _room_of(status: NodeStatus) -> int:
    """Bytes of a status without rules, its totals at full width."""
    filters = tuple(replace(each, totals=_widest(each.totals), rule_counts=RULE_COUNTS_METRICS) for each in status.filters)
    return size_bytes(encode_status(replace(status, filters=filters)))


def _widest(totals: Totals) -> Totals:
    return Totals(*(max(each, FULL_COUNT) for each in encode_totals(totals).values()))


def _with_short_messages(status: NodeStatus, chars: int) -> NodeStatus:
    return replace(
        status,
        waiting_for_turn=status.waiting_for_turn[:LIST_LIMIT],
        interfaces=tuple(_interface(each, chars) for each in status.interfaces[:LIST_LIMIT]),
        filters=tuple(
            replace(each, message=each.message[:chars], rules=(), rule_counts=RULE_COUNTS_STATUS)
            for each in status.filters[: names.MAX_FILTERS_PER_NODE]
        ),
        conditions=_conditions(status.conditions, chars),
    )


def _interface(status: InterfaceStatus, chars: int) -> InterfaceStatus:
    return replace(status, conditions=_conditions(status.conditions, chars))


def _conditions(conditions: Iterable[Condition], chars: int) -> tuple[Condition, ...]:
    return tuple(replace(each, message=each.message[:chars]) for each in conditions)
