"""What a rule can say about a packet."""

from __future__ import annotations

from spillway_crds import names
from spillway_crds.filters import PROTOCOL_NUMBERS, Fragments, RuleAction, TcpFlag
from spillway_crds.schema.fields import Many, Record, Text, Whole
from spillway_crds.schema.laws import (
    DROP_NEEDS_MATCH,
    FLAG_LAWS,
    LENGTH_LAWS,
    MATCH_LAWS,
    PORTS_LAWS,
    PREFIX_LAWS,
    RULES_LAWS,
)

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MAX_PREFIX_CHARS = 43  # eight groups of four digits, seven colons, /128
MAX_PORTS_CHARS = 11  # 65535-65535
MAX_IP_LENGTH_BYTES = 40 + 65535  # an IPv6 header and the longest payload that is no jumbogram
FLAGS = tuple(flag.name for flag in TcpFlag if flag.name)


def prefixes(description: str) -> Many:
    """A list of prefixes of both families, without host bits."""
    item = Text(
        description='IPv4 or IPv6 prefix without host bits; one address is /32 or /128. Example: "203.0.113.0/24".',
        max_length=MAX_PREFIX_CHARS,
        laws=PREFIX_LAWS,
    )
    return Many(description=description, item=item, most=names.MAX_PREFIXES)


def _ports(whose: str, example: str) -> Many:
    item = Text(
        description='A port, or a range that includes both ends; a string. Example: "1900-1910".',
        max_length=MAX_PORTS_CHARS,
        laws=PORTS_LAWS,
    )
    return Many(
        description=f"{whose} ports, one of which the packet must have. Needs protocol UDP, TCP or SCTP; never matches a later"
        f" fragment, which has no ports. Example: {example}.",
        item=item,
        most=names.MAX_PORT_RANGES,
    )


def _length(description: str) -> Whole:
    return Whole(description=description, minimum=0, maximum=MAX_IP_LENGTH_BYTES)


IP_LENGTH_BYTES = Record(
    description="Bytes of the whole IP packet as its own header says: IPv4 total length, IPv6 40 + payload length; without the"
    " Ethernet header. Both ends included. Example: {min: 512}.",
    fields={
        "min": _length("Shortest packet that matches, in bytes; omitted: no lower limit. Example: 512."),
        "max": _length("Longest packet that matches, in bytes; omitted: no upper limit. Example: 1500."),
    },
    laws=LENGTH_LAWS,
)


def _flags(description: str) -> Many:
    return Many(description=description, item=Text(description="A TCP flag.", choices=FLAGS), most=len(FLAGS), unique=True)


TCP_FLAGS = Record(
    description="Flags of the TCP header; those not named do not matter. Needs protocol TCP. Example, a connection's first"
    " packet: {set: [SYN], unset: [ACK]}.",
    fields={"set": _flags("Flags that are all on. Example: [SYN]."), "unset": _flags("Flags that are all off. Example: [ACK].")},
    laws=FLAG_LAWS,
)

MATCH = Record(
    description="What a packet must be for the rule to act: every field given must hold, and one entry of each list. {} is every"
    " IPv4 and IPv6 packet, and is refused with Drop. Malformed packets match nothing."
    ' Example: {protocol: UDP, sourcePorts: ["53"]}.',
    fields={
        "protocol": Text(
            description="The upper-layer protocol, found behind up to eight IPv6 extension headers. Omitted: any. Example: UDP.",
            choices=("UDP", "TCP", "ICMP", "ICMPv6", "SCTP", "GRE", "ESP"),
        ),
        "protocolNumber": Whole(
            description="The upper-layer protocol by its IANA number, instead of `protocol`. Example: 89 (OSPF).",
            minimum=0,
            maximum=255,
        ),
        "sources": prefixes('Source addresses, both families in one list. Omitted: any. Example: ["198.51.100.0/24"].'),
        "destinations": prefixes(
            'Destination addresses, both families in one list. Omitted: any. Example: ["203.0.113.0/24", "2001:db8::/32"].'
        ),
        "sourcePorts": _ports("Source", '["53", "123", "1900-1910"]'),
        "destinationPorts": _ports("Destination", '["80", "443"]'),
        "ipLengthBytes": IP_LENGTH_BYTES,
        "tcpFlags": TCP_FLAGS,
        "icmpTypes": Many(
            description="Types of ICMP or ICMPv6 messages by number; needs that protocol. Example, echo requests of ICMP: [8].",
            item=Whole(description="An ICMP or ICMPv6 type.", minimum=0, maximum=255),
            most=names.MAX_ICMP_TYPES,
            unique=True,
        ),
        "fragments": Text(
            description="Which packets: Any (default); None, only unfragmented ones; First, only first fragments; Later, only"
            " later fragments, which carry no ports, flags or types. A rule with one of those never matches a later fragment, so"
            " a flood of large packets needs a second rule with Later.",
            choices=tuple(Fragments),
            default=Fragments.ANY.value,
        ),
    },
    laws=MATCH_LAWS,
)
assert set(MATCH.fields["protocol"].choices) == set(PROTOCOL_NUMBERS)  # type: ignore[union-attr]

RULE = Record(
    description="One line of the filter: which packets, and what happens to them.",
    fields={
        "name": Text(
            description="A DNS label, unique in the filter. The rule keeps its counters under this name when the filter changes."
            ' Example: "amplifiers".',
            pattern=DNS_LABEL,
            max_length=names.MAX_NAME_LENGTH,
        ),
        "match": MATCH,
        "action": Text(
            description="Drop ends with the packet dropped (in mode Enforce). Allow ends for all filters: the packet passes."
            " Count counts it and goes on with the next rule. A failsafe packet passes a Drop.",
            choices=tuple(RuleAction),
        ),
    },
    required=("name", "match", "action"),
    laws=(DROP_NEEDS_MATCH,),
)

RULES = Many(
    description="What to match and what to do, in this order; the first Drop or Allow that matches ends. Example: [{name:"
    ' amplifiers, match: {protocol: UDP, sourcePorts: ["53"], ipLengthBytes: {min: 512}}, action: Drop}].',
    item=RULE,
    most=names.MAX_RULES,
    laws=RULES_LAWS,
)
