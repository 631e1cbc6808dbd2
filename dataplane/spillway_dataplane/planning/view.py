"""What a plan depends on, and what it says. Values; nothing here decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import XdpMode
from spillway_crds.orders import Attach as Turn
from spillway_crds.orders import NodeOrder
from spillway_crds.orders_wire import order_hash
from spillway_dataplane.actions import Action
from spillway_dataplane.filter.program import Switches
from spillway_dataplane.kept.records import Records
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode
from spillway_dataplane.planning.drafts import Draft


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attach or a replacement was tried on: as long as all of this is the same, trying again gives the same answer."""

    ifname: str
    ifindex: int
    digest: str
    mode: XdpMode
    mtu: int
    rx_queues: int
    up: bool


@dataclass(frozen=True, slots=True)
class View:
    """All that a plan depends on.

    drafts: by interface, empty in state EMPTY. built: digests that the verifier has accepted. building: digests at the compiler.
    switches: what the kernel's maps hold. refused: attempts that failed, with what is to be told. peers: wanted, and written.
    on_word: somebody said `spillway on`, so what was detached by hand may be attached again.
    """

    order: NodeOrder
    node: ObservedNode
    records: Records = field(default_factory=Records)
    drafts: Mapping[str, Draft] = field(default_factory=dict)
    built: frozenset[str] = frozenset()
    building: frozenset[str] = frozenset()
    switches: Mapping[str, Switches] = field(default_factory=dict)
    enforcement: bool = True
    refused: Mapping[Attempt, Finding] = field(default_factory=dict)
    peers: tuple[PeerEntry, ...] = ()
    peers_written: tuple[PeerEntry, ...] | None = None
    on_word: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in their order, and what is to be told of what cannot be done now."""

    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def waiting_for_turn(self) -> tuple[str, ...]:
        """Interfaces that wait for `attach: Allowed`, or hold it and have not yet used it."""
        told = {each.ifname for each in self.findings if each.reason is Reason.WAITING_FOR_TURN}
        return tuple(sorted(told))


def wish_hash(order: NodeOrder) -> str:
    """Hash of what an order wants, not of when it may be done: a turn that is given or taken back changes nothing here."""
    return order_hash(replace(order, attach=Turn.HOLD, report_seconds=1))


def attempt_of(seen: ObservedInterface, draft: Draft) -> Attempt:
    """Return what an attach or a replacement would be tried on."""
    return Attempt(seen.name, seen.ifindex, draft.digest, draft.mode, seen.mtu, seen.rx_queues, seen.up)


def native_attempt_of(seen: ObservedInterface) -> Attempt:
    """Return what a driver that has no native XDP was asked for: its answer is the same for any program."""
    return Attempt(seen.name, seen.ifindex, "", XdpMode.NATIVE, seen.mtu, seen.rx_queues, seen.up)
