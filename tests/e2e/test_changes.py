"""Whatever is changed, killed or away: the flood stays out, valid packets come through, and the counts go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.cluster import Cluster
from tests.e2e.product import DATAPLANE_PODS, NAMESPACE, Json, Product, flood_filter, rule, wait_for
from tests.e2e.traffic import Witness, udp_frames, witness
from tests.traffic import Flood, start_flood
from tests.traffic.counting import backlog_drops
from tests.traffic.frames import random_sources

FLOOD_PORT, VALID_PORT = 40011, 40012
RATE_PPS = 10_000


@dataclass(slots=True)
class River:
    """A flood and valid packets on node1 at the same time, for as long as the test wants."""

    cluster: Cluster
    flood: Flood
    valid: Flood
    witness: Witness
    lost_before: int

    def stop(self) -> tuple[int, int]:
        """End both; return how many flood packets and valid packets were sent."""
        sent, sent_valid = self.flood.stop(), self.valid.stop()
        assert backlog_drops() == self.lost_before, "a queue of this machine overflowed; the counts would not add up"
        wait_for("the last valid packet", lambda: self.witness.passed()[VALID_PORT] == sent_valid, 5)
        return sent, sent_valid


@contextmanager
def river(cluster: Cluster) -> Iterator[River]:
    """Let both flow; they end with the block, also after a failure."""
    attacker, client = cluster.host("attacker").netns, cluster.host("client").netns
    frames = udp_frames(cluster, 1, random_sources("198.18", 300, seed=5), 53, FLOOD_PORT, size=200)
    valid = udp_frames(cluster, 1, ["198.19.0.1"], 5000, VALID_PORT, size=200)
    limit = RATE_PPS * 600
    with witness(cluster, 1, FLOOD_PORT, VALID_PORT) as passed:
        lost = backlog_drops()
        floods = [
            start_flood(attacker, "eth0", frames, limit, RATE_PPS),
            start_flood(client, "eth0", valid, limit // 10, RATE_PPS // 10),
        ]
        try:
            yield River(cluster, *floods, passed, lost)
        finally:
            for each in floods:
                if each.process.poll() is None:
                    each.stop()


def steady(extra: list[Json] | None = None, **spec: object) -> Json:
    """The filter under test: one rule that never changes, after rules that do."""
    flood = rule("flood", protocol="UDP", destinationPorts=[str(FLOOD_PORT)])
    return flood_filter("steady", [*(extra or []), flood], **spec)


def change_policy(product: Product, number: int) -> None:
    """One more change: another rule before, another priority, another exemption, in turn."""
    other = rule(f"other-{number % 7}", protocol="UDP", sources=[f"203.0.113.{number % 250}/32"])
    variants: list[Json] = [
        steady([other]),
        steady(priority=1 + number % 1000),
        steady(exempt=[f"192.0.2.{number % 250}/32"]),
        steady([other, rule("syn", protocol="TCP", tcpFlags={"set": ["SYN"], "unset": ["ACK"]}, destinationPorts=["9"])]),
    ]
    product.apply(variants[number % len(variants)])


def make_changes(product: Product, cluster: Cluster, changes: int) -> None:
    product.apply(steady())
    product.wait_ready("steady")
    before = product.totals("steady").get("droppedPackets", 0)
    with river(cluster) as flowing:
        for number in range(changes):
            change_policy(product, number)
            product.wait_ready("steady")
        sent, _ = flowing.stop()
        totals = product.wait_matched("steady", before + sent)
        assert flowing.witness.passed()[FLOOD_PORT] == 0
    assert totals["droppedPackets"] == before + sent


def test_policy_changes_under_flood(product: Product, cluster: Cluster) -> None:
    """No flood packet is let through and no valid one is lost over many programs; the rule's counts go on."""
    make_changes(product, cluster, 20)


@pytest.mark.long
def test_two_hundred_policy_changes_under_flood(product: Product, cluster: Cluster) -> None:
    make_changes(product, cluster, 200)


# ---- what may go away while the filter stays ----------------------------------------------------------------------------


def kill_agent(product: Product, cluster: Cluster) -> None:
    pod = product.dataplane_pod("node1")
    before = restarts(product, pod)
    cluster.node(1).run(["pkill", "-9", "-f", "spillway_dataplane"])
    wait_for("the agent's restart", lambda: restarts(product, pod) > before, 60)
    wait_for("a ready agent", lambda: product.dataplane_pod("node1") == pod, 60)


def restarts(product: Product, pod: str) -> int:
    statuses = product.get("pod", "-n", NAMESPACE, pod)["status"].get("containerStatuses", [])
    return sum(each["restartCount"] for each in statuses)


def kill_operator(product: Product, _: Cluster) -> None:
    selector = "app.kubernetes.io/component=operator"
    product.kubectl("-n", NAMESPACE, "delete", "pod", "-l", selector, "--force", "--grace-period=0")
    product.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/spillway-operator", "--timeout=120s")


