"""What people and other controllers do to a cluster in a hurry, in the wrong order, or by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Json, Product, condition, flood_filter, rule, wait_for
from tests.e2e.test_changes import FLOOD_PORT, drops, passes, river, scale_operator, steady
from tests.e2e.test_switch import switch

ROOM = 24  # filters on a node


def decoy(number: int, **spec: object) -> Json:
    """A filter that matches nothing of the flood."""
    return flood_filter(f"decoy-{number:02}", [rule("other", protocol="UDP", destinationPorts=[str(1000 + number)])], **spec)


def conflicts(product: Product) -> set[str]:
    """Filters that a node had no room for."""
    found = product.get_all("floodfilters")
    return {each["metadata"]["name"] for each in found if "no more" in json.dumps(each.get("status", {}).get("failures", []))}


def ordered(product: Product, node: str = "node1") -> list[str]:
    return [each["name"] for each in product.node_dataplane(node)["spec"].get("filters", [])]


@pytest.mark.long
def test_thirty_filters_at_once(product: Product, cluster: Cluster) -> None:
    """The older two dozen run, the others are told; room that is made is given to one of them."""
    product.apply(steady(priority=1000))
    product.wait_ready("steady")
    product.apply(*(decoy(number) for number in range(30)))
    wait_for("seven filters without room", lambda: len(conflicts(product)) == 31 - ROOM)
    assert len(ordered(product)) == ROOM
    assert "steady" in ordered(product)
    without = conflicts(product)
    gone = next(name for name in ordered(product) if name != "steady")
    product.kubectl("delete", "floodfilter", gone)
    wait_for("one more with room", lambda: len(conflicts(product)) == 30 - ROOM and conflicts(product) < without)
    product.wait_ready("steady", 60)
    assert drops(cluster)


def test_the_same_name_again_at_once(product: Product, cluster: Cluster) -> None:
    """Deleted and made anew before anybody has looked: another filter, which counts from nothing, and filters."""
    product.apply(steady())
    product.wait_ready("steady")
    before = product.filter("steady")["metadata"]["uid"]
    with river(cluster) as flowing:
        for _ in range(5):
            product.kubectl("delete", "floodfilter", "steady", "--wait=false")
            product.apply(steady())
        product.wait_ready("steady", 60)
        flowing.stop()
    assert product.filter("steady")["metadata"]["uid"] != before
    assert drops(cluster)
    assert [each["name"] for each in product.node_dataplane("node1")["status"]["filters"]] == ["steady"]


def test_a_selector_that_swings(product: Product, cluster: Cluster) -> None:
    """From one node to the other and back, faster than anybody follows: where it stops, it filters, and nowhere else."""
    product.apply(steady())
    product.wait_ready("steady")
    for number in range(11):
        product.apply(steady(nodeSelector={"matchLabels": {"kubernetes.io/hostname": f"node{1 + number % 2}"}}))
    product.wait_ready("steady", 60)
    assert drops(cluster)
    wait_for("an order without it on node2", lambda: ordered(product, "node2") == [])


def test_an_order_deleted_under_flood(product: Product, cluster: Cluster) -> None:
    """It is made again, the program stays, and no packet of the flood gets through. Counts go on in the filter."""
    product.apply(steady())
    product.wait_ready("steady")
    with river(cluster) as flowing:
        product.kubectl("delete", "nodedataplane", "node1", "--timeout=10s")
        wait_for("the order", lambda: "node1" in product.kubectl("get", "nodedataplanes", "-o", "name"))
        product.wait_ready("steady")
        flowing.stop()
        assert flowing.witness.passed()[FLOOD_PORT] == 0


@pytest.mark.parametrize("edit", [("delete",), ("patch", "--type=merge", "-p", '{"data":{"nodes":"nonsense","extra":"x"}}')])
def test_peers_come_back(product: Product, edit: tuple[str, ...]) -> None:
    """The list of failsafe peers is put right, whatever somebody made of it."""
    wanted = product.get("configmap", "-n", NAMESPACE, "spillway-peers")["data"]
    verb, *flags = edit
    product.kubectl("-n", NAMESPACE, verb, "configmap", "spillway-peers", *flags)

    def right() -> bool:
        found = product.get_all("configmaps", "-n", NAMESPACE, "--field-selector", "metadata.name=spillway-peers")
        return bool(found) and all(found[0]["data"][key] == value for key, value in wanted.items())

    wait_for("the peers as they were", right)


@pytest.mark.parametrize(("said", "off"), [("off", True), ("nonsense", False)])
def test_a_switch_pulled_in_a_hurry(product: Product, cluster: Cluster, said: str, off: bool) -> None:
    """`off` is understood; what is nothing changes nothing."""
    product.apply(steady())
    product.wait_ready("steady")
    try:
        switch(product, "Off")
        wait_for("no drop", lambda: passes(cluster), 10)
        switch(product, said)
        wait_for("what it says", lambda: passes(cluster) if off else drops(cluster), 10)
    finally:
        switch(product, None)
    wait_for("drops again", lambda: drops(cluster), 10)


@contextmanager
def no_pod_admitted(product: Product) -> Iterator[None]:
    """A quota of nothing in the operator's namespace."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": NAMESPACE}}
    product.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    try:
        yield
    finally:
        product.kubectl("-n", NAMESPACE, "delete", "resourcequota", "none")


