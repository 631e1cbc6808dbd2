"""`kubectl drain` of a node whose pods hold rings: it ends, and each stream says why it does not run, or runs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Json, condition, wait_for
from tests.e2e.remains import allocated, wait_no_rings
from tests.e2e.streams import NODE1, SMALL_BARS, UP_S, Studio, Way, sender_pod, sender_spec, stream
from tests.e2e.test_streams_queues import events_of
from tests.e2e.traffic import witness

pytestmark = pytest.mark.long
DRAIN_S = 100  # every pod there has a grace of 2 to 30 seconds


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address, 5020)


@pytest.fixture
def usable(studio: Studio) -> Iterator[None]:
    """Whatever happens, the next test may use both nodes."""
    yield
    for node in ("node1", "node2"):
        studio.product.kubectl("uncordon", node)
    studio.product.wait_pods_ready()


@contextmanager
def drained(studio: Studio, *flags: str) -> Iterator[None]:
    """node1, drained as people do it. kubectl fails if it takes too long."""
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={DRAIN_S}s", *flags)
    studio.product.kubectl("drain", "node1", *flags)
    try:
        yield
    finally:
        studio.product.kubectl("uncordon", "node1")


def deployment(name: str, spec: Json) -> Json:
    """One replica; the old pod ends before the new one begins."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {**spec, "restartPolicy": "Always"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "studio"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "strategy": {"type": "Recreate"}, "template": template},
    }


def test_applications_are_evicted_and_their_queues_free(studio: Studio, cluster: Cluster, way: Way, usable: None) -> None:
    """One pod that nobody makes again, and one of a Deployment, which begins again by itself once the node may be used."""
    other = Way(way.destination, way.port + 1)
    lone = sender_pod(studio.product, "lone", RATE=500)
    relay = deployment("relay", sender_spec(studio.product, "relay", RATE=500))
    with (
        witness(cluster, 2, other.port) as seen,
        studio.running(stream("lone", way, txQueue=1), lone, stream("relay", other, txQueue=2), relay),
    ):
        for name in ("lone", "relay"):
            studio.wait_stream(name, "Ready")
        with drained(studio, "--force"):
            assert not studio.pod("lone")
            wait_for("free queues", lambda: not allocated(studio.product, "node1"), 30)
            wait_no_rings(cluster, 1)
            studio.wait_stream("lone", "WaitingForPod")
            studio.wait_stream("relay", "WaitingForPod")
            wait_for("the pod that waits, by name", lambda: "pod relay-" in studio.message("relay"), 60)
        before = seen.passed()[other.port]
        studio.wait_stream("relay", "Ready")
        wait_for("its packets", lambda: seen.passed()[other.port] > before + 500, 30)
        studio.product.apply(lone)
        studio.wait_stream("lone", "Ready")


def test_sources_go_where_they_may(studio: Studio, cluster: Cluster, usable: None) -> None:
    """A node has their streams as owners' pods: no `--force`. One may run on node2 and does; the other waits, and comes back."""
    group, other = Way("239.10.0.20"), Way("239.10.0.21")  # which both nodes have a way to
    roaming = stream("roaming", group, source={"video": SMALL_BARS}, txQueue=1)
    fixed = stream("fixed", other, source={"video": SMALL_BARS}, nodeSelector=NODE1, txQueue=2)
    studio.product.kubectl("cordon", "node2")  # so that both begin on node1
    with studio.running(roaming, fixed):
        for name in ("roaming", "fixed"):
            assert studio.wait_stream(name, "Ready")["status"]["node"] == "node1"
        studio.product.kubectl("uncordon", "node2")
        with drained(studio):
            wait_for("the one that may, on node2", lambda: runs_on(studio, "roaming", "node2"), UP_S)
            assert events_of(studio, "roaming", "Finished") == [], "a pod that was evicted is not through"
            studio.wait_stream("fixed", "SourceWaits")
            wait_for("the scheduler's words", lambda: "unschedulable" in studio.message("fixed"), 30)
            wait_for("free queues", lambda: not allocated(studio.product, "node1"), 30)
            wait_no_rings(cluster, 1)
        wait_for("the other, on node1", lambda: runs_on(studio, "fixed", "node1"), UP_S)
        assert runs_on(studio, "roaming", "node2"), "who has moved stays there"


def runs_on(studio: Studio, name: str, node: str) -> bool:
    found = studio.stream(name)
    return condition(found, "Ready").get("status") == "True" and found["status"].get("node") == node
