"""What an agent has to remember over its own death: where it was attached, and what its programs are made of. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spillway_dataplane.filter.slots import SlotTable

MAX_INTERFACES = 256  # devices come and go; the oldest records are forgotten first


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One filter inside a program: which revision of it was compiled."""

    uid: str
    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class InterfaceRecord:
    """An interface that we attached to. ifindex: of the device then.

    left: the device went since, so its link's end is no decision of anybody's. detached_at: the order's wish_hash when
    somebody was seen to have detached us; empty while nobody has.
    """

    ifindex: int
    left: bool = False
    detached_at: str = ""


@dataclass(frozen=True, slots=True)
class Records:
    """All of it. interfaces: by name, the latest attached last. programs: members by digest. slots: one table for the node."""

    interfaces: Mapping[str, InterfaceRecord] = field(default_factory=dict)
    programs: Mapping[str, tuple[MemberRecord, ...]] = field(default_factory=dict)
    slots: SlotTable = field(default_factory=SlotTable)

    def members(self, digest: str) -> tuple[MemberRecord, ...]:
        """Return what a program is made of; nothing when it is none that we remember."""
        return self.programs.get(digest, ())


def with_attached(records: Records, ifname: str, record: InterfaceRecord) -> Records:
    """Remember that we are attached there."""
    others = {name: each for name, each in records.interfaces.items() if name != ifname}
    newest = dict(list({**others, ifname: record}.items())[-MAX_INTERFACES:])
    return replace(records, interfaces=newest)


def without_interface(records: Records, ifname: str) -> Records:
    """Forget an interface: from now on an attach there is a first one."""
    return replace(records, interfaces={name: each for name, each in records.interfaces.items() if name != ifname})


def with_left(records: Records, ifnames: frozenset[str]) -> Records:
    """Remember that these devices went away."""
    touched = {name: replace(each, left=True) if name in ifnames else each for name, each in records.interfaces.items()}
    return replace(records, interfaces=touched)


def with_returned(records: Records, ifnames: frozenset[str]) -> Records:
    """Forget that devices left, or that somebody detached us: our links are attached to them now."""
    back = {name: InterfaceRecord(each.ifindex) if name in ifnames else each for name, each in records.interfaces.items()}
    return replace(records, interfaces=back)


def with_detached(records: Records, ifname: str, wish_hash: str) -> Records:
    """Remember that somebody detached us while this order was in force; an empty hash forgets it."""
    known = records.interfaces.get(ifname)
    if known is None:
        return records
    return replace(records, interfaces={**records.interfaces, ifname: replace(known, detached_at=wish_hash)})


def with_program(records: Records, digest: str, members: tuple[MemberRecord, ...]) -> Records:
    """Remember a program's members before it runs anywhere, so that no death in between leaves it unknown."""
    return replace(records, programs={**records.programs, digest: members})


def keeping_programs(records: Records, digests: frozenset[str]) -> Records:
    """Forget all programs but these."""
    return replace(records, programs={digest: each for digest, each in records.programs.items() if digest in digests})


def with_slots(records: Records, slots: SlotTable) -> Records:
    """Put another slot table in force."""
    return replace(records, slots=slots)
