"""What happens to a running stream when everything around it changes, counted at the far end to the packet.

tests/kernel/test_ring*.py has each change in its finest form; here the pieces are the real ones, put together by kubelet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster
from tests.cluster.addresses import STUDIO_BRIDGE, SWITCH
from tests.cluster.network import ip
from tests.cluster.shell import output
from tests.e2e.product import NAMESPACE, Json, condition, flood_filter, rule, wait_for
from tests.e2e.streams import UP_S, Studio, Way, sender_pod, stream
from tests.e2e.traffic import Witness, udp_frames, witness
from tests.traffic import start_flood

RATE_PPS = 2000
OTHER_MAC = "02:0a:62:00:00:99"
GATEWAY, GATEWAY_NET = "10.98.0.1", "10.98.0.1/24"


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address)


@contextmanager
def sending(
    studio: Studio, cluster: Cluster, way: Way, name: str = "live", queue: int = 2, **environment: object
) -> Iterator[Witness]:
    """A stream that sends all the time, and a witness at node2."""
    manifest = stream(name, way, txQueue=queue, pacing={"packetsPerSecond": RATE_PPS})
    with witness(cluster, 2, way.port) as seen, studio.running(manifest, sender_pod(studio.product, name, **environment)):
        wait_for("the first packets", lambda: seen.passed()[way.port] > 100, UP_S)
        yield seen


def wait_flowing(seen: Witness, way: Way, packets: int = RATE_PPS // 2) -> None:
    """Wait until so many more packets have come."""
    target = seen.passed()[way.port] + packets
    wait_for("packets to flow", lambda: seen.passed()[way.port] >= target, 30)


def end(studio: Studio, name: str = "live") -> Json:
    """Ask the sender to stop; return what it says that it sent. Its pod and log stay until the block's end."""
    studio.product.kubectl("-n", "studio", "exec", name, "--", "/bin/sh", "-c", "kill -15 1")
    return studio.wait_said(name, "sent", 30)


def restarts(studio: Studio, node: str) -> dict[str, int]:
    """How often each container of the node's dataplane pod was started again, {} while the pod is not ready."""
    name = studio.product.dataplane_pod(node)
    if not name:
        return {}
    pod = studio.product.get("pod", name, "-n", NAMESPACE)
    return {each["name"]: each["restartCount"] for each in pod["status"]["containerStatuses"]}


