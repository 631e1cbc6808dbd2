"""A node in memory, for the agent's pure parts and its conductor.

What it cannot prove: that the kernel accepts a program, that no packet is lost over a change, that pins survive, what netlink
tells and when, any errno that it does not raise itself. tests/kernel/test_agent_*.py show these on the real kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from spillway_crds.errors import Conflict, KernelError, NotSupported, SpillwayError, Transient
from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import FilterContent, Match, Mode, Rule, RuleAction, XdpMode
from spillway_crds.orders import Attach, FilterOrder, NodeOrder, NodeState, NodeStatus
from spillway_crds.revisions import revision_name
from spillway_dataplane.builder import Builder
from spillway_dataplane.conductor import Conductor
from spillway_dataplane.filter.generate import digest
from spillway_dataplane.filter.program import MODE_OFF, MODE_SLOTS, Counts, InterfaceCounts, Switches
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kept.store import Store
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.memory import Memory
from spillway_dataplane.node.observed import DefaultRoute, ObservedInterface, ObservedNode, ObservedXdp, PinnedLink
from spillway_dataplane.source import Inbox, OrderSeen

FOREIGN = 900  # programs from here on are not ours
NOW = "2026-01-01T00:00:00Z"


def rule(name: str = "all-udp", protocol: int = 17, action: RuleAction = RuleAction.DROP) -> Rule:
    return Rule(name, Match(protocol=protocol), action)


def content(*rules: Rule, interfaces: tuple[str, ...] = ("eth0",), **fields: object) -> FilterContent:
    return replace(FilterContent(rules=rules or (rule(),), interfaces=interfaces), **fields)


@dataclass
class Orders:
    """Orders with their contents, as an operator would write them."""

    contents: dict[str, FilterContent] = field(default_factory=dict)

    def filter(self, name: str, what: FilterContent, mode: Mode = Mode.ENFORCE, **fields: object) -> FilterOrder:
        revision = revision_name(name, what)
        self.contents[revision] = what
        return replace(FilterOrder(name, f"uid-{name}", revision, mode, created=f"2026-01-01T00:00:00Z-{name}"), **fields)

    def seen(
        self, *filters: FilterOrder, state: NodeState = NodeState.ACTIVE, attach: Attach = Attach.ALLOWED, uid: str = "nd-1"
    ) -> OrderSeen:
        return OrderSeen(NodeOrder(state, attach, filters=filters), uid, dict(self.contents))


@dataclass
class Card:
    """One interface of the fake node."""

    seen: ObservedInterface
    program: Artifact | None = None
    pinned_ifindex: int | None = None  # None: no link of ours is pinned
    link_id: int = 0
    counters: dict[int, Counts] | None = None
    switches: Switches = field(default_factory=lambda: Switches(True, (MODE_OFF,) * MODE_SLOTS))


class FakeKernel:
    """Does what Datapath promises, on values. `refuse` may raise for any call: it is given the call's name and first argument."""

    def __init__(self, *interfaces: ObservedInterface) -> None:
        self.cards = {each.name: Card(each) for each in interfaces}
        self.away: dict[str, Card] = {}
        self.routes: tuple[DefaultRoute, ...] = ()
        self.peers: tuple[PeerEntry, ...] = ()
        self.calls: list[tuple[str, str]] = []
        self.refuse: Callable[[str, str], SpillwayError | None] = lambda call, ifname: None
        self.bad_sources: Callable[[str], bool] = lambda source: False
        self.sources: dict[str, str] = {}
        self._ids = iter(range(1, FOREIGN))

    def compile(self, source: str) -> Artifact:
        self.sources[digest(source)] = source
        return Artifact(digest(source), (), {"spillway": b"\x00" * 8}, "spillway")

    def _call(self, name: str, ifname: str = "") -> None:
        self.calls.append((name, ifname))
        if (error := self.refuse(name, ifname)) is not None:
            raise error

    def changes(self) -> list[tuple[str, str]]:
        """Calls that changed a program or a link."""
        return [call for call in self.calls if call[0] in ("attach", "replace", "detach", "reattach")]

    def observe(self) -> ObservedNode:
        orphans = tuple((name, self._pinned(card)) for name, card in self.away.items() if card.counters is not None)
        return ObservedNode(tuple(self._observed(card) for card in self.cards.values()), self.routes, orphans)

    def _observed(self, card: Card) -> ObservedInterface:
        return replace(card.seen, pinned=self._pinned(card), maps_pinned=card.counters is not None)

    def _pinned(self, card: Card) -> PinnedLink | None:
        if card.pinned_ifindex is None or card.program is None:
            return None
        return PinnedLink(card.link_id, card.pinned_ifindex, card.link_id, "ab" * 8, card.program.digest)

    def prepare(self, ifname: str) -> bool:
        self._call("prepare", ifname)
        card = self.cards[ifname]
        fresh = card.counters is None
        card.counters = {} if card.counters is None else card.counters
        return fresh

    def load_check(self, artifact: Artifact) -> None:
        self._call("load_check")
        if self.bad_sources(self.sources[artifact.digest]):
            raise KernelError(errno=13, operation="load program", detail="invalid access to packet")

    def attach(self, ifname: str, artifact: Artifact, mode: XdpMode) -> None:
        self._call("attach", ifname)
        card = self._card(ifname)
        ours = card.pinned_ifindex == card.seen.ifindex  # another mode: if that is refused, what runs comes back
        if card.seen.attached is not None and not ours:
            raise Conflict(subject=ifname, owner=f"XDP program {card.seen.attached.program_id}")
        if card.seen.mtu > 3000 and mode is XdpMode.NATIVE:
            raise NotSupported(subject=ifname, detail=f"MTU {card.seen.mtu}")
        self.prepare(ifname)
        card.program = artifact
        self._link(card, XdpMode.NATIVE if mode is XdpMode.AUTO else mode)

    def _card(self, ifname: str) -> Card:
        if ifname not in self.cards:
            raise Transient(operation="attach", detail="the interface has just gone")
        return self.cards[ifname]

    def _link(self, card: Card, mode: XdpMode) -> None:
        card.link_id = next(self._ids)
        card.pinned_ifindex = card.seen.ifindex
        card.seen = replace(card.seen, attached=ObservedXdp(card.link_id, mode))

    def replace(self, ifname: str, artifact: Artifact) -> None:
        self._call("replace", ifname)
        self._card(ifname).program = artifact

    def reattach(self, ifname: str) -> None:
        self._call("reattach", ifname)
        self._link(self._card(ifname), XdpMode.NATIVE)

    def detach(self, ifname: str) -> None:
        self._call("detach", ifname)
        self.away.pop(ifname, None)
        card = self.cards.get(ifname)
        if card is not None:
            ours = card.pinned_ifindex == card.seen.ifindex
            self.cards[ifname] = Card(replace(card.seen, attached=None if ours else card.seen.attached))

    def write_switches(self, ifname: str, switches: Switches) -> None:
        self._call("write_switches", ifname)
        self.cards[ifname].switches = switches

    def read_switches(self, ifname: str) -> Switches:
        return self.cards[ifname].switches

    def purge(self) -> None:
        self._call("purge")
        self.peers = ()

    def write_peers(self, peers: tuple[PeerEntry, ...]) -> None:
        self._call("write_peers")
        self.peers = peers

    def read_counts(self, ifname: str, slots: Iterable[int]) -> Mapping[int, Counts]:
        self._call("read_counts", ifname)
        card = self.cards.get(ifname) or self.away[ifname]
        return {slot: (card.counters or {}).get(slot, Counts()) for slot in slots}

    def read_interface_counts(self, ifname: str) -> InterfaceCounts:
        return InterfaceCounts(1, 2, (3,))

    # what happens to a node

    def count(self, ifname: str, slot: int, packets: int) -> None:
        counters = self.cards[ifname].counters
        assert counters is not None
        was = counters.get(slot, Counts())
        counters[slot] = replace(
            was, matched_packets=was.matched_packets + packets, matched_bytes=was.matched_bytes + 60 * packets
        )

    def take_away(self, ifname: str) -> None:
        card = self.cards.pop(ifname)
        card.pinned_ifindex = 0 if card.pinned_ifindex is not None else None
        self.away[ifname] = card

    def bring_back(self, ifname: str, ifindex: int) -> None:
        card = self.away.pop(ifname, None) or Card(ObservedInterface(ifname, ifindex))
        card.seen = replace(card.seen, ifindex=ifindex, attached=None)
        self.cards[ifname] = card

    def detach_by_hand(self, ifname: str) -> None:
        card = self.cards[ifname]
        card.pinned_ifindex = 0
        card.seen = replace(card.seen, attached=None)

    def set(self, ifname: str, **fields: object) -> None:
        self.cards[ifname].seen = replace(self.cards[ifname].seen, **fields)

    def reboot(self) -> None:
        """Links, pins and counters are gone; cards and the disk stay."""
        for name, card in self.cards.items():
            self.cards[name] = Card(replace(card.seen, attached=None))


