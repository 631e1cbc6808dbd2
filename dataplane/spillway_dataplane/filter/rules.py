"""A rule's match as conditions, the most selective of the cheap ones first. The order does not change what matches."""

from __future__ import annotations

from collections.abc import Iterator

from spillway_crds.filters import ICMP_PROTOCOLS, PORT_PROTOCOLS, TCP, Fragments, LengthRange, Match, PortRange, TcpFlagsMatch
from spillway_dataplane.filter.addresses import within_prefixes
from spillway_dataplane.filter.conditions import Condition, at_least, equals, masked, within

FRAGMENTS = {Fragments.NONE: 0, Fragments.FIRST: 1, Fragments.LATER: 2}  # enum fragment of bpf/packet.h
NO_PROTOCOL = 257  # a field that the protocol does not have: nothing matches


def conditions(match: Match) -> tuple[Condition, ...]:
    """Return what must hold, all of it, for a packet that is IP and not malformed. An empty match has no conditions."""
    return (*_transport_conditions(match), *_header_conditions(match), *_address_conditions(match))


def on_queues(queues: tuple[int, ...]) -> Condition:
    """The packet arrived on one of these receive queues."""
    return within("queue", ((queue, queue) for queue in queues))


def _header_conditions(match: Match) -> Iterator[Condition]:
    if having := _protocols_having(match):
        wanted = having if match.protocol is None else having & {match.protocol} or {NO_PROTOCOL}
        yield within("transport", ((number, number) for number in wanted))
    elif match.protocol is not None:
        yield equals("protocol", match.protocol)
    if match.fragments is not Fragments.ANY:
        yield equals("fragment", FRAGMENTS[match.fragments])
    if match.ip_length_bytes is not None:
        yield _length(match.ip_length_bytes)


def _protocols_having(match: Match) -> frozenset[int]:
    """Return whose headers must have been read for the fields that a rule names; in another packet they hold what was before."""
    if match.tcp_flags is not None:
        return frozenset({TCP})
    if match.source_ports or match.destination_ports:
        return PORT_PROTOCOLS
    return ICMP_PROTOCOLS if match.icmp_types else frozenset()


def _transport_conditions(match: Match) -> Iterator[Condition]:
    if match.tcp_flags is not None:
        yield _flags(match.tcp_flags)
    if match.icmp_types:
        yield within("icmp_type", ((kind, kind) for kind in match.icmp_types))
    if match.destination_ports:
        yield _ports("destination_port", match.destination_ports)
    if match.source_ports:
        yield _ports("source_port", match.source_ports)


def _address_conditions(match: Match) -> Iterator[Condition]:
    if match.destinations:
        yield within_prefixes("destination", match.destinations)
    if match.sources:
        yield within_prefixes("source", match.sources)


def _ports(field: str, ranges: tuple[PortRange, ...]) -> Condition:
    return within(field, ((each.first, each.last) for each in ranges))


def _length(length: LengthRange) -> Condition:
    shortest = length.min or 0
    return at_least("ip_bytes", shortest) if length.max is None else within("ip_bytes", ((shortest, length.max),))


def _flags(flags: TcpFlagsMatch) -> Condition:
    return masked("tcp_flags", int(flags.set | flags.unset), int(flags.set))
