"""Who decides about a packet: policies with frames, and what has to become of each. docs/semantics.md, sections 2 and 3.

The unit test asks the plain matcher, the kernel test the compiled program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network

from spillway_crds.failsafe import FLOW_NAMES, FailsafeFlow, PeerEntry, Peers, flows, merge_peers
from spillway_crds.filters import FilterContent, Fragments, Match, Prefix, Rule, RuleAction
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_OFF, FilterUnit, ProgramSpec, Switches
from tests.filter_frames import (
    ARP,
    AUTHENTICATION,
    ESP,
    GRE,
    ICMP,
    ICMPV6,
    SYN,
    TCP,
    UDP,
    ether,
    fragment_header,
    icmp,
    ip4,
    ip6,
    ip6_behind,
    tcp,
    udp,
)

DROP, ALLOW, COUNT = RuleAction.DROP, RuleAction.ALLOW, RuleAction.COUNT
OFF, MONITOR, ENFORCE = MODE_OFF, MODE_MONITOR, MODE_ENFORCE
EVERYBODY: tuple[Prefix, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
ALL = Match(sources=EVERYBODY)
ANY_UDP = Match(protocol=UDP)


@dataclass(frozen=True, slots=True)
class Packet:
    """One frame. counted: what grows by one packet, apart by spaces: filter/rule:matched, :dropped or :would, flow:name."""

    id: str
    frame: bytes
    passes: bool
    counted: str = ""
    queue: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """A policy and its frames; they run one after the other, each from counters at zero."""

    id: str
    spec: ProgramSpec
    switches: Switches
    packets: tuple[Packet, ...]
    peers: tuple[PeerEntry, ...] = field(default_factory=tuple)


def unit(
    name: str, *rules: tuple[str, Match, RuleAction], exempt: tuple[Prefix, ...] = (), queues: tuple[int, ...] = (), at: int
) -> FilterUnit:
    """A filter whose mode word and first counter slot are chosen by `at`."""
    content = FilterContent(tuple(Rule(*rule) for rule in rules), exempt=exempt, rx_queue_ids=queues)
    return FilterUnit(name, f"uid-{name}", content, at, tuple(range(at * 10, at * 10 + len(rules))))


def switches(*modes: int, enforcement: bool = True) -> Switches:
    return Switches(enforcement, (*modes, *(0,) * (64 - len(modes))))


def policy(*units: FilterUnit, guarded: tuple[FailsafeFlow, ...] = ()) -> ProgramSpec:
    return ProgramSpec(units, guarded)


U, T = ip4(udp()), ip4(tcp(target=80), TCP)
ENDED = (
    Packet("dropped: later rules do not count", U, False, "one/drop:matched one/drop:dropped"),
    Packet("counted, then allowed", T, True, "one/count:matched one/allow:matched"),
    Packet("counted, then by the next filter", ip4(bytes(8), ESP), False, "one/count:matched two/rest:matched two/rest:dropped"),
)
ONE = unit("one", ("drop", ANY_UDP, DROP), ("count", ALL, COUNT), ("allow", Match(protocol=TCP), ALLOW), at=0)
TWO = unit("two", ("rest", ALL, DROP), at=1)
EXEMPT = unit("one", ("drop", ALL, DROP), exempt=(ip_network("198.18.0.0/24"), ip_network("2001:db8:bad::1/128")), at=0)

DECIDING = (
    Scene("first match ends for all filters", policy(ONE, TWO), switches(ENFORCE, ENFORCE), ENDED),
    Scene(
        "a filter that monitors changes nothing",
        policy(ONE, TWO),
        switches(MONITOR, ENFORCE),
        (
            Packet("drop", U, False, "one/drop:matched one/drop:would two/rest:matched two/rest:dropped"),
            Packet("allow", T, False, "one/count:matched one/allow:matched two/rest:matched two/rest:dropped"),
            Packet("count", ip4(bytes(8), ESP), False, "one/count:matched two/rest:matched two/rest:dropped"),
        ),
    ),
    Scene(
        "nor behind one that enforces",
        policy(ONE, TWO),
        switches(ENFORCE, MONITOR),
        (
            Packet("dropped before it", U, False, "one/drop:matched one/drop:dropped"),
            Packet("allowed before it", T, True, "one/count:matched one/allow:matched"),
            Packet("reaches it", ip4(bytes(8), ESP), True, "one/count:matched two/rest:matched two/rest:would"),
        ),
    ),
    Scene(
        "two that monitor",
        policy(ONE, TWO),
        switches(MONITOR, MONITOR),
        (Packet("both would", U, True, "one/drop:matched one/drop:would two/rest:matched two/rest:would"),),
    ),
    Scene(
        "the kill switch turns all that enforces into Monitor",
        policy(ONE, TWO),
        switches(ENFORCE, ENFORCE, enforcement=False),
        (
            Packet("drop", U, True, "one/drop:matched one/drop:would two/rest:matched two/rest:would"),
            Packet("allow", T, True, "one/count:matched one/allow:matched two/rest:matched two/rest:would"),
        ),
    ),
    Scene(
        "a suspended filter counts nothing",
        policy(ONE, TWO),
        switches(OFF, ENFORCE),
        (Packet("only the other", U, False, "two/rest:matched two/rest:dropped"),),
    ),
    Scene("all suspended", policy(ONE, TWO), switches(OFF, OFF), (Packet("passes", U, True),)),
    Scene(
        "exempt sources leave that filter only",
        policy(EXEMPT, TWO),
        switches(ENFORCE, ENFORCE),
        (
            Packet("exempt", U, False, "two/rest:matched two/rest:dropped"),
            Packet("not exempt", ip4(udp(), source="198.18.1.0"), False, "one/drop:matched one/drop:dropped"),
            Packet("IPv6, exempt", ip6(udp()), False, "two/rest:matched two/rest:dropped"),
            Packet("IPv6, not exempt", ip6(udp(), source="2001:db8:bad::2"), False, "one/drop:matched one/drop:dropped"),
        ),
    ),
    Scene(
        "queues of a filter",
        policy(unit("one", ("drop", ALL, DROP), queues=(2,), at=0), unit("two", ("rest", ALL, COUNT), at=1)),
        switches(ENFORCE, ENFORCE),
        (
            Packet("its queue", U, False, "one/drop:matched one/drop:dropped", queue=2),
            Packet("another queue", U, True, "two/rest:matched", queue=1),
            Packet("queue 0", U, True, "two/rest:matched"),
            Packet("malformed on any queue", ip4(udp(), total=19), True, "malformed", queue=3),
        ),
    ),
    Scene(
        "queues that no filter names are left alone",
        policy(unit("one", ("drop", ALL, DROP), queues=(1, 3), at=0), unit("two", ("rest", ALL, DROP), queues=(2,), at=1)),
        switches(ENFORCE, ENFORCE),
        (
            Packet("first", U, False, "one/drop:matched one/drop:dropped", queue=3),
            Packet("second", U, False, "two/rest:matched two/rest:dropped", queue=2),
            Packet("nobody's", U, True),
            Packet("nobody's, malformed", ip4(udp(), total=19), True),
        ),
    ),
    Scene(
        "what cannot be dropped",
        policy(TWO),
        switches(ENFORCE, ENFORCE),
        (
            Packet("ARP", ether(bytes(46), ARP), True),
            Packet("malformed", ip4(udp(), total=19), True, "malformed"),
            Packet(
                "unparsed is dropped by a rule without its fields",
                ip6(b"", 60),
                False,
                "unparsed two/rest:matched two/rest:dropped",
            ),
            Packet(
                "neighbour discovery, though no flow names it",
                ip6(icmp(135), ICMPV6, hop_limit=255),
                True,
                "two/rest:matched flow:neighbour-discovery",
            ),
            Packet(
                "router advertisement", ip6(icmp(134), ICMPV6, hop_limit=255), True, "two/rest:matched flow:neighbour-discovery"
            ),
            Packet("redirect", ip6(icmp(137), ICMPV6, hop_limit=255), True, "two/rest:matched flow:neighbour-discovery"),
            Packet("from afar", ip6(icmp(135), ICMPV6, hop_limit=254), False, "two/rest:matched two/rest:dropped"),
            Packet("another type", ip6(icmp(138), ICMPV6, hop_limit=255), False, "two/rest:matched two/rest:dropped"),
        ),
    ),
)

WHO = {
    "api": ("192.0.2.10", Peers.API_SERVERS),
    "node": ("192.0.2.20", Peers.NODES),
    "resolver": ("192.0.2.53", Peers.RESOLVERS),
    "ntp": ("192.0.2.123", Peers.NTP_SERVERS),
    "dhcp": ("192.0.2.67", Peers.DHCP_SERVERS),
    "gateway": ("192.0.2.1", Peers.GATEWAYS),
    "bgp": ("192.0.2.179", Peers.BGP_PEERS),
}
PEERS = merge_peers(
    (
        *(PeerEntry(ip_network(address), bits) for address, bits in WHO.values()),
        PeerEntry(ip_network("2001:db8::20/128"), Peers.NODES),
        PeerEntry(ip_network("10.0.0.0/8"), Peers.ADMINS),
        PeerEntry(ip_network("fd00::/8"), Peers.ADMINS),
        PeerEntry(ip_network("10.0.0.53/32"), Peers.RESOLVERS),
    )
)
STRANGER = "198.51.100.9"
GUARD = unit("guard", ("all", ALL, DROP), at=0)
DROPPED = "guard/all:matched guard/all:dropped"


def saved(flow: str) -> str:
    return f"guard/all:matched flow:{flow}"


def flow_packets(flow: str, peers: str, payload: bytes, protocol: int) -> tuple[Packet, ...]:
    """From each of the peers it passes, from a stranger it is dropped."""
    friends = tuple(
        Packet(f"{flow} from {peer}", ip4(payload, protocol, source=WHO[peer][0]), True, saved(flow)) for peer in peers.split()
    )
    return (*friends, Packet(f"{flow} from a stranger", ip4(payload, protocol, source=STRANGER), False, DROPPED))


BY_PEER = (
    *flow_packets("api-server", "api node", tcp(6443), TCP),
    *flow_packets("api-server", "api node", tcp(target=443), TCP),
    *flow_packets("etcd", "api node", tcp(2380), TCP),
    *flow_packets("etcd", "api node", tcp(target=2379), TCP),
    *flow_packets("kubelet", "api node", tcp(target=10250, flags=SYN), TCP),
    *flow_packets("dns-replies", "resolver", udp(53), UDP),
    *flow_packets("dns-replies", "resolver", tcp(53), TCP),
    *flow_packets("ntp-replies", "ntp", udp(123), UDP),
    *flow_packets("dhcp", "dhcp gateway", udp(67, 68), UDP),
    *(packet for port in (4789, 8472, 6081, 51820, 51821, 51871, 500, 4500)
      for packet in flow_packets("overlay", "node", udp(target=port), UDP)),
    *(packet for number in (4, 41, GRE, ESP, AUTHENTICATION) for packet in flow_packets("tunnels", "node", bytes(20), number)),
    *flow_packets("bgp", "bgp gateway node", tcp(179), TCP),
    *flow_packets("bgp", "bgp gateway node", tcp(target=179), TCP),
    *(packet for port in (3784, 3785, 4784) for packet in flow_packets("bfd", "bgp gateway node", udp(target=port), UDP)),
)  # fmt: skip
BY_ADDRESS = (
    Packet("ssh from an administrator's prefix", ip4(tcp(target=22), TCP, source="10.9.8.7"), True, saved("ssh")),
    Packet("ssh over IPv6", ip6(tcp(target=22), TCP, source="fd12::1"), True, saved("ssh")),
    Packet("ssh from a stranger", ip4(tcp(target=22), TCP, source=STRANGER), False, DROPPED),
    Packet("a host within the prefix is both", ip4(tcp(target=22), TCP, source="10.0.0.53"), True, saved("ssh")),
    Packet("DNS from it", ip4(udp(53), source="10.0.0.53"), True, saved("dns-replies")),
    Packet("DNS from its neighbour", ip4(udp(53), source="10.0.0.54"), False, DROPPED),
    Packet("overlay over IPv6", ip6(udp(target=4789), source="2001:db8::20"), True, saved("overlay")),
    Packet("DHCPv6 from link-local", ip6(udp(547, 546), source="fe80::1"), True, saved("dhcp")),
    Packet("DHCPv6 from afar", ip6(udp(547, 546)), False, DROPPED),
    Packet("DHCP from link-local", ip4(udp(67, 68), source="169.254.0.1"), True, saved("dhcp")),
    Packet("an IPv6 host that claims to be a node", ip6(udp(target=4789), source="::ffff:192.0.2.20"), False, DROPPED),
    Packet("an IPv6 host that claims to be an administrator", ip6(tcp(target=22), TCP, source="::ffff:10.0.0.1"), False, DROPPED),
    Packet("a later fragment of a node", ip4(udp(), source="192.0.2.20", fragment=7), True, saved("node-fragments")),
    Packet("a later fragment of a stranger", ip4(udp(), source=STRANGER, fragment=7), False, DROPPED),
    Packet("IPv6 later fragment", ip6_behind(fragment_header(3), source="2001:db8::20"), True, saved("node-fragments")),
    Packet("the right port of the wrong protocol", ip4(tcp(target=4789), TCP, source="192.0.2.20"), False, DROPPED),
    Packet("a local port where the remote one counts", ip4(udp(target=53), source="192.0.2.53"), False, DROPPED),
    Packet("a node, and no flow", ip4(udp(), source="192.0.2.20"), False, DROPPED),
)
BY_TYPE = (
    Packet("fragmentation needed", ip4(icmp(3, 4), ICMP), True, saved("path-mtu")),
    Packet("port unreachable", ip4(icmp(3, 3), ICMP), False, DROPPED),
    Packet("packet too big", ip6(icmp(2), ICMPV6), True, saved("path-mtu-v6")),
    *(Packet(f"MLD {kind}", ip6(icmp(kind), ICMPV6), True, saved("mld")) for kind in (130, 131, 132, 143)),
    Packet("neighbour discovery", ip6(icmp(136), ICMPV6, hop_limit=255), True, saved("neighbour-discovery")),
    Packet("neighbour discovery from afar", ip6(icmp(136), ICMPV6, hop_limit=64), False, DROPPED),
    Packet("echo over IPv6", ip6(icmp(128), ICMPV6), False, DROPPED),
)
DNS = ip4(udp(53), source="192.0.2.53")
NEXT = unit("next", ("udp", ANY_UDP, COUNT), ("drop", Match(protocol=UDP, fragments=Fragments.NONE), DROP), at=1)
FAILSAFE = (
    Scene("flows by peer", policy(GUARD, guarded=flows()), switches(ENFORCE), BY_PEER, PEERS),
    Scene("flows by address", policy(GUARD, guarded=flows()), switches(ENFORCE), BY_ADDRESS, PEERS),
    Scene("flows by type", policy(GUARD, guarded=flows()), switches(ENFORCE), BY_TYPE),
    Scene(
        "a ceiling of nothing lets nothing through",
        policy(GUARD, guarded=flows(ceiling_pps=0)),
        switches(ENFORCE),
        (
            Packet("path MTU", ip4(icmp(3, 4), ICMP), False, DROPPED),
            Packet("MLD", ip6(icmp(130), ICMPV6), False, DROPPED),
            Packet("neighbour discovery has none", ip6(icmp(136), ICMPV6, hop_limit=255), True, saved("neighbour-discovery")),
        ),
    ),
    Scene(
        "in Monitor: matched, would not drop, no flow, the next filter goes on",
        policy(GUARD, NEXT, guarded=flows()),
        switches(MONITOR, ENFORCE),
        (
            Packet("failsafe", DNS, True, "guard/all:matched next/udp:matched next/drop:matched flow:dns-replies"),
            Packet(
                "not failsafe", U, False, "guard/all:matched guard/all:would next/udp:matched next/drop:matched next/drop:dropped"
            ),
        ),
        PEERS,
    ),
    Scene(
        "in Enforce: the evaluation ends",
        policy(GUARD, NEXT, guarded=flows()),
        switches(ENFORCE, ENFORCE),
        (Packet("failsafe", DNS, True, saved("dns-replies")), Packet("not failsafe", U, False, DROPPED)),
        PEERS,
    ),
    Scene(
        "a Monitor filter uses up no ceiling",
        policy(GUARD, guarded=flows(ceiling_pps=0)),
        switches(MONITOR),
        (Packet("path MTU", ip4(icmp(3, 4), ICMP), True, "guard/all:matched"),),
    ),
    Scene(
        "flows that are switched off guard nothing",
        policy(GUARD, guarded=tuple(flow for flow in flows() if flow.name == "ssh")),
        switches(ENFORCE),
        (
            Packet("DNS", DNS, False, DROPPED),
            Packet("ssh", ip4(tcp(target=22), TCP, source="10.9.8.7"), True, saved("ssh")),
        ),
        PEERS,
    ),
)
SCENES = (*DECIDING, *FAILSAFE)


def expected(scene: Scene, packet: Packet) -> dict[str, int]:
    """What grows, by name, each by one."""
    return dict.fromkeys(packet.counted.split(), 1)


def counted(scene: Scene, counts: dict[int, object], interface: object) -> dict[str, int]:
    """The same from counters: packets by name, zeros left out. Bytes have to be those of the frame: the caller's business."""
    found: dict[str, int] = {}
    for each in scene.spec.filters:
        for rule, slot in zip(each.content.rules, each.rule_slots, strict=True):
            for what in ("matched", "dropped", "would_drop"):
                found[f"{each.name}/{rule.name}:{what.removesuffix('_drop')}"] = getattr(counts.get(slot), f"{what}_packets", 0)
    found["malformed"], found["unparsed"] = interface.malformed_packets, interface.unparsed_packets  # type: ignore[attr-defined]
    for name, packets in zip(FLOW_NAMES, interface.failsafe_packets, strict=True):  # type: ignore[attr-defined]
        found[f"flow:{name}"] = packets
    return {name: packets for name, packets in found.items() if packets}
