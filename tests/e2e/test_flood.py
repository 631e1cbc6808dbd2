"""A real flood on a real node: what is dropped and what passes adds up, to the packet."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Product, flood_filter, rule, wait_for
from tests.e2e.services import http_service
from tests.e2e.traffic import send_exactly, udp_frames, witness
from tests.traffic.frames import random_sources

FLOOD_PORT, OTHER_PORT = 40001, 40002
PACKETS = 60_000


def amplification(target: str, **spec: object) -> dict[str, object]:
    match = {
        "protocol": "UDP",
        "destinations": [f"{target}/32"],
        "sourcePorts": ["53", "1900-1910"],
        "ipLengthBytes": {"min": 512},
    }
    return flood_filter("dns-amplification", [rule("amplifiers", **match)], **spec)


@pytest.mark.parametrize(
    ("sources", "sport"),
    [
        pytest.param(["198.18.0.7"], 53, id="one source"),
        pytest.param(random_sources("198.18", 2000, seed=1), 53, id="two thousand sources"),
        pytest.param(random_sources("198.19", 64, seed=2), 1905, id="a port in a range"),
    ],
)
def test_dropped_and_passed_is_sent(product: Product, cluster: Cluster, sources: list[str], sport: int) -> None:
    """The flood dies on node1, other packets of the same sources pass, and every one of them is in exactly one count."""
    node = cluster.node(1)
    product.apply(amplification(node.address))
    product.wait_ready("dns-amplification")
    flood = udp_frames(cluster, 1, sources, sport, FLOOD_PORT)
    other = udp_frames(cluster, 1, sources, 9999, OTHER_PORT)
    with witness(cluster, 1, FLOOD_PORT, OTHER_PORT) as passed:
        sent = send_exactly(cluster, flood, PACKETS)
        sent_other = send_exactly(cluster, other, PACKETS // 10)
        totals = product.wait_matched("dns-amplification", sent)
        assert passed.passed() == {FLOOD_PORT: 0, OTHER_PORT: sent_other}
    assert totals["droppedPackets"] == sent == totals["matchedPackets"]
    assert totals["droppedBytes"] == sum(len(flood[i % len(flood)]) for i in range(sent))


def test_monitor_counts_and_drops_nothing(product: Product, cluster: Cluster) -> None:
    """Monitor is the default: the same packets are counted as wouldDrop, and all of them reach the kernel."""
    manifest = amplification(cluster.node(1).address)
    del manifest["spec"]["mode"]
    product.apply(manifest)
    product.wait_ready("dns-amplification")
    frames = udp_frames(cluster, 1, random_sources("198.18", 500, seed=3), 53, FLOOD_PORT)
    with witness(cluster, 1, FLOOD_PORT) as passed:
        sent = send_exactly(cluster, frames, PACKETS // 4, rate_pps=30_000)
        totals = product.wait_matched("dns-amplification", sent)
        assert passed.passed() == {FLOOD_PORT: sent}
    assert (totals["wouldDropPackets"], totals["droppedPackets"]) == (sent, 0)


def test_the_service_beside_the_flood_loses_nothing(product: Product, cluster: Cluster) -> None:
    """Every request of a client is answered while the flood dies."""
    product.apply(amplification(cluster.node(1).address))
    product.wait_ready("dns-amplification")
    frames = udp_frames(cluster, 1, random_sources("198.18", 500, seed=4), 53, FLOOD_PORT)
    with http_service(cluster, node=1) as service:
        before = service.requests(50)
        sent = send_exactly(cluster, frames, PACKETS)
        during = service.requests(50)
    assert (before, during) == (50, 50)
    assert product.wait_matched("dns-amplification", sent)["droppedPackets"] == sent


def test_a_node_that_is_not_selected_is_untouched(product: Product, cluster: Cluster) -> None:
    """node2 gets the same flood: no program acts there, all packets reach its kernel."""
    product.apply(amplification(cluster.node(1).address))
    product.wait_ready("dns-amplification")
    frames = udp_frames(cluster, 2, ["198.18.0.9"], 53, FLOOD_PORT)
    with witness(cluster, 2, FLOOD_PORT) as passed:
        sent = send_exactly(cluster, frames, 5000, rate_pps=20_000)
        wait_for("the flood at node2", lambda: passed.passed() == {FLOOD_PORT: sent})
    assert product.node_dataplane("node2")["spec"].get("filters", []) == []
    assert product.totals("dns-amplification").get("matchedPackets", 0) == 0
