"""Install, upgrade, uninstall, reinstall; and every way of getting rid of it: afterwards the node is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Product, flood_filter, rule, wait_for
from tests.e2e.test_changes import FLOOD_PORT, drops, passes

EDGE = flood_filter("edge", [rule("flood", protocol="UDP", destinationPorts=[str(FLOOD_PORT)])])
NODES = (1, 2)


def traces(cluster: Cluster) -> dict[int, dict[str, object]]:
    """What our work could leave on each node: XDP on the card, pins, offload features, our node label."""
    return {number: node_traces(cluster, number) for number in NODES}


def node_traces(cluster: Cluster, number: int) -> dict[str, object]:
    node = cluster.node(number)
    link = json.loads(node.run(["ip", "-j", "-d", "link", "show", "dev", "eth0"]).stdout)[0]
    labels = json.loads(cluster.kubectl("get", "node", node.name, "-o", "json"))["metadata"]["labels"]
    return {
        "xdp": link.get("xdp"),
        "pins": node.run(["sh", "-c", "ls /sys/fs/bpf/spillway 2>/dev/null || true"]).stdout,
        "features": node.run(["ethtool", "-k", "eth0"]).stdout,
        "labels": {key for key in labels if "spillway" in key},
    }


@pytest.fixture
def enforcing(product: Product, cluster: Cluster) -> Product:
    product.apply(EDGE)
    product.wait_ready("edge")
    assert drops(cluster)
    return product


@pytest.fixture
def installed_again(product: Product) -> Iterator[None]:
    """Whatever the test removes, the next test finds the product installed."""
    yield
    if not product.is_installed():
        product.install()
    product.wait_pods_ready()


def test_upgrade_keeps_crds_filters_and_programs(enforcing: Product, cluster: Cluster) -> None:
    """The chart's upgrade changes pods, not what the kernel does."""
    product = enforcing
    link = product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"]
    uid = product.filter("edge")["metadata"]["uid"]
    product.install({"dataplane.podAnnotations.upgraded": "yes"}, upgrade=True)
    product.wait_pods_ready()
    product.wait_ready("edge", 60)
    assert product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"] == link
    assert product.filter("edge")["metadata"]["uid"] == uid
    assert drops(cluster)


def test_uninstall_leaves_nothing_and_reinstall_filters_again(
    enforcing: Product, cluster: Cluster, installed_again: None
) -> None:
    """The hook empties the nodes; CRDs and filters stay, so that installing again brings the filter back."""
    product = enforcing
    product.uninstall()
    for number, seen in traces(cluster).items():
        assert (seen["xdp"], seen["pins"], seen["labels"]) == (None, "", set()), f"node{number}"
    assert passes(cluster)
    assert product.filter("edge")
    product.install()
    product.wait_pods_ready()
    product.wait_ready("edge", 60)
    assert drops(cluster)
    product.delete_filters()


@pytest.mark.long
def test_uninstall_without_hooks_keeps_programs_and_one_command_cleans(
    enforcing: Product, cluster: Cluster, installed_again: None
) -> None:
    """Never a surprise: the filter goes on; `spillway off --purge` on the node takes it away."""
    product = enforcing
    product.uninstall("--no-hooks")
    wait_for("no pods", lambda: not product.get_all("pods", "-n", NAMESPACE), 120)
    assert drops(cluster)
    purge(product, cluster)
    assert passes(cluster)
    assert node_traces(cluster, 1)["pins"] == ""
    product.install()
    product.wait_pods_ready()
    product.wait_ready("edge", 60)
    assert drops(cluster)


def test_crds_deleted_first_keep_programs(enforcing: Product, cluster: Cluster, installed_again: None) -> None:
    """Deleting a CRD deletes every filter with it, and is no order: the programs stay."""
    product = enforcing
    kinds = ("floodfilters", "nodedataplanes", "bypassstreams")
    product.kubectl("delete", "crd", *(f"{each}.spillway.dev" for each in kinds), "--timeout=60s")
    wait_for("the CRDs' end", lambda: "spillway.dev" not in product.kubectl("get", "crd", "-o", "name"))
    assert drops(cluster)
    product.uninstall("--no-hooks")
    wait_for("no pods", lambda: not product.get_all("pods", "-n", NAMESPACE), 120)
    assert drops(cluster)
    purge(product, cluster)
    assert passes(cluster)


@pytest.mark.long
def test_a_namespace_deleted_first_keeps_programs(enforcing: Product, cluster: Cluster, installed_again: None) -> None:
    """With it go the release's record, the operator and the agents, and no program; the next release adopts what is there."""
    product = enforcing
    link = product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"]
    product.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
    assert drops(cluster)
    product.install()
    product.wait_pods_ready()
    product.wait_ready("edge", 60)
    assert product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"] == link
    assert drops(cluster)


def purge(product: Product, cluster: Cluster) -> None:
    """Apply the one manifest that cleans every node, wait until it has, take it away."""
    text = Path("docs/purge.yaml").read_text().replace("registry.local/spillway-dataplane:dev", cluster.images.dataplane)
    product.kubectl("apply", "-f", "-", stdin=text)
    try:
        wait_for("clean nodes", lambda: all(not node_traces(cluster, number)["pins"] for number in NODES), 120)
    finally:
        product.kubectl("delete", "-f", "-", stdin=text)


def test_a_deleted_filter_leaves_a_program_that_passes(enforcing: Product, cluster: Cluster) -> None:
    """A filter's end is a link update: nothing flaps, everything passes."""
    product = enforcing
    link = product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"]
    product.kubectl("delete", "floodfilter", "edge", "--timeout=5s")
    wait_for("a kernel that passes everything", lambda: passes(cluster))
    assert product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"] == link
