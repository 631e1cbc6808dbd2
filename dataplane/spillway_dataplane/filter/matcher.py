"""What the filters of one interface mean, in plain Python: deliberately naive, the law of docs/semantics.md, sections 1 to 3.

Every compiled program has to agree with it in verdict and in every counter, to the packet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from ipaddress import IPv4Address, IPv6Address, ip_network

from spillway_crds.failsafe import FLOW_NAMES, NEIGHBOUR_DISCOVERY, FailsafeFlow, PeerEntry, Peers
from spillway_crds.filters import Fragments, LengthRange, Match, PortRange, Prefix, Rule, RuleAction, TcpFlagsMatch
from spillway_dataplane.filter.failsafe import PREFIX_PEERS
from spillway_dataplane.filter.packet import NotForRules, Packet, parse_frame
from spillway_dataplane.filter.program import (
    MODE_ENFORCE,
    MODE_OFF,
    Counts,
    FilterUnit,
    InterfaceCounts,
    ProgramSpec,
    Switches,
)

SECOND_NS = 1_000_000_000
LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
V4_MAPPED = ip_network("::ffff:0:0/96")
Address = IPv4Address | IPv6Address


class Verdict(IntEnum):
    """What becomes of a packet; the numbers are XDP's (enum xdp_action, uapi/linux/bpf.h)."""

    DROP = 1
    PASS = 2


class _Outcome(Enum):
    """How a packet leaves one filter: to the next one, past all filters, or dropped."""

    NEXT = auto()
    PASS = auto()
    DROP = auto()


@dataclass(slots=True)
class _Window:
    """The state of one failsafe flow's ceiling."""

    start_ns: int = -SECOND_NS
    packets: int = 0


class Matcher:
    """Filters, switches and peers of one interface. Its counters grow with every `run`.

    clock: nanoseconds, read only for a failsafe flow with a ceiling.
    """

    def __init__(
        self, spec: ProgramSpec, switches: Switches, peers: tuple[PeerEntry, ...], clock: Callable[[], int] = lambda: 0
    ) -> None:
        self.spec = spec
        self.switches = switches
        self.peers = peers
        self.clock = clock
        self.counts: dict[int, Counts] = {}
        self.malformed_packets = 0
        self.unparsed_packets = 0
        self.failsafe_packets: Counter[str] = Counter()
        self.windows = {flow.name: _Window() for flow in spec.flows}

    def interface_counts(self) -> InterfaceCounts:
        """Return what is counted per interface."""
        flows = tuple(self.failsafe_packets[name] for name in FLOW_NAMES)
        return InterfaceCounts(self.malformed_packets, self.unparsed_packets, flows)

    def run(self, frame: bytes, queue_id: int) -> Verdict:
        """Decide about one frame (without FCS) that arrived on a receive queue."""
        if not self._looks_at(queue_id):
            return Verdict.PASS
        packet = parse_frame(frame)
        if isinstance(packet, NotForRules):
            self.malformed_packets += packet is NotForRules.MALFORMED
            return Verdict.PASS
        self.unparsed_packets += packet.unparsed
        for unit in self.spec.filters:
            outcome = self._run_filter(unit, packet, queue_id, len(frame))
            if outcome is not _Outcome.NEXT:
                return Verdict.DROP if outcome is _Outcome.DROP else Verdict.PASS
        return Verdict.PASS

    def _looks_at(self, queue_id: int) -> bool:
        """A queue that no filter names is left alone: its frames are not even counted as malformed."""
        return any(not unit.content.rx_queue_ids or queue_id in unit.content.rx_queue_ids for unit in self.spec.filters)

    def _run_filter(self, unit: FilterUnit, packet: Packet, queue_id: int, size_bytes: int) -> _Outcome:
        if self._is_skipped(unit, packet, queue_id):
            return _Outcome.NEXT
        for rule, slot in zip(unit.content.rules, unit.rule_slots, strict=True):
            if matches(rule.match, packet):
                self._count(slot, size_bytes, "matched")
                if rule.action is not RuleAction.COUNT:
                    return self._decide(unit, rule, slot, packet, size_bytes)
        return _Outcome.NEXT

    def _is_skipped(self, unit: FilterUnit, packet: Packet, queue_id: int) -> bool:
        other_queue = bool(unit.content.rx_queue_ids) and queue_id not in unit.content.rx_queue_ids
        off = self.switches.modes[unit.mode_slot] == MODE_OFF
        return off or other_queue or _in_any(packet.source, unit.content.exempt)

    def _decide(self, unit: FilterUnit, rule: Rule, slot: int, packet: Packet, size_bytes: int) -> _Outcome:
        enforces = self.switches.enforcement and self.switches.modes[unit.mode_slot] == MODE_ENFORCE
        if rule.action is RuleAction.ALLOW:
            return _Outcome.PASS if enforces else _Outcome.NEXT
        flow = self._failsafe_flow(packet, enforces=enforces)
        if not enforces:
            if flow is None:
                self._count(slot, size_bytes, "would_drop")
            return _Outcome.NEXT
        if flow is not None:
            self.failsafe_packets[flow.name] += 1
            return _Outcome.PASS
        self._count(slot, size_bytes, "dropped")
        return _Outcome.DROP

    def _failsafe_flow(self, packet: Packet, *, enforces: bool) -> FailsafeFlow | None:
        """Neighbour discovery comes first, and is guarded even when it is not among the flows."""
        guarded = self.spec.flows
        if NEIGHBOUR_DISCOVERY.name not in self.windows:
            guarded = (NEIGHBOUR_DISCOVERY, *guarded)
        peers = peers_of(packet.source, self.peers)
        for flow in guarded:
            if in_flow(flow, packet, peers) and (not enforces or self._is_below_ceiling(flow)):
                return flow
        return None

    def _is_below_ceiling(self, flow: FailsafeFlow) -> bool:
        if flow.ceiling_pps is None:
            return True
        window, now_ns = self.windows[flow.name], self.clock()
        if now_ns - window.start_ns >= SECOND_NS:
            window.start_ns, window.packets = now_ns, 0
        if window.packets >= flow.ceiling_pps:
            return False
        window.packets += 1
        return True

    def _count(self, slot: int, size_bytes: int, what: str) -> None:
        old = self.counts.get(slot, Counts())
        packets, octets = getattr(old, f"{what}_packets") + 1, getattr(old, f"{what}_bytes") + size_bytes
        values = {name: getattr(old, name) for name in Counts.__slots__}
        self.counts[slot] = Counts(**{**values, f"{what}_packets": packets, f"{what}_bytes": octets})


