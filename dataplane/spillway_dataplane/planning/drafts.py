"""From wishes to programs: slots for their counters and modes, their source's digest. Pure.

Slots are assigned for what is wanted and for what still runs together, so no program ever writes into another one's counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from spillway_crds.errors import SpillwayError, Transient
from spillway_crds.failsafe import FailsafeFlow
from spillway_crds.filters import FilterContent, XdpMode
from spillway_crds.orders import NodeOrder
from spillway_dataplane.filter.generate import digest, generate
from spillway_dataplane.filter.program import FilterUnit, ProgramSpec
from spillway_dataplane.filter.slots import SlotTable, assign
from spillway_dataplane.kept.records import MemberRecord
from spillway_dataplane.node.findings import Finding, from_error
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.planning.culprits import find_culprits
from spillway_dataplane.planning.wishes import Circumstances, Contents, Member, RefusedKey, Seat, Wish, make_wishes

RuleNames = dict[str, set[str]]  # by filter uid


@dataclass(frozen=True, slots=True)
class Draft:
    """The program that one interface should run, down to its text.

    mode_slots: each member's word of the switches. spec: what the text is made from; None for a program that runs and stays,
    because it cannot be made anew.
    """

    mode: XdpMode
    members: tuple[Seat, ...]
    mode_slots: tuple[int, ...]
    spec: ProgramSpec | None
    digest: str


@dataclass(frozen=True, slots=True)
class Drafts:
    """All interfaces' drafts by name, the slot table that they are made with, and what cannot be."""

    interfaces: Mapping[str, Draft] = field(default_factory=dict)
    slots: SlotTable = field(default_factory=SlotTable)
    findings: tuple[Finding, ...] = ()


def make_drafts(order: NodeOrder, given: Circumstances, slots: SlotTable, flows: tuple[FailsafeFlow, ...]) -> Drafts:
    """Return every interface's program for this order.

    A filter that finds no slots, while programs that still run hold too many, or that no program can carry, stays as it runs.
    """
    running = [record for members in given.running.values() for record in members]
    used = names_in_use(running, slots, given.contents)
    while True:
        wishes = make_wishes(order, given)
        table, postponed = _assign_as_many(wishes.interfaces, slots, used)
        refused = _waiting(wishes.interfaces, postponed)
        if not refused:
            new = {ifname: wish for ifname, wish in wishes.interfaces.items() if wish.kept is None}
            specs = {ifname: spec_of(wish, table, flows) for ifname, wish in new.items()}
            refused = _impossible(new, specs, given)
        if not refused:
            drafts = {ifname: _draft(wish, specs[ifname]) for ifname, wish in new.items()}
            return Drafts({**drafts, **_kept_drafts(wishes.interfaces, table, given.node)}, table, wishes.findings)
        given = replace(given, refused={**given.refused, **refused})  # each round refuses more, so the rounds end


def _draft(wish: Wish, spec: ProgramSpec) -> Draft:
    return Draft(wish.mode, wish.members, tuple(unit.mode_slot for unit in spec.filters), spec, digest_of(spec))


def _kept_drafts(wishes: Mapping[str, Wish], table: SlotTable, node: ObservedNode) -> dict[str, Draft]:
    """Return, for what has to stay, the very program that runs, in the mode it is attached in. Modes are data and follow."""
    drafts = {}
    for ifname, wish in wishes.items():
        seen = node.interface(ifname)
        if wish.kept is not None and seen is not None and seen.pinned is not None:
            words = tuple(table.mode_slot(each.order.uid) for each in wish.kept)
            drafts[ifname] = Draft(XdpMode.AUTO, wish.kept, words, None, seen.pinned.digest)
    return drafts


def _impossible(wishes: Mapping[str, Wish], specs: Mapping[str, ProgramSpec], given: Circumstances) -> dict[RefusedKey, Finding]:
    """Return what no text can be written for, found without the compiler."""
    refused: dict[RefusedKey, Finding] = {}
    for ifname, spec in specs.items():
        error = impossible(spec)
        if error is None:
            continue
        good = frozenset(each.order.uid for each in wishes[ifname].members if each.record in given.running.get(ifname, ()))
        guilty = find_culprits(spec, good, ages(wishes[ifname].members), error, impossible)
        refused |= blame(ifname, wishes[ifname].members, guilty or {each.order.uid: error for each in wishes[ifname].members})
    return refused


