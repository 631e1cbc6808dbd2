"""What runs on this node, as one value: the kernel's own numbers, named by what the agent wrote down. Pure.

The kernel decides what is true; the disk only gives names. Without the disk there are interfaces and programs, but no rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway_crds.filters import FilterContent
from spillway_crds.orders import FilterState, NodeOrder, RuleTotals, Totals
from spillway_dataplane.cli.lock_seen import AgentSeen
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, Counts, InterfaceCounts, Switches
from spillway_dataplane.filter.slots import RuleKey, SlotTable
from spillway_dataplane.kept.counts import CountBook, filter_totals, rule_totals, rules_of, seen
from spillway_dataplane.kept.records import MemberRecord, Records
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode, PinnedLink


@dataclass(frozen=True, slots=True)
class Reading:
    """What one interface's maps hold. counts: by counter slot."""

    switches: Switches
    counts: Mapping[int, Counts] = field(default_factory=dict)
    interface_counts: InterfaceCounts = field(default_factory=InterfaceCounts)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the agent wrote down. contents: of revisions, by name.

    trouble: why filters are not as ordered, by uid: reason and message. off_here, off_in_cluster: who has the kill switch.
    """

    records: Records = field(default_factory=Records)
    book: CountBook = field(default_factory=CountBook)
    order: NodeOrder | None = None
    contents: Mapping[str, FilterContent] = field(default_factory=dict)
    trouble: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    off_here: bool = False
    off_in_cluster: bool = False
    agent: AgentSeen = field(default_factory=AgentSeen)


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One interface. state: what holds its XDP hook. port: up, no carrier or down. filters: of its program, in deciding order."""

    name: str
    state: str
    port: str = ""
    mode: str = ""
    driver: str = ""
    rx_queues: int = 0
    link_id: int = 0
    program_id: int = 0
    program_name: str = ""
    program_tag: str = ""
    digest: str = ""
    filters: tuple[str, ...] = ()
    counts: InterfaceCounts = field(default_factory=InterfaceCounts)


@dataclass(frozen=True, slots=True)
class FilterView:
    """One filter. interfaces: where a program of ours holds it. reason, message: what the agent said last of what is amiss."""

    name: str
    revision: str
    state: FilterState
    interfaces: tuple[str, ...]
    totals: Totals
    rules: tuple[RuleTotals, ...]
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """All of it. off_by: who has the kill switch; empty while enforcing filters drop."""

    off_by: str
    agent: AgentSeen
    interfaces: tuple[InterfaceView, ...]
    filters: tuple[FilterView, ...]


OURS, PASSING, DETACHED, FOREIGN, FREE, GONE = "filtering", "passing", "detached", "foreign program", "none", "interface gone"


def view_node(node: ObservedNode, memory: Remembered, readings: Mapping[str, Reading]) -> NodeView:
    """Join what the kernel shows with what the agent wrote down. readings: by interface, of those whose maps are pinned."""
    book = memory.book
    for ifname, reading in sorted(readings.items()):
        book = seen(book, memory.records.slots, ifname, reading.counts)
    views = [_interface(each, memory.records, readings.get(each.name)) for each in node.interfaces]
    views += [InterfaceView(name, GONE, link_id=link.link_id if link else 0) for name, link in node.orphans]
    filters = _filters(node, memory, readings, book)
    return NodeView(_off_by(memory, readings), memory.agent, tuple(views), filters)


def _off_by(memory: Remembered, readings: Mapping[str, Reading]) -> str:
    if memory.off_here:
        return "spillway off at this node"
    if memory.off_in_cluster:
        return "the cluster's kill switch (ConfigMap spillway-switch)"
    held = any(not reading.switches.enforcement for reading in readings.values())
    return "its own switch in the kernel, which nobody explains" if held else ""


