"""Who gets which queue: refusals that say why, rings that pass from one holder to the next, and what cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Json, condition, wait_for
from tests.e2e.streams import UP_S, Studio, Way, own_claim, sender_pod, sender_spec, stream
from tests.e2e.traffic import witness


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address)


def events_of(studio: Studio, name: str, reason: str, namespace: str = "studio") -> list[str]:
    """Messages of the Events about one object."""
    selector = f"involvedObject.name={name},reason={reason}"
    found = studio.product.get_all("events", "-n", namespace, "--field-selector", selector)
    return [str(each["message"]) for each in found]


def wait_event(studio: Studio, name: str, reason: str, *words: str) -> None:
    def told() -> bool:
        return any(all(word in message for word in words) for message in events_of(studio, name, reason))

    wait_for(f"Event {reason} of {name} with {words}", told, 60)


def unscheduled(studio: Studio, name: str) -> str:
    """What the scheduler says of a pod that it cannot place."""
    found = condition(studio.pod(name), "PodScheduled")
    return str(found["message"]) if found.get("reason") == "Unschedulable" else ""


IMPOSSIBLE = {
    "queue not on the list": (
        {"txQueue": 0},
        "QueueNotGranted",
        "namespace studio may not have queue 0 of eth1; granted to it: 1, 2, 3",
    ),
    "interface not on the list": ({"interface": "eth9"}, "QueueNotGranted", "has granted it none of eth9"),
    "interface that no node has": ({"interface": "eth7"}, "QueueNotFound", "no node offers a queue of eth7"),
    "namespace not on the list": ({"namespace": "lobby"}, "QueueNotGranted", "namespace lobby may not have a queue of eth1"),
}


@pytest.mark.parametrize(("fields", "reason", "words"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_cannot_be_had_is_said(studio: Studio, way: Way, fields: dict[str, Any], reason: str, words: str) -> None:
    manifest = stream("never", way, **fields)
    with studio.running(manifest):
        found = studio.wait_stream("never", reason, namespace=manifest["metadata"]["namespace"])
    assert words in condition(found, "Ready")["message"]


def test_zero_copy_that_the_driver_lacks_is_refused(studio: Studio, way: Way) -> None:
    """With the kernel's answer, in the stream and at the pod; it does not begin in another mode."""
    with studio.running(stream("strict", way, bindMode="ZeroCopy"), sender_pod(studio.product, "strict")):
        found = studio.wait_stream("strict", "NotSupported")
        message = condition(found, "Ready")["message"]
        assert "zero copy" in message
        wait_event(studio, "strict", "FailedPrepareDynamicResources", "zero copy")
        assert "bindMode" not in found["status"]
        assert studio.phase("strict") == "Pending"


def test_the_older_of_two_streams_keeps_the_queue(studio: Studio, cluster: Cluster, way: Way) -> None:
    """The younger, and the pod that waits for it, are told who has it; when that one goes, it begins."""
    elsewhere, older, younger = (
        stream(name, way, namespace=namespace, txQueue=1)
        for name, namespace in (("elsewhere", "news"), ("older", "studio"), ("younger", "studio"))
    )
    # node2 has a queue 1, too, and as long as that is free nobody is turned away: somebody of another namespace comes first there
    with studio.running(elsewhere), studio.running(older, sender_pod(studio.product, "older", RATE=500)):
        studio.wait_said("older", "ring")
        with studio.running(younger, sender_pod(studio.product, "younger", RATE=500)):
            message = condition(studio.wait_stream("younger", "Conflict"), "Ready")["message"]
            assert "queue 1 on node1 is held by BypassStream studio/older (pod studio/older)" in message
            wait_event(studio, "younger", "QueueTaken", "queue 1 of eth1", "studio/older")
            studio.delete("older")
            studio.wait_said("younger", "ring")
            wait_for("the stream", lambda: condition(studio.stream("younger"), "Ready").get("status") == "True", 30)


def hoarder(studio: Studio, claims: list[str]) -> Json:
    """A pod that has several rings and uses none."""
    spec = sender_spec(studio.product, claims[0])
    spec["resourceClaims"] = [{"name": each, "resourceClaimName": each} for each in claims]
    spec["containers"][0]["resources"]["claims"] = [{"name": each} for each in claims]
    spec["containers"][0]["command"] = ["/bin/sh", "-c", "trap 'exit 0' TERM; env | grep SPILLWAY_RING; sleep 600 & wait"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hoarder", "namespace": "studio"}, "spec": spec}


def test_more_claims_than_queues(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Three queues, three rings in one pod, each with a socket of its own; a fourth waits until they are given back."""
    names = ["one", "two", "three"]
    with studio.running(own_claim("fourth", way), sender_pod(studio.product, "fourth", RATE=500)):
        studio.wait_said("fourth", "ring")
        studio.product.kubectl("-n", "studio", "delete", "pod", "fourth", "--timeout=30s")
        with studio.running(*(own_claim(each, way) for each in names), hoarder(studio, names)):
            wait_for("the three rings", lambda: studio.phase("hoarder") == "Running", UP_S)
            shown = studio.product.kubectl("-n", "studio", "logs", "hoarder")
            assert all(f"SPILLWAY_RING_{each.upper()}_RING=/run/spillway/{each}.ring/ring.sock" in shown for each in names)
            assert {studio.claim(each)["status"]["allocation"]["devices"]["results"][0]["device"] for each in names} == {
                "eth1-tx1",
                "eth1-tx2",
                "eth1-tx3",
            }
            studio.product.apply(sender_pod(studio.product, "fourth", RATE=500))
            wait_for("the scheduler's words", lambda: "cannot allocate all claims" in unscheduled(studio, "fourth"), 30)
        studio.wait_said("fourth", "ring")


def test_a_rolling_update_hands_the_ring_over(studio: Studio, cluster: Cluster, way: Way) -> None:
    """The new pod waits at the socket while the old one sends, and goes on when that one ends; both are one claim's."""
    spec = sender_spec(studio.product, "relay", RATE=2000)
    spec["restartPolicy"] = "Always"
    labels = {"app": "relay"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "relay", "namespace": "studio"},
        "spec": {
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 3,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    with witness(cluster, 2, way.port) as seen, studio.running(stream("relay", way), deployment):
        wait_for("the first", lambda: seen.passed()[way.port] > 2000, UP_S)
        studio.product.kubectl("-n", "studio", "rollout", "restart", "deployment/relay")
        new = wait_for("the second", lambda: waiting_pod(studio), 60)
        before = seen.passed()[way.port]
        studio.product.kubectl("-n", "studio", "rollout", "status", "deployment/relay", "--timeout=60s")
        studio.wait_said(new, "ring")
        wait_for("packets of the second", lambda: seen.passed()[way.port] > before + 4000, 30)
        assert studio.stream("relay")["status"]["claim"] == "relay"


def waiting_pod(studio: Studio) -> str:
    """The pod that has said that it waits for the ring."""
    pods = studio.product.get_all("pods", "-n", "studio", "-l", "app=relay")
    names = [str(each["metadata"]["name"]) for each in pods]
    return next((name for name in names if studio.said(name, "waiting")), "")
