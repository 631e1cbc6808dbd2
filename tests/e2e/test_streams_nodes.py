"""Pods that may run on some nodes only, and wait there for a queue: told who has it, and nothing that leads astray."""

from __future__ import annotations

import pytest

from tests.e2e.product import Json, condition, wait_for
from tests.e2e.streams import NODE1, SMALL_BARS, Studio, Way, own_claim, sender_pod, stream
from tests.e2e.test_streams_queues import events_of, unscheduled, wait_event

pytestmark = pytest.mark.long
HOST = "kubernetes.io/hostname"
HELD = "queue 1 on node1 is held by BypassStream studio/holder (pod studio/holder)"
NO_OTHER = "this pod may run on no other node that has one"


@pytest.fixture
def way() -> Way:
    """A group, which both nodes have a way to."""
    return Way("239.10.0.50")


def affinity(**term: Json) -> Json:
    wanted = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}}


def asks(key: str, operator: str, *values: str) -> list[Json]:
    return [{"key": key, "operator": operator, "values": list(values)}]


def bound(studio: Studio, name: str, choice: Json) -> Json:
    """A pod that chooses its nodes so."""
    pod = sender_pod(studio.product, name, node=None, RATE=500)
    pod["spec"] |= choice
    return pod


def named(studio: Studio, name: str) -> str:
    """What a stream says once it has been told which pod waits for it."""
    message = studio.message(name)
    return message if f"pod {name} waits for " in message else ""


CHOICES = {
    "nodeSelector": {"nodeSelector": {HOST: "node1"}},
    "affinity": affinity(matchExpressions=asks(HOST, "In", "node1")),
    "any node but one": affinity(matchExpressions=asks(HOST, "NotIn", "node2")),
    "a DaemonSet's": affinity(matchFields=asks("metadata.name", "In", "node1")),
}


def holder(studio: Studio, way: Way) -> tuple[Json, Json]:
    return stream("holder", way, txQueue=1), sender_pod(studio.product, "holder", RATE=500)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
def test_who_has_the_queue_is_told(studio: Studio, way: Way, choice: Json) -> None:
    """Though node2 has the queue free, where the pod may not run. It begins when the holder goes."""
    with studio.running(*holder(studio, way)):
        studio.wait_said("holder", "ring")
        with studio.running(stream("bound", way, txQueue=1), bound(studio, "bound", choice)):
            wait_event(studio, "bound", "QueueTaken", "queue 1 of eth1", HELD, NO_OTHER)
            message = wait_for("the pod in the stream's words", lambda: named(studio, "bound"), 60)
            assert HELD in message
            studio.delete("holder")
            studio.wait_said("bound", "ring")


def test_a_built_in_source_is_told_in_its_stream(studio: Studio, way: Way) -> None:
    """Its stream says on which nodes it may run: so the stream says who has the queue there."""
    bars = stream("bars", way, source={"video": SMALL_BARS}, nodeSelector=NODE1, txQueue=1)
    with studio.running(*holder(studio, way)):
        studio.wait_said("holder", "ring")
        with studio.running(bars):
            message = condition(studio.wait_stream("bars", "Conflict"), "Ready")["message"]
            assert HELD in message
            assert "node2" not in message
            studio.delete("holder")
            studio.wait_stream("bars", "Ready")


def test_a_free_queue_where_a_pod_may_run_is_no_taken_one(studio: Studio, way: Way) -> None:
    """A pod that waits for something else is told of nobody, in the same look in which its neighbour is."""
    elsewhere = sender_pod(studio.product, "elsewhere", node="node2")
    elsewhere["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "900"}
    with (
        studio.running(*holder(studio, way)),
        studio.running(own_claim("elsewhere", way, queue=1), elsewhere, own_claim("here", way, queue=1)),
    ):
        studio.wait_said("holder", "ring")
        wait_for("the scheduler's words", lambda: "Insufficient cpu" in unscheduled(studio, "elsewhere"), 30)
        with studio.running(sender_pod(studio.product, "here")):
            wait_event(studio, "here", "QueueTaken", HELD, NO_OTHER)
            assert events_of(studio, "elsewhere", "QueueTaken") == []


def test_a_pod_that_may_run_elsewhere_does(studio: Studio, way: Way) -> None:
    choice = affinity(matchExpressions=asks(HOST, "In", "node1", "node2"))
    with studio.running(*holder(studio, way)):
        studio.wait_said("holder", "ring")
        with studio.running(stream("free", way, txQueue=1), bound(studio, "free", choice)):
            studio.wait_said("free", "ring")
            assert studio.pod("free")["spec"]["nodeName"] == "node2"
            assert events_of(studio, "free", "QueueTaken") == []


def test_a_node_that_takes_no_pods_has_no_free_queue(studio: Studio, way: Way) -> None:
    """While node2 is cordoned, who may run anywhere waits for node1's queue."""
    studio.product.kubectl("cordon", "node2")
    try:
        with studio.running(*holder(studio, way)):
            studio.wait_said("holder", "ring")
            with studio.running(stream("any", way, txQueue=1), sender_pod(studio.product, "any", node=None, RATE=500)):
                wait_event(studio, "any", "QueueTaken", HELD, NO_OTHER)
                studio.product.kubectl("uncordon", "node2")
                studio.wait_said("any", "ring")
                assert studio.pod("any")["spec"]["nodeName"] == "node2"
    finally:
        studio.product.kubectl("uncordon", "node2")
