"""From a claim to the wire: pods without any privilege send through a queue, and another node counts what arrives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Json, condition, wait_for
from tests.e2e.streams import Studio, Way, own_claim, sender_pod, stream
from tests.e2e.traffic import witness
from tests.traffic.counting import backlog_drops

CAPABILITY_BITS = (12, 13, 14)  # NET_ADMIN, NET_RAW, IPC_LOCK
MILLION = 1_000_000
RATE_PPS = 150_000  # what this machine's softirqs carry to the other node without a loss
SIZE = 1_000
SAMPLE = 20_000
NUMBER = slice(6, 14)  # of the payload: the first multiple of eight behind 42 bytes of headers


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address)


@pytest.fixture
def sample(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The first packets that reach node2 by UDP, whole."""
    file = tmp_path / "sample.pcap"
    argv = ["tcpdump", "-ni", "eth1", "-c", SAMPLE, "-B", 65536, "-w", file, "udp", "and", "dst", "port", 5004]
    with cluster.node(2).net.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as capture:
        assert capture.stderr is not None
        capture.stderr.readline()  # "listening on": from here on nothing is missed
        yield file
        capture.terminate()


FIELDS = ("eth.src", "eth.dst", "ip.src", "ip.dst", "ip.ttl", "ip.dsfield.dscp", "udp.srcport", "udp.dstport", "udp.length")
CHECKED = ("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
BAD = "ip.checksum.status == Bad || udp.checksum.status == Bad || _ws.malformed"


def tshark(file: Path, *args: str) -> list[str]:
    argv = ["tshark", "-nr", str(file), "-d", "udp.port==5004,data", *CHECKED, *args]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_million_packets_of_nobody_special(studio: Studio, cluster: Cluster, way: Way, sample: Path) -> None:
    """uid 1000, no capability, read-only root, the restricted profile: each packet it sends arrives, as the stream says."""
    flow = {"sourcePort": 6004, "ttl": 17, "dscp": 46}
    manifest = stream("camera", way, flow=flow, pacing={"packetsPerSecond": RATE_PPS}, txQueue=2)
    lost = backlog_drops()
    with (
        witness(cluster, 2, way.port) as seen,
        studio.running(manifest, sender_pod(studio.product, "camera", COUNT=MILLION, SIZE=SIZE, STAY=60)),
    ):
        told = studio.wait_said("camera", "sent")
        assert (told["sent"], told["packets"]) == (MILLION, MILLION)
        assert backlog_drops() == lost, "a queue of this machine overflowed; the counts would not add up"
        wait_for("all of them at node2", lambda: seen.passed() == {way.port: MILLION}, 5)
        assert studio.wait_said("camera", "ring")["queue"] == 2
        found = studio.wait_stream("camera", "Ready")
        shown = {key: found["status"].get(key) for key in ("node", "interface", "queue", "bindMode")}
        assert shown == {"node": "node1", "interface": "eth1", "queue": 2, "bindMode": "Copy"}
    check_sample(cluster, sample)


def check_sample(cluster: Cluster, sample: Path) -> None:
    wait_for("the sample", lambda: sample.exists() and len(tshark(sample)) == SAMPLE)
    assert tshark(sample, "-Y", BAD) == []
    shown = [part for name in (*FIELDS, "data.data") for part in ("-e", name)]
    rows = [line.split("\t") for line in tshark(sample, "-T", "fields", *shown)]
    one, two = cluster.node(1).studio, cluster.node(2).studio
    assert {tuple(row[:-1]) for row in rows} == {
        (one.mac, two.mac, one.address, two.address, "17", "46", "6004", "5004", str(SIZE + 8)),
    }
    numbers = [int.from_bytes(bytes.fromhex(row[-1])[NUMBER], "little") for row in rows]
    assert numbers == list(range(SAMPLE))


def test_a_claim_of_ones_own(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Who wants no BypassStream writes the claim; the node says in it what the kernel gave."""
    pod = sender_pod(studio.product, "own", RATE=2000)
    with witness(cluster, 2, way.port) as seen, studio.running(own_claim("own", way), pod):
        studio.wait_said("own", "ring")
        wait_for("packets", lambda: seen.passed()[way.port] > 1000)
        assert studio.wait_device("own", "Ready", "Ready")["status"] == "True"
        device: Json = studio.device("own")
        assert device["pool"] == "node1"
        assert device["data"]["bindMode"] == "Copy"
        assert device["networkData"]["hardwareAddress"] == cluster.node(1).studio.mac
        wait_for("a holder that is seen", lambda: condition(studio.device("own"), "Connected")["status"] == "True")
        assert proc_status(studio, "studio", "own", "app") == {"CapEff": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2}


@pytest.mark.long
def test_a_claim_however_its_json_was_written(studio: Studio, way: Way) -> None:
    """kubectl packs and sorts what it sends. Others do not, and then the API server takes no patch of the claim's status."""
    raw = json.dumps(own_claim("spread", way), indent=2)
    claims = "/apis/resource.k8s.io/v1/namespaces/studio/resourceclaims"
    with studio.running(sender_pod(studio.product, "spread", RATE=500)):
        studio.product.kubectl("create", "--raw", claims, "-f", "-", stdin=raw)
        studio.wait_said("spread", "ring")
        studio.wait_device("spread", "Connected", "Held")
        assert studio.device("spread")["data"]["bindMode"] == "Copy"
        before = studio.device("spread")["data"].get("packets", 0)
        wait_for("later counts", lambda: studio.device("spread")["data"].get("packets", 0) > before, 60)


def proc_status(studio: Studio, namespace: str, pod: str, container: str) -> dict[str, int]:
    """What the kernel shows of the rights of a container's first process."""
    text = studio.product.kubectl("-n", namespace, "exec", pod, "-c", container, "--", "cat", "/proc/1/status")
    found = dict(line.split(":", 1) for line in text.splitlines())
    return {key: int(found[key].strip(), 16) for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}


def test_the_driver_holds_three_capabilities(studio: Studio) -> None:
    """It cannot load a program into the kernel, nor read its memory."""
    three = sum(1 << bit for bit in CAPABILITY_BITS)
    found = proc_status(studio, NAMESPACE, studio.product.dataplane_pod("node1"), "streams")
    assert found == {"CapEff": three, "CapBnd": three, "NoNewPrivs": 1, "Seccomp": 2}
