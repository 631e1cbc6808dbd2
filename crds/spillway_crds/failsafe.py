"""Failsafe flows: packets that no rule can drop. Never a bare port: (protocol, port, who the peer is).

docs/semantics.md, section 3. A packet is looked up here only when a rule is about to drop it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from spillway_crds.filters import ICMP, ICMPV6, TCP, UDP, PortRange, Prefix


class Peers(IntFlag):
    """Who the peer is, as bits of one peer map's value. The bit numbers are fixed: they outlive the agent in a pinned map."""

    ANYONE = 0
    API_SERVERS = 1 << 0
    NODES = 1 << 1
    ADMINS = 1 << 2
    RESOLVERS = 1 << 3
    NTP_SERVERS = 1 << 4
    DHCP_SERVERS = 1 << 5
    GATEWAYS = 1 << 6
    LINK_LOCAL = 1 << 7
    BGP_PEERS = 1 << 8


@dataclass(frozen=True, slots=True)
class FailsafeFlow:
    """One flow. A packet belongs to it if its protocol is listed, one of its ports is, and its source is one of `peers`.

    local_ports: the packet's destination. remote_ports: its source. Both empty: ports do not matter.
    icmp: (type, code) pairs, code None for any. later_fragments: the flow is every later fragment, whatever its protocol.
    hop_limit: the IPv6 hop limit it must have. ceiling_pps: above it rules apply again; None is no ceiling.
    """

    name: str
    protocols: tuple[int, ...] = ()
    local_ports: tuple[PortRange, ...] = ()
    remote_ports: tuple[PortRange, ...] = ()
    icmp: tuple[tuple[int, int | None], ...] = ()
    later_fragments: bool = False
    hop_limit: int | None = None
    peers: Peers = Peers.ANYONE
    ceiling_pps: int | None = None


def ports(*numbers: int | tuple[int, int]) -> tuple[PortRange, ...]:
    """Ports and (first, last) pairs as ranges."""
    return tuple(PortRange(n, n) if isinstance(n, int) else PortRange(*n) for n in numbers)


NEIGHBOUR_DISCOVERY = FailsafeFlow(
    "neighbour-discovery", (ICMPV6,), icmp=tuple((kind, None) for kind in range(133, 138)), hop_limit=255
)
DEFAULT_API_PORTS = (443, 6443)
DEFAULT_CEILING_PPS = 1000
IKE_PORTS = ports(500, 4500)
NODES_AND_API = Peers.NODES | Peers.API_SERVERS
ROUTERS = Peers.GATEWAYS | Peers.NODES | Peers.BGP_PEERS


def flows(*, api_ports: tuple[int, ...] = DEFAULT_API_PORTS, ceiling_pps: int = DEFAULT_CEILING_PPS) -> tuple[FailsafeFlow, ...]:
    """Every failsafe flow, in the order of FLOW_NAMES. api_ports: where the resolved API servers listen."""
    api = ports(*sorted(set(api_ports)))
    return (
        NEIGHBOUR_DISCOVERY,
        FailsafeFlow("api-server", (TCP,), local_ports=api, remote_ports=api, peers=NODES_AND_API),
        FailsafeFlow("etcd", (TCP,), ports((2379, 2380)), ports((2379, 2380)), peers=NODES_AND_API),
        FailsafeFlow("kubelet", (TCP,), ports(10250), ports(10250), peers=NODES_AND_API),
        FailsafeFlow("ssh", (TCP,), local_ports=ports(22), peers=Peers.ADMINS),
        FailsafeFlow("dns-replies", (UDP, TCP), remote_ports=ports(53), peers=Peers.RESOLVERS),
        FailsafeFlow("ntp-replies", (UDP,), remote_ports=ports(123), peers=Peers.NTP_SERVERS),
        FailsafeFlow(
            "dhcp", (UDP,), ports(68, 546), ports(67, 547), peers=Peers.GATEWAYS | Peers.LINK_LOCAL | Peers.DHCP_SERVERS
        ),
        FailsafeFlow(
            "overlay",
            (UDP,),
            local_ports=ports(4789, 8472, 6081, (51820, 51821), 51871, *((p.first, p.last) for p in IKE_PORTS)),
            peers=Peers.NODES,
        ),
        FailsafeFlow("tunnels", (4, 41, 47, 50, 51), peers=Peers.NODES),  # IPIP, 6in4, GRE, ESP, AH
        FailsafeFlow("node-fragments", later_fragments=True, peers=Peers.NODES),
        FailsafeFlow("bgp", (TCP,), ports(179), ports(179), peers=ROUTERS),
        FailsafeFlow("bfd", (UDP,), local_ports=ports((3784, 3785), 4784), peers=ROUTERS),
        FailsafeFlow("path-mtu", (ICMP,), icmp=((3, 4),), ceiling_pps=ceiling_pps),
        FailsafeFlow("path-mtu-v6", (ICMPV6,), icmp=((2, None),), ceiling_pps=ceiling_pps),
        FailsafeFlow("mld", (ICMPV6,), icmp=tuple((k, None) for k in (130, 131, 132, 143)), ceiling_pps=ceiling_pps),
    )


FLOW_NAMES = tuple(flow.name for flow in flows())
"""All of them; a flow's place is its counter's number, whichever are in force. Only ever appended to: counters outlive agents."""


def counter_of(flow: FailsafeFlow) -> int:
    """Return the number of a flow's counter."""
    return FLOW_NAMES.index(flow.name)


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """One prefix and who it is. Longer prefixes carry the bits of the shorter ones that cover them."""

    prefix: Prefix
    peers: Peers


def merge_peers(entries: tuple[PeerEntry, ...]) -> tuple[PeerEntry, ...]:
    """Make longest-prefix match give the union: each prefix gets the bits of all that cover it. Sorted, one entry a prefix."""
    bits: dict[Prefix, Peers] = {}
    for entry in entries:
        bits[entry.prefix] = bits.get(entry.prefix, Peers(0)) | entry.peers
    wide = [prefix for prefix in bits if prefix.prefixlen < prefix.max_prefixlen]  # few: only these can cover another
    merged = {prefix: own | _bits_over(prefix, wide, bits) for prefix, own in bits.items()}
    return tuple(PeerEntry(prefix, merged[prefix]) for prefix in sorted(merged, key=_address_order))


def _bits_over(prefix: Prefix, wide: list[Prefix], bits: dict[Prefix, Peers]) -> Peers:
    found = Peers(0)
    for cover in wide:
        if cover.version == prefix.version and prefix.subnet_of(cover):  # type: ignore[arg-type]
            found |= bits[cover]
    return found


def _address_order(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
