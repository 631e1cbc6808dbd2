"""The pod of a built-in source: what it is made of, when it is made and when it goes, and what its stream says meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.stream_objects import claim, sights, stream
from tests.unit.test_operator_streams import AT, DATA, said, situation

from spillway_operator.streams.plan import ClaimPlan, Obstacle, Step
from spillway_operator.streams.source_pod import SourceImage, made_of, plan_pod, pod_body, reduce_pod
from spillway_operator.streams.status import plan_stream_report
from spillway_operator.streams.wire import reduce_claim
from spillway_stream.source.spec import decode

BARS = {"widthPixels": 1920, "heightPixels": 1080, "exactFrameRate": "60000/1001", "pattern": "ColorBars"}
CLIP = {"widthPixels": 720, "heightPixels": 576, "exactFrameRate": "25", "file": "a/clip.raw", "interlaced": True}
LOOK = {"colorimetry": "BT601", "transferCharacteristicSystem": "SDR", "range": "FULL", "pixelAspectRatio": "16:11"}
LEG = {"interface": "eth1", "txQueue": 2, "flow": {"destinationAddress": "10.0.1.9", "destinationPort": 5006}}
IMAGE = SourceImage("registry.example/spillway-dataplane:1", "IfNotPresent")
CAMERA = stream("camera", source={"video": BARS}, pacing={"profile": "ST2110-21-Wide"}, clock={"source": "PTP"}, cpu=3)
TWICE = stream("twice", source={"video": {**BARS, "legs": [LEG]}})
CAPTURE = stream("flood", source={"pcap": {"file": "f.pcap", "volume": {"configMap": "captures"}, "loop": True, "speed": "0.5"}})
FREE = ClaimPlan(Step.KEEP)


def pod(of: dict[str, Any], **status: Any) -> dict[str, Any]:
    """The pod as the API server has it."""
    (seen,) = sights(of)
    made = pod_body(seen, IMAGE)
    return {**made, "metadata": {**made["metadata"], "uid": "uid-pod"}, "status": {"phase": "Running", **status}}


def told(of: dict[str, Any]) -> str:
    (container,) = pod(of)["spec"]["containers"]
    ((name, value),) = [(each["name"], each["value"]) for each in container["env"]]
    assert name == "SPILLWAY_SOURCE"
    return str(value)


@pytest.mark.parametrize(
    "of",
    [
        CAMERA,
        TWICE,
        CAPTURE,
        stream(source={"video": {**CLIP, "volume": {"persistentVolumeClaim": "clips"}}}),
        stream(source={"video": {**CLIP, **LOOK, "volume": {"configMap": "clips"}}}),
        stream(source={"video": {**BARS, "sampling": "RGB", "depthBits": 12, "payloadType": 120}}),
    ],
    ids=["pattern", "two legs", "capture", "clip", "a clip with all words for its SDP", "every other field"],
)
def test_the_source_understands_what_it_is_told(of):
    """By its own strict decoder, which the operator does not import."""
    spec = decode(told(of), "")
    assert spec.stream == f"studio/{of['metadata']['name']}"
    assert spec.uid == of["metadata"]["uid"]


def test_a_source_is_told_all_that_its_stream_says():
    spec = decode(told(CAMERA), "")
    assert (spec.cpu, spec.clock.source, spec.pacing.profile.value) == (3, "PTP", "ST2110-21-Wide")
    assert spec.rings == ("/run/spillway/ring/ring.sock",)
    assert decode(told(TWICE), "").rings == ("/run/spillway/ring/ring.sock", "/run/spillway/leg/ring.sock")


def test_the_pod_is_restricted_has_no_token_and_belongs_to_its_stream():
    made = pod(CAMERA)
    spec, (container,), (owner,) = made["spec"], made["spec"]["containers"], made["metadata"]["ownerReferences"]
    assert (made["metadata"]["name"], owner["kind"], owner["name"], owner["controller"]) == (
        "camera-source",
        "BypassStream",
        "camera",
        True,
    )
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "volumes", "affinity"}
    assert spec["resourceClaims"] == [{"name": "ring", "resourceClaimName": "camera"}]
    assert container["resources"]["claims"] == [{"name": "ring"}]
    assert container["image"] == IMAGE.name


def test_files_come_from_the_streams_own_namespace_and_nodes_by_its_selector():
    spec = pod(CAPTURE)["spec"]
    assert spec["volumes"] == [{"name": "media", "configMap": {"name": "captures", "optional": True}}]
    assert spec["containers"][0]["volumeMounts"] == [{"name": "media", "mountPath": "/media", "readOnly": True}]
    clip = stream(source={"video": {**CLIP, "volume": {"persistentVolumeClaim": "clips"}}})
    assert pod(clip)["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "clips", "readOnly": True}
    selector = {"matchLabels": {"studio": "true"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}
    chosen = pod(stream(source={"video": BARS}, nodeSelector=selector))["spec"]["affinity"]["nodeAffinity"]
    (term,) = chosen["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "studio", "operator": "In", "values": ["true"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    assert "affinity" not in pod(stream(source={"video": BARS}, nodeSelector={}))["spec"]


def test_a_second_leg_is_a_second_request_with_its_own_way():
    requests = sights(TWICE)[0].wanted["devices"]["requests"]
    configs = sights(TWICE)[0].wanted["devices"]["config"]
    assert [each["name"] for each in requests] == ["ring", "leg"]
    assert requests[1]["exactly"]["selectors"][0]["cel"]["expression"].endswith(".queue == 2")
    assert [each["opaque"]["parameters"]["flow"]["destinationAddress"] for each in configs] == ["10.0.0.9", "10.0.1.9"]
    assert all("pacing" not in each["opaque"]["parameters"] for each in configs), "the profile is the source's business"


def changed(of, **spec):
    return {**of, "spec": {**of["spec"], **spec}}


@pytest.mark.parametrize(
    ("of", "found", "plan", "has_claim", "step"),
    [
        pytest.param(CAMERA, None, FREE, True, Step.CREATE, id="made"),
        pytest.param(CAMERA, None, FREE, False, Step.KEEP, id="its claim first"),
        pytest.param(CAMERA, None, ClaimPlan(Step.KEEP, Obstacle("Conflict", "")), True, Step.KEEP, id="no queue for it"),
        pytest.param(CAMERA, None, ClaimPlan(Step.DELETE), True, Step.KEEP, id="its claim is an earlier one's"),
        pytest.param(stream(), None, FREE, True, Step.KEEP, id="an application's"),
        pytest.param(CAMERA, pod(CAMERA), FREE, True, Step.KEEP, id="as it has to be"),
        pytest.param(changed(CAMERA, cpu=4), pod(CAMERA), FREE, True, Step.DELETE, id="another spec"),
        pytest.param(changed(CAMERA, txQueue=2), pod(CAMERA), FREE, True, Step.DELETE, id="another claim"),
        pytest.param(
            changed(CAMERA, nodeSelector={"matchLabels": {"a": "b"}}), pod(CAMERA), FREE, True, Step.DELETE, id="elsewhere"
        ),
        pytest.param(stream("camera"), pod(CAMERA), FREE, True, Step.DELETE, id="an application's now"),
        pytest.param(
            changed(CAMERA, txQueue="no"), pod(CAMERA), FREE, True, Step.KEEP, id="a spec that makes no sense ends nothing"
        ),
        pytest.param(CAMERA, pod(CAMERA, phase="Failed"), FREE, True, Step.DELETE, id="evicted"),
        pytest.param(CAMERA, pod(CAMERA, phase="Succeeded"), FREE, True, Step.KEEP, id="through"),
        pytest.param(
            CAMERA,
            pod(CAMERA),
            ClaimPlan(Step.KEEP, Obstacle("Conflict", "")),
            True,
            Step.DELETE,
            id="waits for what it cannot have",
        ),
    ],
)
def test_pod(of, found, plan, has_claim, step):
    seen = reduce_pod(found) if found else None
    assert plan_pod(sights(of)[0], seen, plan, has_claim=has_claim) is step


def test_a_strangers_pod_and_one_that_ends_are_left_alone():
    other = replace(reduce_pod(pod(CAMERA)), owner_uid="somebody")
    leaving = replace(reduce_pod(pod(CAMERA)), made_of="old", deleting=True)
    for found in (other, leaving):
        assert plan_pod(sights(CAMERA)[0], found, FREE, has_claim=True) is Step.KEEP


def test_an_upgrade_ends_nobodys_picture():
    """The image is not part of what a pod is made of."""
    newer = {**pod(CAMERA), "spec": pod_body(sights(CAMERA)[0], SourceImage("registry.example/spillway-dataplane:2"))["spec"]}
    assert reduce_pod(newer).made_of == made_of(sights(CAMERA)[0])


# ---- status ---------------------------------------------------------------------------------------------------------------

ENDED = {"exitCode": 2, "message": json.dumps({"reason": "InvalidIntent", "message": "clip.raw is not there"})}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}
STOPPED = {"exitCode": 143, "reason": "Error"}


def statuses(state, last=None):
    return {"containerStatuses": [{"name": "source", "state": state, "lastState": {"terminated": last} if last else {}}]}


def unscheduled(message):
    return {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}],
    }


def report(of=CAMERA, found=None, held=None, obstacle=None):
    seen, given = situation(of, held if held is not None else claim(of))
    seen_pod = reduce_pod(found) if found else None
    return plan_stream_report(seen, replace(given, pod=seen_pod, source_obstacle=obstacle))


def on_node(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "spec": {**found["spec"], "nodeName": "n1"}}


def ending(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


PULLING = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
RUNNING = claim(CAMERA, device=AT, pods=("camera-source",), said=said(sourceAddress="10.0.0.7"))


def connected(status: str, reason: str) -> dict[str, Any]:
    word = said(sourceAddress="10.0.0.7")
    word["conditions"].append({"type": "Connected", "status": status, "reason": reason, "message": ""})
    return claim(CAMERA, device=AT, pods=("camera-source",), said=word)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        pytest.param({}, "Pending", "the pod of its source is being made", id="no pod yet"),
        pytest.param({"obstacle": Obstacle("SourceRefused", "exceeded quota")}, "SourceRefused", "exceeded quota", id="refused"),
        pytest.param(
            {"found": pod(CAMERA, **unscheduled("no room"))}, "SourceWaits", "Unschedulable: no room", id="no node for it"
        ),
        pytest.param(
            {"found": on_node(pod(CAMERA, phase="Pending")), "held": claim(CAMERA, device=AT, pods=("camera-source",))},
            "Preparing",
            "pod camera-source is being started on n1: if it stays so, kubectl describe pod camera-source",
            id="its volume cannot be mounted",
        ),
        pytest.param(
            {"found": on_node(pod(CAMERA, phase="Pending", **statuses(PULLING))), "held": RUNNING},
            "Preparing",
            "on n1: ImagePullBackOff: no such image",
            id="no image",
        ),
        pytest.param({"found": pod(CAMERA, phase="Succeeded")}, "Finished", "to the end", id="through"),
        pytest.param({"found": ending(pod(CAMERA, phase="Succeeded"))}, "Pending", "is ending; when it has", id="evicted"),
        pytest.param(
            {"found": ending(pod(CAMERA, phase="Failed", **statuses({"terminated": ENDED})))},
            "InvalidIntent",
            "clip.raw",
            id="its last words",
        ),
        pytest.param({"found": pod(CAMERA), "held": RUNNING}, "Ready", "bound", id="sends"),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"waiting": {}}, ENDED)), "held": RUNNING},
            "InvalidIntent",
            "not there",
            id="its own words",
        ),
        pytest.param({"found": pod(CAMERA, **statuses({"terminated": ENDED}))}, "InvalidIntent", "clip.raw", id="just ended"),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"waiting": {}}, KILLED)), "held": RUNNING}, "SourceFailed", "OOMKilled", id="killed"
        ),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"running": {}}, ENDED)), "held": RUNNING}, "Ready", "bound", id="runs again"
        ),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"waiting": {}}, STOPPED)), "held": RUNNING}, "Ready", "bound", id="told to stop"
        ),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"running": {}}, ENDED)), "held": connected("False", "Released")},
            "InvalidIntent",
            "clip.raw is not there",
            id="waits for another file",
        ),
        pytest.param(
            {"found": pod(CAMERA, **statuses({"running": {}}, ENDED)), "held": connected("True", "Held")},
            "Ready",
            "bound",
            id="has its ring again",
        ),
    ],
)
def test_ready(fields, reason, words):
    ready = report(**fields).condition("Ready")
    assert ready.reason == reason
    assert words in ready.message


def test_the_clock_is_what_the_source_found():
    word = said(sourceAddress="10.0.0.7")
    word["conditions"].append({"type": "ClockSynchronized", "status": "False", "reason": "NoTaiOffset", "message": "CLOCK_TAI"})
    found = report(held=claim(CAMERA, device=AT, pods=("p",), said=word)).condition("ClockSynchronized")
    assert (found.status, found.reason) == ("False", "NoTaiOffset")
    assert report(held=RUNNING).condition("ClockSynchronized") is None


def test_the_sdp_is_there_once_the_node_has_said_its_addresses():
    text = report(found=pod(CAMERA), held=RUNNING).sdp
    assert "m=video 5004 RTP/AVP 96" in text
    assert "exactframerate=60000/1001" in text
    assert "IN IP4 10.0.0.7" in text
    assert report(held=claim(CAMERA, device=AT, pods=("p",), said=said())).sdp == ""
    assert report(held=claim(CAMERA, device=AT, pods=("p",), said=said(sourceAddress="nonsense"))).sdp == ""
    assert report(stream(), held=claim(stream(), device=AT, pods=("p",), said=said(sourceAddress="10.0.0.7"))).sdp == ""


def two_devices(second):
    raw = claim(TWICE, device=AT, pods=("p",), said=said(sourceAddress="10.0.0.7"))
    place = {"driver": "tx-queue.spillway.dev", "pool": "n1", "device": "eth1-tx2"}
    results = raw["status"]["allocation"]["devices"]["results"]
    raw["status"]["allocation"]["devices"]["results"] = [{"request": "leg", **place}, *results]
    raw["status"]["devices"] += [{**place, **second}]
    return raw


def test_of_two_paths_the_worse_one_is_told_and_both_are_in_the_sdp():
    good = said(sourceAddress="10.0.1.7", **{key: value for key, value in DATA.items() if key == "mac"})
    assert reduce_claim(two_devices(good)).devices[0].name == "eth1-tx1", "its own ring first"
    found = report(TWICE, held=two_devices(good))
    assert (found.condition("Ready").status, found.sdp.count("m=video")) == ("True", 2)
    worse = report(TWICE, held=two_devices(said("False", "LinkDown", "no carrier")))
    assert worse.condition("Ready").reason == "LinkDown"
    assert worse.sdp == ""
