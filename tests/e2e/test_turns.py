"""What makes a link flap is done in turns, never on more nodes at a time than the chart allows."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster, Node
from tests.e2e.product import Product, flood_filter, rule, wait_for

NODES = 5
FIRST_CARD, SECOND_CARD = "spare0", "spare1"  # cards that no program was ever on
TURN_SECONDS = 6
AGENT, OPERATOR = "spillway_dataplane", "spillway_operator"  # as their command lines say


@pytest.fixture
def five_nodes(installed: Product, cluster: Cluster) -> Iterator[Product]:
    """Five nodes with a spare card each; short turns, so that silence is noticed within the test."""
    while len(cluster.nodes) < NODES:
        cluster.add_node()
    for number in range(1, NODES + 1):
        for card in (FIRST_CARD, SECOND_CARD):
            add_card(cluster, number, card)
    installed.install({"disruption.turnSeconds": str(TURN_SECONDS), "disruption.maxUnavailable": "1"}, upgrade=True)
    installed.wait_pods_ready()
    installed.delete_filters()
    yield installed
    installed.delete_filters()
    for number in range(1, NODES + 1):
        for card in (FIRST_CARD, SECOND_CARD):
            cluster.node(number).run(["ip", "link", "del", card], check=False)


def add_card(cluster: Cluster, number: int, card: str) -> None:
    node = cluster.node(number)
    node.run(["ip", "link", "add", card, "type", "veth", "peer", "name", f"{card}p"])
    for name in (card, f"{card}p"):
        node.run(["ip", "link", "set", name, "up"])


class TurnWatch:
    """Every state of every node's turn, as the API server told it."""

    def __init__(self) -> None:
        self.most_at_once = 0
        self.had_a_turn: set[str] = set()
        self._allowed: set[str] = set()

    def take(self, name: str, attach: str) -> None:
        if attach == "Allowed":
            self._allowed.add(name)
            self.had_a_turn.add(name)
        else:
            self._allowed.discard(name)
        self.most_at_once = max(self.most_at_once, len(self._allowed))


@contextmanager
def watch_turns(cluster: Cluster) -> Iterator[TurnWatch]:
    """Follow all NodeDataplanes for as long as the block lasts."""
    argv = [str(cluster.home.bin / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", "get", "nodedataplanes", "--watch", "-o"]
    template = "{.metadata.name} {.spec.attach}{'\\n'}"
    process = subprocess.Popen([*argv, f"jsonpath={template}"], stdout=subprocess.PIPE, text=True)
    turns = TurnWatch()

    def follow() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            name, _, attach = line.strip().partition(" ")
            turns.take(name, attach)

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        yield turns
    finally:
        process.terminate()
        reader.join()
        process.communicate()


def everywhere(name: str, card: str) -> dict[str, object]:
    return flood_filter(name, [rule("flood", protocol="UDP", destinationPorts=["40041"])], node=None, interfaces=[card])


def test_five_nodes_attach_one_after_the_other(five_nodes: Product, cluster: Cluster) -> None:
    """Never two at a time, and all of them in the end."""
    with watch_turns(cluster) as turns:
        five_nodes.apply(everywhere("turns", FIRST_CARD))
        found = five_nodes.wait_ready("turns", 120)
    assert found["status"]["nodes"]["ready"] == NODES
    assert turns.most_at_once == 1
    assert len(turns.had_a_turn) == NODES


def test_a_node_that_falls_silent_in_its_turn_is_named(five_nodes: Product, cluster: Cluster) -> None:
    """node2's agent stops while it waits: it is named as failed, and every other node gets its turn."""
    try:
        with all_waiting(five_nodes, cluster):
            signal("STOP", AGENT, cluster.node(2))
        wait_for("the other four", lambda: ready_count(five_nodes) == NODES - 1, 120)
        wait_for("node2 named", lambda: "node2" in failed_nodes(five_nodes), 60)
    finally:
        signal("CONT", AGENT, *cluster.nodes)
    five_nodes.wait_ready("turns", 120)


@contextmanager
def all_waiting(product: Product, cluster: Cluster) -> Iterator[None]:
    """Every node waits for its turn, and the operator gives none before the block ends: a turn is too short to be caught."""
    signal("STOP", AGENT, *cluster.nodes)
    try:
        product.apply(everywhere("turns", SECOND_CARD))
        wait_for("five orders", lambda: all(ordered(product, each.name) for each in cluster.nodes))
        signal("STOP", OPERATOR, *cluster.nodes)
        signal("CONT", AGENT, *cluster.nodes)
        wait_for("five nodes waiting", lambda: all(waiting(product, each.name) for each in cluster.nodes))
        yield
    finally:
        signal("CONT", OPERATOR, *cluster.nodes)


def signal(name: str, process: str, *nodes: Node) -> None:
    for node in nodes:
        node.run(["pkill", f"-{name}", "-f", process], check=False)  # a node without that process is fine


def ordered(product: Product, node: str) -> bool:
    return "turns" in json.dumps(product.node_dataplane(node)["spec"].get("filters", []))


def waiting(product: Product, node: str) -> bool:
    return bool(product.node_dataplane(node).get("status", {}).get("waitingForTurn"))


def ready_count(product: Product) -> int:
    return int(product.filter("turns").get("status", {}).get("nodes", {}).get("ready", 0))


def failed_nodes(product: Product) -> str:
    return json.dumps(product.filter("turns").get("status", {}).get("failures", []))