@pytest.mark.long
def test_pods_that_cannot_be_made_are_said_in_the_condition(product: Product, cluster: Cluster) -> None:
    """An agent that has reported before and cannot be made again: the filter says why, the old program stays."""
    product.apply(steady())
    product.wait_ready("steady")
    with no_pod_admitted(product):
        product.kubectl("-n", NAMESPACE, "delete", "pod", product.dataplane_pod("node1"))
        product.apply(steady([rule("other", protocol="UDP", destinationPorts=["9"])]))
        said = product.wait_condition("steady", "Ready", "DataplanePodsUnavailable", 60)
        assert "quota" in said["message"]
        assert condition(product.filter("steady"), "Degraded")["status"] == "True"
        assert drops(cluster)
    product.wait_ready("steady", 120)


@pytest.mark.long
def test_a_deleted_revision_comes_back(product: Product, cluster: Cluster) -> None:
    """No event tells of it: somebody looks twice a minute. Until then the node has its own copy."""
    product.apply(steady())
    name = product.wait_ready("steady")["status"]["revision"]
    product.kubectl("-n", NAMESPACE, "delete", "controllerrevision", name)
    assert drops(cluster)
    wait_for("the revision", lambda: name in product.kubectl("-n", NAMESPACE, "get", "controllerrevisions", "-o", "name"), 60)
    assert drops(cluster)


@pytest.mark.long
def test_a_crd_made_anew_while_the_operator_is_away(product: Product, cluster: Cluster) -> None:
    """Every filter goes with its CRD, which is no order: nodes filter on, and applying the filters again changes nothing."""
    product.apply(steady())
    product.wait_ready("steady")
    found = product.get("crd", "floodfilters.spillway.dev")
    kept = {key: found["metadata"][key] for key in ("name", "labels", "annotations")}
    definition = {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": kept, "spec": found["spec"]}
    with river(cluster) as flowing:
        scale_operator(product, 0)
        try:
            product.kubectl("delete", "crd", "floodfilters.spillway.dev", "--timeout=60s")
            product.apply(definition)
            wait_for("the CRD", lambda: product.get_all("floodfilters") == [])
        finally:
            scale_operator(product, 2)
        product.apply(steady())
        product.wait_ready("steady", 60)
        flowing.stop()
        assert flowing.witness.passed()[FLOOD_PORT] == 0


@pytest.mark.long
def test_a_node_deleted_while_it_is_selected(product: Product, cluster: Cluster) -> None:
    """Its order goes with it; the kubelet that registers it again brings both back, and the filter was there all the time."""
    product.apply(steady())
    product.wait_ready("steady")
    before = product.node_dataplane("node1")["metadata"]["uid"]
    product.kubectl("delete", "node", "node1")
    cluster.node(1).restart_kubelet()
    wait_for("the node", lambda: "node1" in product.kubectl("get", "nodes", "-o", "name"), 120)
    product.wait_pods_ready()
    product.wait_ready("steady", 120)
    assert product.node_dataplane("node1")["metadata"]["uid"] != before
    assert drops(cluster)
