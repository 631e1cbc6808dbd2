"""A FloodFilter as values. What each field means: docs/semantics.md, sections 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from ipaddress import IPv4Network, IPv6Network

Prefix = IPv4Network | IPv6Network


class Mode(StrEnum):
    """Monitor counts what Enforce would drop, and drops nothing."""

    MONITOR = "Monitor"
    ENFORCE = "Enforce"


class XdpMode(StrEnum):
    """Where the program runs: in the driver, in the kernel's generic path, or the best the driver has."""

    NATIVE = "Native"
    GENERIC = "Generic"
    AUTO = "Auto"


class RuleAction(StrEnum):
    """What a rule does with a packet that it matches."""

    DROP = "Drop"
    ALLOW = "Allow"
    COUNT = "Count"


class Fragments(StrEnum):
    """Which packets a rule looks at. NONE: unfragmented. FIRST: offset 0 with more to come. LATER: offset above 0."""

    ANY = "Any"
    NONE = "None"
    FIRST = "First"
    LATER = "Later"


class TcpFlag(IntFlag):
    """The flags of RFC 9293, as bits of the header's 14th byte (offset 13)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80


NO_FLAGS = TcpFlag(0)
PROTOCOL_NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "GRE": 47, "ESP": 50, "ICMPv6": 58, "SCTP": 132}
TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
PORT_PROTOCOLS = frozenset({TCP, UDP, SCTP})
ICMP_PROTOCOLS = frozenset({ICMP, ICMPV6})


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from `first` to `last`, both included; host byte order."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


@dataclass(frozen=True, slots=True)
class LengthRange:
    """Bytes of the whole IP packet by its own header (IPv6: 40 + payload length), both ends included; None is no limit."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class TcpFlagsMatch:
    """Every flag of `set` is on and every flag of `unset` is off; other flags do not matter."""

    set: TcpFlag = NO_FLAGS
    unset: TcpFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class Match:
    """All fields that are given must hold; an empty tuple or None is a field that was not given.

    protocol: IP protocol number of the upper layer. Prefixes of both families may stand in one list.
    """

    protocol: int | None = None
    sources: tuple[Prefix, ...] = ()
    destinations: tuple[Prefix, ...] = ()
    source_ports: tuple[PortRange, ...] = ()
    destination_ports: tuple[PortRange, ...] = ()
    ip_length_bytes: LengthRange | None = None
    tcp_flags: TcpFlagsMatch | None = None
    icmp_types: tuple[int, ...] = ()
    fragments: Fragments = Fragments.ANY


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a filter. `name` is unique within it and keeps the rule's counters over changes."""

    name: str
    match: Match
    action: RuleAction


@dataclass(frozen=True, slots=True)
class SelectorExpression:
    """One matchExpressions entry of a label selector. operator: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """A Kubernetes label selector; an empty one selects every node."""

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[SelectorExpression, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterContent:
    """What a node executes of a FloodFilter: all of its spec but mode, suspend and nodeSelector. A revision holds exactly this.

    interfaces: names or globs; empty means what carries the default routes. rx_queue_ids: ascending; empty means every queue.
    """

    rules: tuple[Rule, ...]
    priority: int = 100
    interfaces: tuple[str, ...] = ()
    rx_queue_ids: tuple[int, ...] = ()
    xdp_mode: XdpMode = XdpMode.NATIVE
    exempt: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """A FloodFilter's spec."""

    node_selector: NodeSelector
    content: FilterContent
    mode: Mode = Mode.MONITOR
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class FloodFilter:
    """A FloodFilter with what of its metadata matters. created: RFC 3339, as the API server writes it; empty without one."""

    name: str
    spec: FilterSpec
    uid: str = ""
    generation: int = 0
    created: str = ""
