"""Who the failsafe peers are on this node: docs/semantics.md, section 3. Pure: texts and addresses in, prefixes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from spillway_crds import failsafe
from spillway_crds.failsafe import FailsafeFlow, PeerEntry, Peers
from spillway_crds.filters import Prefix
from spillway_dataplane.node.interfaces import Address
from spillway_dataplane.node.observed import ObservedNode

LINK_LOCAL = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
Endpoint = tuple[Address, int]
LISTS = {
    "nodes": Peers.NODES,
    "adminPrefixes": Peers.ADMINS,
    "ntpServers": Peers.NTP_SERVERS,
    "dhcpServers": Peers.DHCP_SERVERS,
    "bgpPeers": Peers.BGP_PEERS,
}


@dataclass(frozen=True, slots=True)
class ClusterPeers:
    """What the operator has resolved (ConfigMap spillway-peers). flows: names of those that are in force; None is all.

    Without the ConfigMap, on a node that never saw it, administrators are who has a private address: the chart's default.
    """

    entries: tuple[PeerEntry, ...] = tuple(PeerEntry(prefix, Peers.ADMINS) for prefix in PRIVATE)
    api_ports: tuple[int, ...] = ()
    flows: tuple[str, ...] | None = None
    ceiling_pps: int = failsafe.DEFAULT_CEILING_PPS


@dataclass(frozen=True, slots=True)
class OwnPeers:
    """What the agent finds out itself. api_endpoints: of its own connection. resolvers: from resolv.conf."""

    api_endpoints: frozenset[Endpoint] = frozenset()
    resolvers: frozenset[Address] = frozenset()
    gateways: frozenset[Address] = field(default_factory=frozenset)


def read_cluster_peers(data: Mapping[str, str]) -> tuple[ClusterPeers, tuple[str, ...]]:
    """Read the ConfigMap's data. What cannot be read is left out and named: one bad entry must not take the others away.

    data: each value is JSON. Returns the peers and one sentence for each entry that was left out.
    """
    reader = _Reader(data)
    entries = [PeerEntry(prefix, kind) for key, kind in LISTS.items() for prefix in reader.prefixes(key)]
    endpoints = reader.endpoints("apiServers")
    entries += [PeerEntry(as_prefix(address), Peers.API_SERVERS) for address, _ in endpoints]
    flows = reader.texts("flows") if "flows" in data else None
    ceiling = reader.value("ceilingPacketsPerSecond", failsafe.DEFAULT_CEILING_PPS)
    if not isinstance(ceiling, int) or ceiling < 1:
        reader.problems.append(f"ceilingPacketsPerSecond: {ceiling!r} is not a positive number")
        ceiling = failsafe.DEFAULT_CEILING_PPS
    ports = tuple(sorted({port for _, port in endpoints}))
    return ClusterPeers(tuple(entries), ports, flows, ceiling), tuple(reader.problems)


class _Reader:
    """Lists out of a ConfigMap, with the problems met on the way."""

    def __init__(self, data: Mapping[str, str]) -> None:
        self.data = data
        self.problems: list[str] = []

    def value(self, key: str, default: Any) -> Any:
        try:
            return json.loads(self.data[key]) if key in self.data else default
        except ValueError:
            self.problems.append(f"{key}: not JSON")
            return default

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.value(key, [])
        if not isinstance(values, list):
            self.problems.append(f"{key}: not a list")
            return ()
        return tuple(map(str, values))

    def prefixes(self, key: str) -> list[Prefix]:
        found = []
        for text in self.texts(key):
            try:
                found.append(ip_network(text, strict=False))
            except ValueError:
                self.problems.append(f"{key}: {text!r} is no address or prefix")
        return found

    def endpoints(self, key: str) -> list[Endpoint]:
        found = []
        for text in self.texts(key):
            try:
                found.append(parse_endpoint(text))
            except ValueError:
                self.problems.append(f"{key}: {text!r} is no address and port")
        return found


def parse_endpoint(text: str) -> Endpoint:
    """Read `10.0.0.1:6443` or `[fd00::1]:6443`. Raises ValueError for anything else."""
    host, _, port = text.rpartition(":")
    return ip_address(host.removeprefix("[").removesuffix("]")), int(port)


def read_resolvers(resolv_conf: str) -> frozenset[Address]:
    """Return the name servers of a resolv.conf (resolv.conf(5)); what is no address is left out."""
    found = set()
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.add(ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return frozenset(found)


def gateways_of(node: ObservedNode) -> frozenset[Address]:
    """Return the gateways of the default routes."""
    return frozenset(route.gateway for route in node.default_routes if route.gateway is not None)


def gateways_known(now: frozenset[Address], before: frozenset[Address]) -> frozenset[Address]:
    """Return who is a gateway. While a family has no default route, those it had: they may bring one back, by BGP or DHCP."""
    families = {each.version for each in now}
    return now | {each for each in before if each.version not in families}


def as_prefix(address: IPv4Address | IPv6Address) -> Prefix:
    """Return the prefix that is exactly this address."""
    return ip_network(address)


def peer_entries(cluster: ClusterPeers, own: OwnPeers) -> tuple[PeerEntry, ...]:
    """Return everything for the peer maps, merged so that longest-prefix match gives the union."""
    entries = [*cluster.entries, *(PeerEntry(prefix, Peers.LINK_LOCAL) for prefix in LINK_LOCAL)]
    entries += _of(Peers.API_SERVERS, (address for address, _ in own.api_endpoints))
    entries += _of(Peers.RESOLVERS, own.resolvers)
    entries += _of(Peers.GATEWAYS, own.gateways)
    return failsafe.merge_peers(tuple(entries))


def _of(kind: Peers, addresses: Iterable[Address]) -> list[PeerEntry]:
    return [PeerEntry(as_prefix(address), kind) for address in addresses if not address.is_loopback]


def flows_in_force(cluster: ClusterPeers, own: OwnPeers) -> tuple[FailsafeFlow, ...]:
    """Return the failsafe flows to compile in: those that are switched on, with every port an API server listens on.

    Neighbour discovery cannot be switched off: without it a node has no network at all.
    """
    ports = {*failsafe.DEFAULT_API_PORTS, *cluster.api_ports, *(port for _, port in own.api_endpoints)}
    every = failsafe.flows(api_ports=tuple(sorted(ports)), ceiling_pps=cluster.ceiling_pps)
    if cluster.flows is None:
        return every
    wanted = {*cluster.flows, failsafe.NEIGHBOUR_DISCOVERY.name}
    return tuple(flow for flow in every if flow.name in wanted)
