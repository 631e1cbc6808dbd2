"""Which failsafe flows a rule would drop if they were not failsafe: said beforehand, so that nobody is surprised by what passes.

Errs towards naming a flow: who a node's peers are is not known here, so an unknown peer may be any address that can send.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from spillway_crds.failsafe import FailsafeFlow, Peers
from spillway_crds.filters import ICMP, ICMPV6, TCP, UDP, Fragments, LengthRange, Match, PortRange, Prefix, Rule, RuleAction

LINK_LOCAL = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10")))  # RFC 3927, RFC 4291
# Never the source of a packet on a wire: loopback and multicast (RFC 1122 3.2.1.3, RFC 4291 2.5.3 and 2.7).
NEVER_A_SOURCE = tuple(map(ip_network, ("127.0.0.0/8", "224.0.0.0/4", "::1/128", "ff00::/8")))
IP_HEADER_BYTES = {4: 20, 6: 40}
IP_MAX_BYTES = {4: 65535, 6: 40 + 65535}
TRANSPORT_HEADER_BYTES = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 4}
FAMILIES = {ICMP: frozenset({4}), ICMPV6: frozenset({6})}
BOTH_FAMILIES = frozenset({4, 6})


def overlapping_flows(rule: Rule, flows: Iterable[FailsafeFlow]) -> tuple[str, ...]:
    """Return the names of the failsafe flows that hold packets which this rule matches, in the order of `flows`.

    Only Drop can be in their way. A flow is left out only if the rule provably cannot match any packet of it.
    """
    if rule.action is not RuleAction.DROP:
        return ()
    return tuple(flow.name for flow in flows if _overlaps(rule.match, flow))


def _overlaps(match: Match, flow: FailsafeFlow) -> bool:
    if not _peers_possible(match.sources, flow.peers):
        return False
    if flow.later_fragments:
        return _matches_later_fragments(match)
    return any(_protocol_overlaps(match, flow, protocol) for protocol in flow.protocols)


def _peers_possible(sources: tuple[Prefix, ...], peers: Peers) -> bool:
    """Whether one of the rule's sources can be one of the flow's peers."""
    if not sources:
        return True
    if peers == Peers.LINK_LOCAL:
        return any(_meet(source, known) for source in sources for known in LINK_LOCAL)
    return not all(any(_within(source, never) for never in NEVER_A_SOURCE) for source in sources)


def _meet(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(inner: Prefix, outer: Prefix) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _matches_later_fragments(match: Match) -> bool:
    return match.fragments in (Fragments.ANY, Fragments.LATER) and not _needs_transport_header(match) and bool(_families(match))


def _needs_transport_header(match: Match) -> bool:
    return bool(match.source_ports or match.destination_ports or match.tcp_flags or match.icmp_types)


def _families(match: Match) -> frozenset[int]:
    """IP versions that the rule's addresses leave possible."""
    found = BOTH_FAMILIES
    for prefixes in (match.sources, match.destinations):
        if prefixes:
            found &= {prefix.version for prefix in prefixes}
    return found


def _protocol_overlaps(match: Match, flow: FailsafeFlow, protocol: int) -> bool:
    if match.protocol not in (None, protocol):
        return False
    if match.fragments is Fragments.LATER and _reads_transport_header(flow):
        return False
    families = _families(match) & FAMILIES.get(protocol, BOTH_FAMILIES)
    return _length_possible(match.ip_length_bytes, families, protocol) and _ports_meet(match, flow) and _types_meet(match, flow)


def _reads_transport_header(flow: FailsafeFlow) -> bool:
    return bool(flow.local_ports or flow.remote_ports or flow.icmp)


def _length_possible(length: LengthRange | None, families: frozenset[int], protocol: int) -> bool:
    """Whether a packet of that protocol can have a length that the rule matches, in one of the families."""
    low, high = ((length.min or 0), length.max) if length else (0, None)
    header = TRANSPORT_HEADER_BYTES.get(protocol, 0)
    return any(low <= IP_MAX_BYTES[family] and (high is None or IP_HEADER_BYTES[family] + header <= high) for family in families)


def _ports_meet(match: Match, flow: FailsafeFlow) -> bool:
    """A packet belongs to the flow by its destination or by its source port; one of the two has to be within the rule's."""
    if not (flow.local_ports or flow.remote_ports):
        return True
    return _ranges_meet(match.destination_ports, flow.local_ports) or _ranges_meet(match.source_ports, flow.remote_ports)


def _ranges_meet(wanted: tuple[PortRange, ...], of_flow: tuple[PortRange, ...]) -> bool:
    if not wanted:
        return bool(of_flow)
    return any(one.first <= other.last and other.first <= one.last for one in wanted for other in of_flow)


def _types_meet(match: Match, flow: FailsafeFlow) -> bool:
    return not (match.icmp_types and flow.icmp) or any(kind in match.icmp_types for kind, _ in flow.icmp)