def impossible(spec: ProgramSpec) -> SpillwayError | None:
    """Return why no text can be written for a program, or None."""
    try:
        digest_of(spec)
    except SpillwayError as error:
        return error
    return None


def ages(members: Iterable[Seat]) -> dict[str, tuple[str, str]]:
    """Return what sorts filters by age, by uid."""
    return {each.order.uid: (each.order.created, each.order.uid) for each in members}


def blame(ifname: str, members: Iterable[Seat], guilty: Mapping[str, SpillwayError]) -> dict[RefusedKey, Finding]:
    """Return what is told of filters that a program cannot be had with."""
    return {
        (ifname, each.order.uid, each.revision): from_error(guilty[each.order.uid], ifname=ifname, uid=each.order.uid)
        for each in members
        if each.order.uid in guilty
    }


def passing_draft(mode: XdpMode) -> Draft:
    """Return the program that passes everything."""
    return _draft(Wish(mode), ProgramSpec())


def _waiting(wishes: Mapping[str, Wish], postponed: Mapping[str, SpillwayError]) -> dict[RefusedKey, Finding]:
    refused: dict[RefusedKey, Finding] = {}
    for ifname, wish in wishes.items():
        refused |= blame(ifname, wish.members, postponed)
    return refused


def names_in_use(running: Iterable[MemberRecord], slots: SlotTable, contents: Contents) -> RuleNames:
    """Return the rules that programs on this node count for, by uid; of a content that is lost, all that have a slot."""
    names: RuleNames = {}
    for record in running:
        content = contents.get(record.revision)
        known = {rule.name for rule in content.rules} if isinstance(content, FilterContent) else _with_slots(slots, record.uid)
        names.setdefault(record.uid, set()).update(known)
    return names


def _with_slots(slots: SlotTable, uid: str) -> set[str]:
    return {key.rule for key, _ in (*slots.rules, *slots.retired) if key.uid == uid}


def _assign_as_many(wishes: Mapping[str, Wish], slots: SlotTable, used: RuleNames) -> tuple[SlotTable, dict[str, SpillwayError]]:
    """Give slots to all, or, while old programs still hold too many, to as many as fit, the oldest first."""
    wanted = {name: set(rules) for name, rules in used.items()}
    members = sorted(_by_uid(wishes).items(), key=lambda item: (item[1][0].order.created, item[0]))
    try:
        return assign(slots, _joined(wanted, members)), {}
    except Transient:
        table = assign(slots, wanted)
    postponed: dict[str, SpillwayError] = {}
    for each in members:
        more = _joined(wanted, [each])
        try:
            table = assign(table, more)
        except Transient as error:
            postponed[each[0]] = error
        else:
            wanted = more
    return table, postponed


def _by_uid(wishes: Mapping[str, Wish]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for wish in wishes.values():
        for member in wish.members:
            found.setdefault(member.order.uid, []).append(member)
    return found


def _joined(names: RuleNames, members: Iterable[tuple[str, list[Member]]]) -> RuleNames:
    joined = {uid: set(rules) for uid, rules in names.items()}
    for uid, same in members:
        joined.setdefault(uid, set()).update(rule.name for each in same for rule in each.content.rules)
    return joined


def spec_of(wish: Wish, table: SlotTable, flows: tuple[FailsafeFlow, ...]) -> ProgramSpec:
    """Return a wish as what a program is made from; without filters nothing else matters to it."""
    units = tuple(_unit(member, table) for member in wish.members)
    return ProgramSpec(units, flows) if units else ProgramSpec()


def _unit(member: Member, table: SlotTable) -> FilterUnit:
    order = member.order
    rules = table.rule_slots(order.uid, (rule.name for rule in member.content.rules))
    return FilterUnit(order.name, order.uid, member.content, table.mode_slot(order.uid), rules)


@lru_cache(maxsize=2)
def source_of(spec: ProgramSpec) -> str:
    """Return a program's text; kept, because every plan asks for it again."""
    return generate(spec)


@lru_cache(maxsize=8)
def digest_of(spec: ProgramSpec) -> str:
    """Return the digest of a program's text."""
    return digest(source_of(spec))
