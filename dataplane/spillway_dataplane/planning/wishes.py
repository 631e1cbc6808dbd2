"""Which filters each interface of this node should have in its program, and why some cannot be there. Pure.

A filter that cannot be had in its ordered revision stays in the one that runs: a bad change never takes away what protected. If
the content of that one is lost too, no program can be made with it, and what runs on the interface stays whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spillway_crds.errors import SpillwayError, Transient
from spillway_crds.filters import FilterContent, XdpMode
from spillway_crds.orders import FilterOrder, NodeOrder
from spillway_dataplane.kept.records import MemberRecord
from spillway_dataplane.node.findings import Finding, Reason, from_error
from spillway_dataplane.node.interfaces import Address, Choice, choose
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode

Contents = Mapping[str, FilterContent | SpillwayError]  # by revision
Running = Mapping[str, tuple[MemberRecord, ...]]  # by interface: what its program is made of
RefusedKey = tuple[str, str, str]  # (ifname, uid, revision)
Refused = Mapping[RefusedKey, Finding]  # what the generator, the compiler or the verifier said


@dataclass(frozen=True, slots=True)
class Seat:
    """One filter in one interface's program. revision: an older one than ordered while that cannot be had."""

    order: FilterOrder
    revision: str

    @property
    def record(self) -> MemberRecord:
        """What is written down of it."""
        return MemberRecord(self.order.uid, self.order.name, self.revision)


@dataclass(frozen=True, slots=True)
class Member(Seat):
    """A seat whose content is here: programs can be made with it."""

    content: FilterContent


