"""Whether a card's queue receives anything for others, decided from what the card's tables show. Values, no I/O.

A ring in zero copy takes its queue's receive side too: what the card steers there it writes into the ring's memory, and some
drivers lose it. So such a ring is granted only on a queue that gets nothing. The tables are the administrator's; nothing here
changes them. A table is what a driver says, not what the card does (docs/platforms.md), so a look at the traffic follows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RssTable:
    """One RSS indirection table. context: 0 is the card's own, others were made by `ethtool -X ... context new`.

    entries: RX queues in the table's order; a packet's hash chooses the entry.
    """

    context: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SteeringRule:
    """One n-tuple rule. queue: where it steers to, or None if it drops or leads to another function of the card.

    context: if it spreads over an RSS context, that one's number; `queue` is then added to the context's entries.
    """

    location: int
    queue: int | None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedCard:
    """What the kernel shows of how a card chooses receive queues.

    offers_zero_copy: what the driver says; a yes is no promise, None when the kernel is too old to say.
    rx_rings: RX queues that the driver has now, also above the channel count. native_program: its id on the driver's XDP hook.
    tables: None when the driver shows none. arfs_queues: RX queues with a flow table of accelerated RFS, which steers by itself.
    own_steering: what the driver steers by on its own, for people; empty when it does not.
    """

    name: str
    driver: str
    rx_rings: int
    offers_zero_copy: bool | None = None
    native_program: int | None = None
    tables: tuple[RssTable, ...] | None = None
    rules: tuple[SteeringRule, ...] = ()
    arfs_queues: frozenset[int] = frozenset()
    own_steering: str = ""


def zero_copy_refusals(queue: int, card: ObservedCard) -> tuple[str, ...]:
    """Return why a ring on this queue may not be in zero copy: one sentence each, for people. Empty: nothing speaks against it.

    queue: TX queue, 0-based; in zero copy it is the RX queue of that number too. A driver that says it has no zero copy is not
    refused here: its bind will be, by the kernel, whose answer is the better one.
    """
    if card.offers_zero_copy is False:
        return ()
    return (
        *_refusals_of_queue(queue, card),
        *_refusals_of_tables(queue, card),
        *_refusals_of_rules(queue, card),
        *_refusals_of_learning(queue, card),
    )


def _refusals_of_queue(queue: int, card: ObservedCard) -> tuple[str, ...]:
    found = []
    if queue == 0:
        found.append("queue 0 receives what no table and no rule sends elsewhere")
    if card.native_program is None:
        found.append(f"{card.name} has no native XDP program; a driver may bind without one and then send nothing")
    return tuple(found)


def _refusals_of_tables(queue: int, card: ObservedCard) -> tuple[str, ...]:
    if card.tables is None:
        return (f"driver {card.driver or 'without a name'} shows no RSS table, so nobody can say what queue {queue} receives",)
    return tuple(_spread(queue, table, card) for table in card.tables if queue in table.entries)


def _spread(queue: int, table: RssTable, card: ObservedCard) -> str:
    if table.context:
        return f"RSS context {table.context} spreads to queue {queue}"
    return f"the RSS table spreads to queue {queue}; `{command_without(queue, card)}` takes it out"


def command_without(queue: int, card: ObservedCard) -> str:
    """Return the command with which an administrator takes a queue out of the card's own RSS table."""
    weights = ("0" if each == queue else "1" for each in range(card.rx_rings))
    return f"ethtool -X {card.name} weight {' '.join(weights)}"


def _refusals_of_rules(queue: int, card: ObservedCard) -> tuple[str, ...]:
    return tuple(f"n-tuple rule {rule.location} steers to queue {queue}" for rule in card.rules if queue in _targets(rule, card))


def _targets(rule: SteeringRule, card: ObservedCard) -> frozenset[int]:
    """Return the queues that a rule leads to. A context that cannot be read is taken for one that leads everywhere."""
    if rule.queue is None:
        return frozenset()
    if rule.context is None:
        return frozenset({rule.queue})
    entries = next((table.entries for table in card.tables or () if table.context == rule.context), range(card.rx_rings))
    return frozenset(rule.queue + entry for entry in entries)


def _refusals_of_learning(queue: int, card: ObservedCard) -> tuple[str, ...]:
    found = []
    if queue in card.arfs_queues:
        found.append(f"accelerated RFS may steer flows to queue {queue}: its rps_flow_cnt is not 0")
    if card.own_steering:
        found.append(card.own_steering)
    return tuple(found)