def matches(match: Match, packet: Packet) -> bool:
    """Tell whether every field that is given holds. A field that the packet does not have never holds."""
    return all(
        (
            match.protocol is None or packet.protocol == match.protocol,
            not match.sources or _in_any(packet.source, match.sources),
            not match.destinations or _in_any(packet.destination, match.destinations),
            not match.source_ports or _is_port_in(packet.source_port, match.source_ports),
            not match.destination_ports or _is_port_in(packet.destination_port, match.destination_ports),
            match.ip_length_bytes is None or _is_length_in(packet.ip_bytes, match.ip_length_bytes),
            match.tcp_flags is None or _has_flags(packet, match.tcp_flags),
            not match.icmp_types or packet.icmp_type in match.icmp_types,
            match.fragments in (Fragments.ANY, packet.fragment),
        )
    )


def _in_any(address: Address, prefixes: tuple[Prefix, ...]) -> bool:
    return any(address in prefix for prefix in prefixes)


def _is_port_in(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return port is not None and any(port in each for each in ranges)


def _is_length_in(length: int, limits: LengthRange) -> bool:
    return (limits.min is None or length >= limits.min) and (limits.max is None or length <= limits.max)


def _has_flags(packet: Packet, wanted: TcpFlagsMatch) -> bool:
    flags = packet.tcp_flags
    return flags is not None and flags & wanted.set == wanted.set and not flags & wanted.unset


def in_flow(flow: FailsafeFlow, packet: Packet, peers: Peers) -> bool:
    """Tell whether a packet belongs to a failsafe flow, its ceiling aside. peers: who its source is."""
    return all(
        (
            not flow.protocols or packet.protocol in flow.protocols,
            not flow.later_fragments or packet.fragment is Fragments.LATER,
            flow.hop_limit is None or (packet.source.version == 6 and packet.hop_limit == flow.hop_limit),
            not flow.icmp or _is_icmp_in(packet, flow.icmp),
            not (flow.local_ports or flow.remote_ports)
            or _is_port_in(packet.destination_port, flow.local_ports)
            or _is_port_in(packet.source_port, flow.remote_ports),
            not flow.peers or bool(peers & flow.peers),
        )
    )


def _is_icmp_in(packet: Packet, listed: tuple[tuple[int, int | None], ...]) -> bool:
    return any(packet.icmp_type == kind and code in (None, packet.icmp_code) for kind, code in listed)


def peers_of(source: Address, entries: tuple[PeerEntry, ...]) -> Peers:
    """Return who an address is: what its own entry says, else what the longest prefix says of administrators.

    Link-local is known by the address alone. An IPv6 source that claims to be an IPv4 host (::ffff:a.b.c.d) is nobody.
    """
    if isinstance(source, IPv6Address) and source in V4_MAPPED:
        return Peers(0)
    covering = [entry for entry in entries if source in entry.prefix]
    longest = max(covering, key=lambda entry: entry.prefix.prefixlen, default=None)
    found = Peers(0)
    if longest is not None:
        found = longest.peers if longest.prefix.num_addresses == 1 else longest.peers & PREFIX_PEERS
    return found | (Peers.LINK_LOCAL if _in_any(source, LINK_LOCAL) else Peers(0))
