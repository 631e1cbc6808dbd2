"""What kubelet and people do to a node's driver: wiped slices, claims in the wrong order, evictions, a power cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Json, wait_for
from tests.e2e.streams import QUEUES, Studio, Way, own_claim, sender_pod, stream
from tests.e2e.traffic import Witness, witness

ROOT = Path(__file__).parents[2]
SLOW = {"RATE": 500, "SIZE": 200}
BOOT_S = 180.0  # kubelet's first try to prepare comes before the driver's own pod, its next one after 70 to 80 s


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address)


def wait_flowing(seen: Witness, way: Way, timeout_s: float = 30.0) -> None:
    before = seen.passed()[way.port]
    wait_for("more packets at node2", lambda: seen.passed()[way.port] > before + 100, timeout_s)


def spillway(cluster: Cluster, *words: str) -> Json:
    """The command as somebody calls it who has a kubeconfig."""
    command = [sys.executable, "-m", "spillway_dataplane.cli", *words, "-o", "json"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def metrics(address: str) -> list[str]:
    """What a scrape of a node's driver gives."""
    with urllib.request.urlopen(f"http://{address}:9466/metrics", timeout=10) as answer:
        return list(answer.read().decode().splitlines())


def test_a_kubelet_that_wipes_the_slices_costs_nobody_a_queue(studio: Studio, cluster: Cluster, way: Way) -> None:
    """It does so at each start. Who sends goes on; who comes finds the other queues."""
    with (
        witness(cluster, 2, way.port) as seen,
        studio.running(own_claim("stays", way, queue=1), sender_pod(studio.product, "stays", **SLOW)),
    ):
        wait_flowing(seen, way)
        before = studio.slice_of("node1")["metadata"]["uid"]
        cluster.node(1).restart_kubelet()
        wait_for("another slice", lambda: studio.slice_of("node1").get("metadata", {}).get("uid", before) != before, 60)
        assert len(studio.devices("node1")) >= len(QUEUES)
        wait_flowing(seen, way)
        with studio.running(own_claim("comes", way, queue=2), sender_pod(studio.product, "comes", **SLOW)):
            assert studio.wait_said("comes", "ring")["queue"] == 2


def test_the_successor_of_a_pod_that_was_deleted_by_force_begins_in_seconds(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Its claim is prepared before the old one is given back; a refusal would be asked about again after a minute."""
    kubectl = studio.product.kubectl
    with studio.running(own_claim("first", way, queue=1), sender_pod(studio.product, "first", **SLOW)):
        studio.wait_said("first", "ring")
        kubectl("-n", "studio", "delete", "pod", "first", "--force", "--grace-period=0")
        kubectl("-n", "studio", "delete", "resourceclaim", "first", "--wait=false")
        with studio.running(own_claim("second", way, queue=1), sender_pod(studio.product, "second", **SLOW)):
            studio.wait_said("second", "ring", 45)
            studio.wait_device("second", "Connected", "Held")


def test_a_deleted_stream_ends_when_who_holds_it_is_evicted(studio: Studio, cluster: Cluster, way: Way) -> None:
    kubectl = studio.product.kubectl
    with studio.running(stream("doomed", way, txQueue=3), sender_pod(studio.product, "doomed", **SLOW)):
        studio.wait_stream("doomed", "Ready")
        (row,) = [each for each in spillway(cluster, "streams", "-n", "studio")["rings"] if each["name"] == "doomed"]
        shown = (row["stream"], row["ready"], row["node"], row["interface"], row["queue"], row["mode"], row["pods"])
        assert shown == (True, True, "node1", "eth1", 3, "Copy", ["doomed"])
        labels = 'claim="doomed",interface="eth1",namespace="studio",queue="3",ring="ring"'
        assert f"spillway_ring_held{{{labels}}} 1.0" in metrics(cluster.node(1).address)
        kubectl("-n", "studio", "delete", "bypassstream", "doomed")
        wait_for("the claim's end to be asked for", lambda: studio.claim("doomed")["metadata"].get("deletionTimestamp"), 30)
        assert studio.phase("doomed") == "Running", "an application's ring ends with its pod, not before"
        told = spillway(cluster, "streams", "evict", "doomed", "-n", "studio")
        assert told == {"claim": "studio/doomed", "evicted": ["doomed"]}
        wait_for("pod and claim to be gone", lambda: not studio.pod("doomed") and not studio.claim("doomed"), 60)


@pytest.mark.long
def test_a_power_cut_loses_no_queue(studio: Studio, cluster: Cluster, way: Way) -> None:
    """The same claim is prepared again from the node's disk, its ring is opened anew, and its end frees the queue."""
    manifest = sender_pod(studio.product, "phoenix", **SLOW)
    manifest["spec"]["restartPolicy"] = "Always"
    with witness(cluster, 2, way.port) as seen:
        with studio.running(own_claim("phoenix", way, queue=1), manifest):
            wait_flowing(seen, way)
            cluster.node(1).kill()
            cluster.node(1).start()
            wait_flowing(seen, way, BOOT_S)
            studio.wait_device("phoenix", "Connected", "Held")
        with studio.running(own_claim("next", way, queue=1), sender_pod(studio.product, "next", **SLOW)):
            studio.wait_said("next", "ring")