def take_api_away(_: Product, cluster: Cluster) -> None:
    cluster.api_stop()
    time.sleep(30)
    cluster.api_start()


def restart_kubelets(product: Product, cluster: Cluster) -> None:
    """All of them: one that lost the API server looks for it half a minute late, and would hold up what follows."""
    for node in cluster.nodes:
        node.restart_kubelet()
    product.wait_pods_ready()


def replace_dataplane_pod(product: Product, _: Cluster) -> None:
    product.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset/spillway-dataplane")
    product.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/spillway-dataplane", "--timeout=180s")


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(kill_agent, id="agent killed with -9"),
        pytest.param(kill_operator, id="operator killed"),
        pytest.param(take_api_away, id="API server away for 30 s"),
        pytest.param(restart_kubelets, id="kubelets restarted"),
        pytest.param(replace_dataplane_pod, id="dataplane pod replaced"),
    ],
)
def test_the_filter_stays(product: Product, cluster: Cluster, disturb: Callable[[Product, Cluster], None]) -> None:
    """The program stays in the kernel whoever dies, and its counts are adopted."""
    product.apply(steady())
    product.wait_ready("steady")
    program = program_id(product)
    with river(cluster) as flowing:
        disturb(product, cluster)
        sent, _ = flowing.stop()
        totals = product.wait_matched("steady", sent, 120)
        assert flowing.witness.passed()[FLOOD_PORT] == 0
    assert totals["droppedPackets"] == sent
    assert program_id(product) == program


def program_id(product: Product) -> int:
    (interface,) = product.node_dataplane("node1")["status"]["interfaces"]
    return int(interface["programId"])


def test_deletion_does_not_wait_for_the_operator(product: Product, cluster: Cluster) -> None:
    """With the operator away a deletion returns at once; the node keeps its order, and follows when the operator is back."""
    product.apply(steady())
    product.wait_ready("steady")
    scale_operator(product, 0)
    try:
        product.kubectl("delete", "floodfilter", "steady", "--timeout=5s")
        time.sleep(3)
        assert product.node_dataplane("node1")["spec"]["filters"]
    finally:
        scale_operator(product, 2)
    wait_for("an order without the filter", lambda: not product.node_dataplane("node1")["spec"].get("filters"), 60)
    wait_for("a kernel that passes everything", lambda: passes(cluster), 30)


def scale_operator(product: Product, replicas: int) -> None:
    product.kubectl("-n", NAMESPACE, "scale", "deployment/spillway-operator", f"--replicas={replicas}")
    product.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/spillway-operator", "--timeout=120s")
    if replicas == 0:
        selector = ("-l", "app.kubernetes.io/component=operator")
        wait_for("no operator", lambda: not product.get_all("pods", "-n", NAMESPACE, *selector), 60)


def passes(cluster: Cluster) -> bool:
    """A few flood packets all reach the kernel."""
    frames = udp_frames(cluster, 1, ["198.18.0.1"], 53, FLOOD_PORT, size=200)
    with witness(cluster, 1, FLOOD_PORT) as passed:
        sent = start_flood(cluster.host("attacker").netns, "eth0", frames, 20, 1000).finish()
        time.sleep(0.2)
        return passed.passed()[FLOOD_PORT] == sent


# ---- power cuts ---------------------------------------------------------------------------------------------------------


@contextmanager
def agent_cut_off(cluster: Cluster) -> Iterator[None]:
    """The agent of node1 reaches no API server: its way is the service address, which the kubelet does not use."""
    inside = cluster.node(1)
    rule_text = "table ip cut_off { chain out { type filter hook output priority raw; ip daddr 10.96.0.1 drop\n }\n}"
    inside.run(["nft", "-f", "-"], input=rule_text)
    try:
        yield
    finally:
        inside.run(["nft", "delete", "table", "ip", "cut_off"])


def test_power_cut_with_operator_away_and_api_blocked(product: Product, cluster: Cluster) -> None:
    """A node that comes back filters as soon as its pod runs, from its own disk."""
    product.apply(steady())
    product.wait_ready("steady")
    scale_operator(product, 0)
    try:
        cluster.node(1).kill()
        cluster.node(1).start()
        with agent_cut_off(cluster):
            wait_for("the flood dropped again", lambda: drops(cluster), 180, 1.0)
    finally:
        scale_operator(product, 2)
    product.wait_ready("steady", 120)
    assert product.get_all("pods", "-n", NAMESPACE, "-l", DATAPLANE_PODS)


def drops(cluster: Cluster) -> bool:
    """A few flood packets all die before the kernel."""
    frames = udp_frames(cluster, 1, ["198.18.0.1"], 53, FLOOD_PORT, size=200)
    with witness(cluster, 1, FLOOD_PORT) as passed:
        start_flood(cluster.host("attacker").netns, "eth0", frames, 20, 1000).finish()
        time.sleep(0.2)
        return passed.passed()[FLOOD_PORT] == 0