def card(name: str = "eth0", ifindex: int = 2, **fields: object) -> ObservedInterface:
    return replace(ObservedInterface(name, ifindex, driver="igb", physical=True, rx_queues=4), **fields)


class Node:
    """A conductor on a fake kernel, with a real disk, a real builder thread, and a clock that a test moves."""

    def __init__(self, root: Path, kernel: FakeKernel) -> None:
        self.kernel, self.root = kernel, root
        self.now = 1000.0
        self.store = Store(root)
        self.store.prepare()
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        self.inbox = Inbox()
        memory = Memory(self.store)
        memory.restore()
        artifacts = ArtifactCache(self.store)
        self.builder = Builder(self.kernel, artifacts, self.kernel.compile, self.inbox)
        self.builder.start()
        self.conductor = Conductor(self.kernel, memory, artifacts, self.builder, frozenset())

    def restart(self) -> None:
        """Die without a word, and begin anew."""
        self.builder.stop()
        self.start()
        self.settle()

    def settle(self) -> NodeStatus | None:
        self.conductor.settle(self.now)
        deadline = time.monotonic() + 30
        while self.builder.building and time.monotonic() < deadline:
            self.conductor.take(self.inbox.get(timeout=30), self.now)
            self.conductor.settle(self.now)
        return self.status()

    def order(self, seen: OrderSeen) -> NodeStatus:
        self.conductor.take(seen, self.now)
        status = self.settle()
        assert status is not None
        return status

    def status(self) -> NodeStatus | None:
        return self.conductor.status(None, NOW)

    def count(self) -> NodeStatus:
        self.conductor.read_counts()
        status = self.status()
        assert status is not None
        return status

    def close(self) -> None:
        self.builder.stop()
