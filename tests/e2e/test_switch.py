"""The kill switch: relief on every node within a second, with whatever away."""

from __future__ import annotations

import json

import pytest

from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Product, flood_filter, rule, wait_for
from tests.e2e.test_changes import FLOOD_PORT, drops, passes, scale_operator

EDGE = flood_filter("edge", [rule("flood", protocol="UDP", destinationPorts=[str(FLOOD_PORT)])])


def switch(product: Product, value: str | None) -> None:
    """Write or delete the ConfigMap that people pull."""
    if value is None:
        product.kubectl("-n", NAMESPACE, "delete", "configmap", "spillway-switch", "--ignore-not-found")
        return
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "spillway-switch", "namespace": NAMESPACE},
        "data": {"enforcement": value},
    }
    product.apply(body)


@pytest.fixture
def enforcing(product: Product, cluster: Cluster) -> Product:
    product.apply(EDGE)
    product.wait_ready("edge")
    assert drops(cluster)
    return product


@pytest.mark.parametrize("operator_away", [False, True], ids=["operator there", "operator away"])
def test_the_configmap_turns_enforcement_off(enforcing: Product, cluster: Cluster, operator_away: bool) -> None:
    """Off: nothing is dropped, the program stays the same. Missing means on."""
    product = enforcing
    program = product.node_dataplane("node1")["status"]["interfaces"][0]["programId"]
    if operator_away:
        scale_operator(product, 0)
    try:
        switch(product, "Off")
        wait_for("no drop", lambda: passes(cluster), 10)
        assert product.node_dataplane("node1")["status"]["interfaces"][0]["programId"] == program
        switch(product, None)
        wait_for("drops again", lambda: drops(cluster), 10)
    finally:
        switch(product, None)
        if operator_away:
            scale_operator(product, 2)


def test_the_local_switch_needs_no_api(enforcing: Product, cluster: Cluster) -> None:
    """`spillway off` at the node works without an API server, and holds until `spillway on`."""
    product, node = enforcing, cluster.node(1)
    pod = product.dataplane_pod("node1")
    product.kubectl("-n", NAMESPACE, "exec", pod, "--", "spillway", "version")
    agent = [
        "sh",
        "-c",
        "nsenter -t $(pgrep -o -f 'spillway_dataplane$') -m -p -r -w -- /opt/spillway/bin/spillway \"$0\" --output json",
    ]
    cluster.api_stop()
    try:
        node.run([*agent, "off"])
        wait_for("no drop", lambda: passes(cluster), 10)
    finally:
        cluster.api_start()
    wait_for("the filter says so", lambda: "Off" in json.dumps(product.node_dataplane("node1")["status"].get("filters", [])), 60)
    node.run([*agent, "on"])
    wait_for("drops again", lambda: drops(cluster), 10)
