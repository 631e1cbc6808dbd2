"""Other people's programs and links are theirs: named, never touched, never fought."""

from __future__ import annotations

import json
import re

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Product, flood_filter, rule, wait_for

IFNAME = "eth0"
FILTER = flood_filter("edge", [rule("flood", protocol="UDP", destinationPorts=["40021"])])


@pytest.fixture
def empty_hook(product: Product, cluster: Cluster) -> Product:
    """node1 without a program of ours on its card, as before the first filter."""
    product.apply(FILTER)
    product.wait_ready("edge")
    return product


def attached_program(cluster: Cluster) -> int | None:
    """Id of the program on node1's card, whoever owns it."""
    said = json.loads(cluster.node(1).run(["ip", "-j", "-d", "link", "show", "dev", IFNAME]).stdout)[0]
    program = said.get("xdp", {}).get("prog", {})
    return int(program["id"]) if program else None


def detach_ours(product: Product, cluster: Cluster) -> None:
    """What a stranger does: detach our link with bpftool."""
    (interface,) = product.node_dataplane("node1")["status"]["interfaces"]
    cluster.node(1).run(["bpftool", "link", "detach", "id", str(interface["linkId"])])
    assert attached_program(cluster) is None


def attach_foreign(cluster: Cluster) -> int:
    cluster.node(1).run(["xdp-filter", "load", "-m", "native", IFNAME])
    program = attached_program(cluster)
    assert program is not None
    return program


def remove_foreign(cluster: Cluster) -> None:
    cluster.node(1).run(["xdp-filter", "unload", IFNAME])


def failure(product: Product) -> str:
    """Reason and message of the filter's failure on node1."""
    failures = product.filter("edge").get("status", {}).get("failures", [])
    return " ".join(f"{each['reason']} {each['message']}" for each in failures if each["node"] == "node1")


def test_detached_by_somebody_is_reported_and_not_fought(empty_hook: Product, cluster: Cluster) -> None:
    """Ours first, somebody detaches it and attaches theirs: reported with their id, untouched; gone, a changed order heals it."""
    product = empty_hook
    detach_ours(product, cluster)
    wait_for("Detached", lambda: re.search("Detached", failure(product)))
    theirs = attach_foreign(cluster)
    try:
        product.apply(flood_filter("edge", [rule("flood", protocol="UDP", destinationPorts=["40021-40022"])]))
        wait_for("Conflict", lambda: re.search(rf"Conflict.*\b{theirs}\b", failure(product)))
        assert attached_program(cluster) == theirs
    finally:
        remove_foreign(cluster)
    product.wait_ready("edge", 60)
    assert attached_program(cluster) not in (None, theirs)


def test_an_interface_that_left_and_came_back(empty_hook: Product, cluster: Cluster) -> None:
    """Moved to another network namespace and back: attached again, without an order."""
    product = empty_hook
    before = attached_program(cluster)
    node = cluster.node(1)
    script = (
        f"ip netns add spw-away; ip link set {IFNAME} netns spw-away; ip -n spw-away link set {IFNAME} netns $PPID;"
        f"ip netns del spw-away; ip addr add {node.address}/24 dev {IFNAME}; ip link set {IFNAME} up;"
        "ip route replace default via 10.99.0.1"
    )
    node.run(["sh", "-c", script.replace("$PPID", "1")])
    wait_for("attached again", lambda: attached_program(cluster) is not None, 60)
    product.wait_ready("edge", 60)
    assert before is not None