def _interface(seen_one: ObservedInterface, records: Records, reading: Reading | None) -> InterfaceView:
    attached = seen_one.attached
    link = None if attached and not is_ours(seen_one) else seen_one.pinned  # beside somebody else's program ours is no news
    members = records.members(link.digest) if link else ()
    return InterfaceView(
        name=seen_one.name,
        state=_hook_state(seen_one, members),
        port=_port(seen_one),
        mode=str(attached.mode) if attached else "",
        driver=seen_one.driver,
        rx_queues=seen_one.rx_queues,
        link_id=link.link_id if link else 0,
        program_id=attached.program_id if attached else 0,
        program_name=attached.name if attached else "",
        program_tag=link.program_tag if link else "",
        digest=link.digest if link else "",
        filters=tuple(member.name for member in members),
        counts=reading.interface_counts if reading else InterfaceCounts(),
    )


def _port(interface: ObservedInterface) -> str:
    """Whether packets can arrive there at all."""
    if not interface.up:
        return "down"
    return "up" if interface.carrier else "no carrier"


def _hook_state(interface: ObservedInterface, members: tuple[MemberRecord, ...]) -> str:
    if is_ours(interface):
        return OURS if members else PASSING
    if interface.attached:
        return FOREIGN
    return DETACHED if interface.pinned else FREE


def is_ours(interface: ObservedInterface) -> bool:
    """Whether the program that the hook runs is the one of our own link."""
    link, attached = interface.pinned, interface.attached
    return bool(link and attached and link.ifindex == interface.ifindex and link.program_id == attached.program_id)


def _filters(node: ObservedNode, memory: Remembered, readings: Mapping[str, Reading], book: CountBook) -> tuple[FilterView, ...]:
    """Every filter that runs, then those that are ordered and run nowhere; what one has counted before stays counted."""
    rules = rule_totals(book, memory.records.slots)
    totals = filter_totals(book.left, rules)
    running = _members(node, memory.records)
    uids = {member.uid for member in running}
    ordered = memory.order.filters if memory.order else ()
    pending = {MemberRecord(each.uid, each.name, each.revision): () for each in ordered if each.uid not in uids}
    return tuple(
        FilterView(
            member.name,
            member.revision,
            _state(member, [readings[name] for name in places if name in readings], memory),
            places,
            totals.get(member.uid, Totals()),
            rules_of(rules, member.uid, _rule_names(member, memory)),
            *memory.trouble.get(member.uid, ("", "")),
        )
        for member, places in (running | pending).items()
    )


def _members(node: ObservedNode, records: Records) -> dict[MemberRecord, tuple[str, ...]]:
    """Every filter that runs, in the order of the programs, with the interfaces that run it."""
    found: dict[MemberRecord, tuple[str, ...]] = {}
    for interface in node.interfaces:
        link: PinnedLink | None = interface.pinned if is_ours(interface) else None
        for member in records.members(link.digest) if link else ():
            found[member] = (*found.get(member, ()), interface.name)
    return found


def _state(member: MemberRecord, readings: list[Reading], memory: Remembered) -> FilterState:
    """The weakest state of all interfaces: nobody may believe that something is dropped everywhere when it is not."""
    slots = dict(memory.records.slots.modes)
    if member.uid not in slots or not readings:
        return FilterState.PENDING
    modes = [_mode(reading.switches, slots[member.uid]) for reading in readings]
    if min(modes) == MODE_ENFORCE:
        held = not all(reading.switches.enforcement for reading in readings)
        return FilterState.OFF if held else FilterState.ENFORCING
    return FilterState.MONITORING if min(modes) == MODE_MONITOR else FilterState.SUSPENDED


def _mode(switches: Switches, slot: int) -> int:
    return switches.modes[slot] if slot < len(switches.modes) else 0


def _rule_names(member: MemberRecord, memory: Remembered) -> tuple[str, ...]:
    content = memory.contents.get(member.revision)
    if content is not None:
        return tuple(rule.name for rule in content.rules)
    return tuple(key.rule for key in _keys(memory.records.slots) if key.uid == member.uid)


def _keys(slots: SlotTable) -> tuple[RuleKey, ...]:
    return tuple(key for key, _ in slots.rules)