@dataclass(frozen=True, slots=True)
class Wish:
    """The program of one interface: its members in deciding order; none is the program that passes everything.

    kept: the filters of the program that runs and stays, because it cannot be made anew; None where it can.
    """

    mode: XdpMode = XdpMode.AUTO
    members: tuple[Member, ...] = ()
    kept: tuple[Seat, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """All interfaces' wishes by name, and what cannot be."""

    interfaces: Mapping[str, Wish] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a node's wishes depend on besides the order. unknown: interfaces whose program nobody remembers the making of.

    peers_lost: failsafe flows cannot be compiled as they were, so that programs that run with them stay. without_native: what the
    driver said, by interface, where it takes no native program.
    """

    contents: Contents
    node: ObservedNode
    node_addresses: frozenset[Address] = frozenset()
    running: Running = field(default_factory=dict)
    refused: Refused = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    peers_lost: bool = False
    without_native: Mapping[str, Finding] = field(default_factory=dict)


def make_wishes(order: NodeOrder, given: Circumstances) -> Wishes:
    """Return which filters go into which interface's program. The order of `order.filters` does not matter."""
    candidates: dict[str, list[Seat]] = {}
    findings: list[Finding] = []
    for each in order.filters:
        seats, problems = _place(each, given)
        findings += problems
        for ifname, seat in seats.items():
            candidates.setdefault(ifname, []).append(seat)
    interfaces = {}
    for ifname in sorted(candidates):
        interfaces[ifname], problems = _settle(ifname, candidates[ifname], given)
        findings += problems
    return Wishes(interfaces, tuple(sorted(findings)))


def _place(order: FilterOrder, given: Circumstances) -> tuple[dict[str, Seat], list[Finding]]:
    """Return the filter's seat on each interface that it means."""
    content = given.contents.get(order.revision, _not_here(order))
    if not isinstance(content, FilterContent):
        return _as_it_runs_everywhere(order, given), [from_error(content, uid=order.uid)]
    choice = _choice(order, content, given)
    problems = [Finding(each.reason, each.message, each.ifname, order.uid) for each in choice.findings]
    seats: dict[str, Seat] = {}
    for ifname in choice.names:
        problem = _unfit(order, content, ifname, given)
        seat = Member(order, order.revision, content) if problem is None else _as_it_runs(order, ifname, given)
        if seat is not None:
            seats[ifname] = seat
        if problem is not None:
            problems.append(problem)
    return seats, problems


def _choice(order: FilterOrder, content: FilterContent, given: Circumstances) -> Choice:
    """Return the interfaces that the filter means; without any default route to follow, those where it runs.

    A flood may well be what took the route away: the filter has to be there still when it comes back.
    """
    choice = choose(given.node, content.interfaces, given.node_addresses)
    if content.interfaces or given.node.default_routes:
        return choice
    return replace(choice, names=tuple(sorted(ifname for ifname in given.running if _as_it_runs(order, ifname, given))))


def _not_here(order: FilterOrder) -> Transient:
    return Transient(operation=f"fetch revision {order.revision}", detail="not on this node yet")


def _as_it_runs(order: FilterOrder, ifname: str, given: Circumstances) -> Seat | None:
    """Return the filter as it runs on an interface, no Member if its content is lost, or None if it does not run there."""
    for record in given.running.get(ifname, ()):
        if record.uid == order.uid:
            content = given.contents.get(record.revision)
            seat = Seat(order, record.revision)
            return Member(order, record.revision, content) if isinstance(content, FilterContent) else seat
    return None


def _as_it_runs_everywhere(order: FilterOrder, given: Circumstances) -> dict[str, Seat]:
    """Return its seats where it runs, and where it may: in a program of which nobody remembers what it is made of."""
    seats = {ifname: seat for ifname in given.running if (seat := _as_it_runs(order, ifname, given)) is not None}
    return {**seats, **dict.fromkeys(given.unknown, Seat(order, order.revision))}


def _unfit(order: FilterOrder, content: FilterContent, ifname: str, given: Circumstances) -> Finding | None:
    interface = given.node.interface(ifname)
    if interface is not None and (problem := _missing_queue(order, content, interface)) is not None:
        return problem
    return given.refused.get((ifname, order.uid, order.revision))


def _missing_queue(order: FilterOrder, content: FilterContent, interface: ObservedInterface) -> Finding | None:
    missing = [queue_id for queue_id in content.rx_queue_ids if queue_id >= interface.rx_queues]
    if not missing:
        return None
    message = f"{interface.name} has {interface.rx_queues} RX queues (0..{interface.rx_queues - 1}), no queue {missing[0]}"
    return Finding(Reason.QUEUE_NOT_FOUND, message, interface.name, order.uid)


def _settle(ifname: str, seats: list[Seat], given: Circumstances) -> tuple[Wish, list[Finding]]:
    """Return what the interface's filters come to together."""
    seats, unfit = _without_native(ifname, seats, given)
    wish, findings = _settle_seats(ifname, seats, given)
    return wish, [*unfit, *findings]


def _without_native(ifname: str, seats: list[Seat], given: Circumstances) -> tuple[list[Seat], list[Finding]]:
    """Who asks for what the driver does not have stays as it runs, and keeps nobody else from running or changing.

    Where all would be gone by that they stay: nothing runs there, and asking the driver again takes nothing away.
    """
    refusal = given.without_native.get(ifname)
    if refusal is None:
        return seats, []
    asking = [each for each in seats if _asks_for_native(each)]
    running = (_as_it_runs(each.order, ifname, given) for each in asking)
    fit = [each for each in seats if each not in asking] + [_in_any_mode(each) for each in running if each is not None]
    return (fit, [replace(refusal, uid=each.order.uid) for each in asking]) if fit else (seats, [])


def _asks_for_native(seat: Seat) -> bool:
    return isinstance(seat, Member) and seat.content.xdp_mode is XdpMode.NATIVE


def _in_any_mode(seat: Seat) -> Seat:
    """The text is the same in each mode: what runs may be the ordered revision already, in the hook that it does not want."""
    return replace(seat, content=replace(seat.content, xdp_mode=XdpMode.AUTO)) if isinstance(seat, Member) else seat


def _settle_seats(ifname: str, seats: list[Seat], given: Circumstances) -> tuple[Wish, list[Finding]]:
    members = [each for each in seats if isinstance(each, Member)]
    if len(members) < len(seats):
        lost = ", ".join(sorted(each.order.name for each in seats if not isinstance(each, Member)))
        return _keep(ifname, seats, given, f"the content of {lost} is on this node")
    if given.peers_lost and (given.running.get(ifname) or ifname in given.unknown):
        return _keep(ifname, seats, given, "its failsafe peers are known again")
    return _settle_modes(ifname, members, given)


def _keep(ifname: str, seats: list[Seat], given: Circumstances, until: str) -> tuple[Wish, list[Finding]]:
    """Leave the program that runs; whoever is to join it, or to change in it, is told what it waits for."""
    running = given.running.get(ifname, ())
    by_uid = {each.order.uid: each.order for each in seats}
    kept = tuple(Seat(by_uid[record.uid], record.revision) for record in running if record.uid in by_uid)
    message = f"the program on {ifname} stays as it is: it cannot be made anew until {until}"
    waiting = (each.order.uid for each in seats if isinstance(each, Member) and each.record not in running)
    return Wish(kept=kept), [Finding(Reason.TRANSIENT, message, ifname, uid) for uid in waiting]


def _settle_modes(ifname: str, members: list[Member], given: Circumstances) -> tuple[Wish, list[Finding]]:
    """Of two that contradict each other the older stays (creation time, then uid), the younger is told whom it meets."""
    kept: list[Member] = []
    findings: list[Finding] = []
    for member in sorted(members, key=_age):
        rival = next((each for each in kept if _contradict(each.content.xdp_mode, member.content.xdp_mode)), None)
        if rival is None:
            kept.append(member)
            continue
        findings.append(_conflict(ifname, member, rival))
        old = _as_it_runs(member.order, ifname, given)
        if isinstance(old, Member) and not _contradict(rival.content.xdp_mode, old.content.xdp_mode):
            kept.append(old)
    modes = [each.content.xdp_mode for each in kept if each.content.xdp_mode is not XdpMode.AUTO]
    deciding = tuple(sorted(kept, key=lambda each: (each.content.priority, each.order.name)))
    return Wish(modes[0] if modes else XdpMode.AUTO, deciding), findings


def _age(member: Member) -> tuple[str, str]:
    return member.order.created, member.order.uid


def _contradict(one: XdpMode, other: XdpMode) -> bool:
    return {one, other} == {XdpMode.NATIVE, XdpMode.GENERIC}


def _conflict(ifname: str, younger: Member, older: Member) -> Finding:
    message = (
        f"{ifname} runs {older.content.xdp_mode} for the older filter {older.order.name};"
        f" {younger.order.name} asks for {younger.content.xdp_mode}"
    )
    return Finding(Reason.CONFLICT, message, ifname, younger.order.uid)
