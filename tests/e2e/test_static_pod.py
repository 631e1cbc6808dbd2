"""A node that boots with no API server anywhere filters all the same: the static pod restores what its disk says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Product, wait_for
from tests.e2e.test_changes import drops, steady

MANIFEST = Path("docs/static-pod.yaml")


@pytest.fixture
def static_pod(product: Product, cluster: Cluster) -> Iterator[Product]:
    """The manifest of the docs in node1's folder for static pods."""
    place = cluster.node(1).disk("/etc/kubernetes/manifests") / "spillway-restore.yaml"
    place.write_text(MANIFEST.read_text().replace("registry.local/spillway-dataplane:dev", cluster.images.dataplane))
    yield product
    place.unlink()
    wait_for("the static pod's end", lambda: "spillway-restore" not in product.kubectl("get", "pods", "-A"), 120)


def test_boot_without_any_api_server(static_pod: Product, cluster: Cluster) -> None:
    """Power cut, API server off, power on: the flood dies; with the API server back the agent adopts and counts on."""
    product = static_pod
    product.apply(steady())
    product.wait_ready("steady")
    cluster.node(1).kill()
    cluster.api_stop()
    try:
        cluster.node(1).start()
        wait_for("the flood dropped again", lambda: drops(cluster), 180, 1.0)
        link = pinned_link(cluster)
    finally:
        cluster.api_start()
    product.wait_ready("steady", 180)
    wait_for("the agent's adoption", lambda: reported_link(product) == link, 120)
    assert drops(cluster)


def pinned_link(cluster: Cluster) -> int:
    """Id of the link on node1's card, from the kernel."""
    said = cluster.node(1).run(["bpftool", "-j", "link", "show", "pinned", "/sys/fs/bpf/spillway/eth0/link"]).stdout
    return int(said.split('"id":')[1].split(",")[0])


def reported_link(product: Product) -> int:
    interfaces = product.node_dataplane("node1")["status"].get("interfaces", [])
    return next((int(each["linkId"]) for each in interfaces if each["name"] == "eth0"), 0)
