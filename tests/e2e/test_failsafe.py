"""Failsafe flows survive a rule that drops everything; what only looks like one does not."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Product, condition, flood_filter, rule, wait_for
from tests.e2e.traffic import flood_macs, udp_frames, witness
from tests.traffic import start_flood
from tests.traffic.frames import ETH_IPV4, TCP, ethernet, ipv4, tcp

EVERYTHING = flood_filter(
    "everything",
    [
        rule("udp", protocol="UDP"),
        rule("tcp", protocol="TCP"),
        rule("icmp", protocol="ICMP"),
    ],
)


@pytest.fixture
def dropping_everything(product: Product) -> Product:
    product.apply(EVERYTHING)
    product.wait_ready("everything")
    return product


def test_the_agent_keeps_its_api_server(dropping_everything: Product, cluster: Cluster) -> None:
    """All TCP is dropped, and the node still answers its API server: it stays Ready and takes new orders."""
    product = dropping_everything
    product.apply(flood_filter("next", [rule("flood", protocol="UDP", destinationPorts=["1"])]))
    product.wait_ready("next")
    product.kubectl("-n", "spillway-system", "exec", product.dataplane_pod("node1"), "--", "true")


def test_the_overlap_is_named(dropping_everything: Product) -> None:
    """The rule is accepted, and a condition names the rule and the flows."""
    found = wait_for("the warning", lambda: condition(dropping_everything.filter("everything"), "FailsafeOverlap"))
    assert found["status"] == "True"
    assert "api-server" in found["message"]


def test_the_right_port_from_the_wrong_peer_is_dropped(dropping_everything: Product, cluster: Cluster) -> None:
    """VXLAN from another node passes; the same packets from somebody else die."""
    with witness(cluster, 1, 4789) as passed:
        ours = udp_frames(cluster, 1, [cluster.node(2).address], 5000, 4789, size=100)
        theirs = udp_frames(cluster, 1, ["198.18.0.1"], 5000, 4789, size=100)
        attacker = cluster.host("attacker").netns
        sent = start_flood(attacker, "eth0", ours, 200, 2000).finish()
        start_flood(attacker, "eth0", theirs, 300, 2000).finish()
        wait_for("the node's packets", lambda: passed.passed() == {4789: sent})


def test_ssh_from_elsewhere_is_dropped(dropping_everything: Product, cluster: Cluster) -> None:
    """SSH is failsafe from `failsafe.adminPrefixes` only; a public address is no administrator."""
    node = cluster.node(1)
    macs = flood_macs(cluster, 1)

    def syn(source: str) -> bytes:
        segment = tcp(source, node.address, 40000, 22, 0x02)
        return ethernet(*macs, ETH_IPV4, ipv4(source, node.address, TCP, segment))

    before = dropping_everything.totals("everything").get("droppedPackets", 0)
    start_flood(cluster.host("attacker").netns, "eth0", [syn("198.51.100.7")], 50, 1000).finish()
    wait_for("the strangers dropped", lambda: dropping_everything.totals("everything")["droppedPackets"] >= before + 50, 60)