def test_the_header_follows_the_way(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Another MAC of the next hop, another route, and a link that goes down and up: told each time, and it goes on."""
    one, two = cluster.node(1).net, cluster.node(2).net
    with sending(studio, cluster, way) as seen:
        two.run(["sysctl", "-qw", "net.ipv4.conf.eth1.arp_notify=1"])
        two.run(["ip", "link", "set", "eth1", "address", OTHER_MAC])
        try:
            wait_next_hop(studio, OTHER_MAC)
            wait_flowing(seen, way)
        finally:
            two.run(["ip", "link", "set", "eth1", "address", cluster.node(2).studio.mac])
        wait_next_hop(studio, cluster.node(2).studio.mac)
        with gateway() as mac:
            one.run(["ip", "route", "add", f"{way.destination}/32", "via", GATEWAY, "dev", "eth1"])
            wait_next_hop(studio, mac)
            one.run(["ip", "route", "del", f"{way.destination}/32", "via", GATEWAY, "dev", "eth1"])
        wait_next_hop(studio, cluster.node(2).studio.mac)
        wait_flowing(seen, way)
        one.run(["ip", "link", "set", "eth1", "down"])
        try:
            assert "eth1" in condition(studio.wait_stream("live", "LinkDown"), "Ready")["message"]
        finally:
            one.run(["ip", "link", "set", "eth1", "up"])
        studio.wait_stream("live", "Ready")
        wait_flowing(seen, way)
        told = end(studio)
        assert told["refused"] > 0, "packets that found no way are counted by the application"
        assert seen.passed()[way.port] + told["refused"] <= told["sent"]


def wait_next_hop(studio: Studio, mac: str) -> None:
    wait_for(f"next hop {mac}", lambda: studio.device("live").get("data", {}).get("nextHopMac") == mac, 30)


@contextmanager
def gateway() -> Iterator[str]:
    """Somebody else who takes packets on the segment of `eth1`; yields the MAC address."""
    ip(SWITCH, "addr", "add", GATEWAY_NET, "dev", STUDIO_BRIDGE)
    try:
        yield output(["ip", "-n", SWITCH, "-br", "link", "show", STUDIO_BRIDGE]).split()[2]
    finally:
        ip(SWITCH, "addr", "del", GATEWAY_NET, "dev", STUDIO_BRIDGE)


def test_a_driver_killed_and_a_pod_upgraded_cost_no_packet(studio: Studio, cluster: Cluster, way: Way) -> None:
    """The application does not notice: what it sent is what came, and the new process says so of the old claim."""
    with sending(studio, cluster, way) as seen:
        before = restarts(studio, "node1")["streams"]
        cluster.node(1).run(["pkill", "-9", "-f", "spillway_dataplane streams"])
        wait_for("another process", lambda: restarts(studio, "node1").get("streams") == before + 1, 60)
        wait_flowing(seen, way)
        studio.product.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset/spillway-dataplane")
        studio.product.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/spillway-dataplane", "--timeout=180s")
        studio.product.wait_pods_ready()
        wait_flowing(seen, way)
        studio.wait_stream("live", "Ready")
        told = end(studio)
        assert seen.passed() == {way.port: told["sent"]}
        assert told["packets"] == told["sent"]


def test_an_application_killed_with_frames_in_flight_gets_its_ring_again(studio: Studio, cluster: Cluster, way: Way) -> None:
    manifest = sender_pod(studio.product, "phoenix", RATE=0, SIZE=200)
    manifest["spec"]["restartPolicy"] = "Always"
    with witness(cluster, 2, way.port) as seen, studio.running(stream("phoenix", way), manifest):
        wait_for("the first packets", lambda: seen.passed()[way.port] > 1000, UP_S)
        cluster.node(1).run(["pkill", "-9", "-f", "/app/sender.py"])
        wait_for("the second life", lambda: lives(studio, "phoenix") == 1, 60)
        wait_for("the ring again", lambda: studio.said("phoenix", "ring"), 60)
        wait_flowing(seen, way)


def lives(studio: Studio, name: str) -> int:
    statuses = studio.pod(name).get("status", {}).get("containerStatuses", [])
    return int(statuses[0]["restartCount"]) if statuses else 0


def test_a_hostile_application_harms_nobody(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Beside it another stream and a filter work on, on the same card; the driver does not even restart."""
    node, dropped_port = cluster.node(1), 40071
    drop = flood_filter(
        "beside",
        [rule("flood", protocol="UDP", destinationPorts=[str(dropped_port)])],
        interfaces=["eth1"],
        rxQueues={"ids": [0, 1, 2, 3]},
    )
    hostile = sender_pod(studio.product, "hostile", script="hostile.py")
    other = Way(way.destination, 5010)
    before = restarts(studio, "node1")
    studio.product.apply(drop)
    with sending(studio, cluster, way) as seen, studio.running(stream("hostile", other, txQueue=1), hostile):
        studio.product.wait_ready("beside")
        studio.wait_said("hostile", "harm")
        sent = flood(cluster, node.studio.address, dropped_port)
        studio.product.wait_matched("beside", sent)
        told = end(studio)
        assert seen.passed() == {way.port: told["sent"]}
        assert restarts(studio, "node1") == before
        studio.product.kubectl("-n", "studio", "delete", "pod", "hostile", "--timeout=30s")
        studio.product.apply(sender_pod(studio.product, "hostile", RATE=500))
        studio.wait_said("hostile", "ring")
    studio.product.delete_filters()


def flood(cluster: Cluster, target: str, port: int, packets: int = 3000) -> int:
    """UDP from node2 over the second card to a node's own."""
    two, one = cluster.node(2), cluster.node(1)
    frame = udp_frames(cluster, 1, ["198.18.0.7"], 53, port)[0]
    frame = bytes.fromhex((one.studio.mac + two.studio.mac).replace(":", "")) + frame[12:]
    return start_flood(two.netns, "eth1", [frame], packets, 5000).finish()
