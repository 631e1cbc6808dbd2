"""Who the failsafe peers are: resolved, never guessed, and one bad entry takes no other away."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest

from spillway_crds.failsafe import DEFAULT_CEILING_PPS, Peers
from spillway_dataplane.node.observed import DefaultRoute, ObservedNode
from spillway_dataplane.node.peers import (
    ClusterPeers,
    OwnPeers,
    flows_in_force,
    gateways_of,
    parse_endpoint,
    peer_entries,
    read_cluster_peers,
    read_resolvers,
)

DATA = {
    "apiServers": ["10.0.0.1:8443", "[fd00::1]:6443"],
    "nodes": ["10.0.0.11"],
    "adminPrefixes": ["192.0.2.0/24"],
    "ntpServers": ["192.0.2.5"],
    "dhcpServers": [],
    "bgpPeers": ["10.0.0.254"],
    "flows": ["ssh", "api-server"],
    "ceilingPacketsPerSecond": 50,
}


def configmap(**fields: object) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in (DATA | fields).items()}


def bits(entries, text: str) -> Peers:
    return next((each.peers for each in entries if each.prefix == ip_network(text)), Peers(0))


def test_everything_that_is_known_becomes_a_peer():
    cluster, problems = read_cluster_peers(configmap())
    own = OwnPeers(
        api_endpoints=frozenset({(ip_address("10.96.0.1"), 443), (ip_address("127.0.0.1"), 6443)}),
        resolvers=frozenset({ip_address("10.0.0.53")}),
        gateways=frozenset({ip_address("10.0.0.254")}),
    )
    entries = peer_entries(cluster, own)
    assert problems == ()
    assert bits(entries, "10.0.0.1/32") == bits(entries, "10.96.0.1/32") == Peers.API_SERVERS
    assert bits(entries, "fd00::1/128") == Peers.API_SERVERS
    assert bits(entries, "10.0.0.11/32") == Peers.NODES
    assert bits(entries, "192.0.2.0/24") == Peers.ADMINS
    assert bits(entries, "192.0.2.5/32") == Peers.NTP_SERVERS | Peers.ADMINS, "the longer prefix carries the shorter one's"
    assert bits(entries, "10.0.0.254/32") == Peers.GATEWAYS | Peers.BGP_PEERS
    assert bits(entries, "10.0.0.53/32") == Peers.RESOLVERS
    assert bits(entries, "fe80::/10") == Peers.LINK_LOCAL
    assert bits(entries, "127.0.0.1/32") == Peers(0), "nothing comes from loopback over a wire"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param(configmap() | {"nodes": "nonsense"}, "nodes", id="not JSON"),
        pytest.param(configmap(nodes={"a": 1}), "nodes", id="not a list"),
        pytest.param(configmap(nodes=["10.0.0.11", "node-7"]), "'node-7'", id="no address"),
        pytest.param(configmap(apiServers=["10.0.0.1"]), "'10.0.0.1'", id="no port"),
        pytest.param(configmap(ceilingPacketsPerSecond=0), "ceiling", id="no ceiling"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(data, named):
    cluster, problems = read_cluster_peers(data)
    assert len(problems) == 1
    assert named in problems[0]
    assert bits(cluster.entries, "192.0.2.0/24") == Peers.ADMINS


def test_flows():
    """Those that are switched on, on every port that an API server listens on; neighbour discovery always."""
    cluster, _ = read_cluster_peers(configmap())
    flows = flows_in_force(cluster, OwnPeers(frozenset({(ip_address("10.0.0.9"), 16443)})))
    assert [flow.name for flow in flows] == ["neighbour-discovery", "api-server", "ssh"]
    assert {ports.first for ports in flows[1].local_ports} == {443, 6443, 8443, 16443}
    everything = flows_in_force(ClusterPeers(), OwnPeers())
    assert {flow.ceiling_pps for flow in everything} == {None, DEFAULT_CEILING_PPS}


def test_resolvers():
    text = "# by hand\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver nowhere\nsearch example.com\nnameserver\n"
    assert read_resolvers(text) == frozenset({ip_address("10.0.0.53"), ip_address("fe80::1")})


def test_gateways():
    routes = (DefaultRoute("eth0", ip_address("10.0.0.1")), DefaultRoute("wg0", None))
    assert gateways_of(ObservedNode((), routes)) == frozenset({ip_address("10.0.0.1")})


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:", "host:443", ":443", "10.0.0.1:x"])
def test_bad_endpoint(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_endpoint(text)
