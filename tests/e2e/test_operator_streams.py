"""Streams, claims and Events on a real API server, with the chart's own rights and policies, against nodes that only talk.

There is no scheduler, no garbage collection and no kubelet: a test allocates claims itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from spillway_operator.streams.source_pod import SourceImage, pod_body
from tests.e2e import bare_api
from tests.e2e.bare_api import NAMESPACE, BareApi
from tests.e2e.chart import GRANTS, agent, render
from tests.e2e.product import condition, wait_for
from tests.e2e.test_operator_api import WANTED_KINDS, holder, node_manifest, operator
from tests.unit.stream_objects import sights
from tests.unit.stream_objects import stream as unit_stream


def image(objects: tuple[Any, ...]) -> str:
    """The dataplane's, as the chart has it."""
    return str(agent(objects)["containers"][0]["image"])


pytestmark = pytest.mark.long  # an API server of its own
CONFIG = {
    "disruption": {"turnSeconds": 3},
    "streams": {
        "grants": [{"interface": "eth1", "queues": [1, 2, 3], "namespaces": ["studio", "news"]}],
        "sourceImage": {"name": image(render(*GRANTS)), "pullPolicy": "IfNotPresent"},
    },
}
DRIVER = "tx-queue.spillway.dev"
SPACES = ("studio", "news", "other")
KINDS = {*WANTED_KINDS, "DeviceClass"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareApi]:
    """An API server with the chart's objects, one Linux node, three namespaces, and an operator that leads."""
    with bare_api.running(tmp_path_factory.mktemp("api")) as api:
        for name in (NAMESPACE, *SPACES):
            api.kubectl("create", "namespace", name)
            api.kubectl("-n", name, "create", "serviceaccount", "default")
        objects = [each for each in render(*GRANTS) if each["kind"] in KINDS]
        api.apply(*(each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})))
        api.apply(node_manifest("n1"))
        with operator(api, "leader", config=CONFIG):
            wait_for("a leader", lambda: api.get("-n", NAMESPACE, "lease", "spillway-operator") and holder(api) == "leader", 60)
            yield api


@pytest.fixture(autouse=True)
def nothing_left(api: BareApi) -> Iterator[None]:
    offer(api, 1, 2)
    yield
    for namespace in SPACES:
        api.kubectl("-n", namespace, "delete", "bypassstreams,resourceclaims,pods", "--all", "--wait=false")


def offer(api: BareApi, *queues: int) -> None:
    devices = [
        {"name": f"eth1-tx{queue}", "attributes": {"interface": {"string": "eth1"}, "queue": {"int": queue}}} for queue in queues
    ]
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": "n1", "pool": pool, "devices": devices}
    api.apply({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "n1"}, "spec": spec})


def stream(name: str, queue: object = 1, namespace: str = "studio", **spec: Any) -> dict[str, Any]:
    flow = {"destinationAddress": "10.0.0.9", "destinationPort": 5004}
    whole = {"interface": "eth1", "txQueue": queue, "source": {"application": {}}, "flow": flow, **spec}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "BypassStream", "metadata": metadata, "spec": whole}


def claim(api: BareApi, name: str, namespace: str = "studio") -> Any:
    return api.get("-n", namespace, "resourceclaim", name)


def allocate(api: BareApi, name: str, pod: str, queue: int = 1, namespace: str = "studio", **data: Any) -> None:
    """Do what scheduler and node's driver do."""
    place = {"driver": DRIVER, "pool": "n1", "device": f"eth1-tx{queue}"}
    now = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "bound", "lastTransitionTime": now}
    status = {
        "allocation": {"devices": {"results": [{"request": "ring", **place}]}},
        "reservedFor": [{"resource": "pods", "name": pod, "uid": f"uid-{pod}"}],
        "devices": [{**place, "conditions": [ready], "data": {"interface": "eth1", "queue": queue, "bindMode": "Copy", **data}}],
    }
    patch_status(api, name, status, namespace)


def release(api: BareApi, name: str, namespace: str = "studio") -> None:
    patch_status(api, name, {"allocation": None, "reservedFor": None, "devices": None}, namespace)


def patch_status(api: BareApi, name: str, status: dict[str, Any], namespace: str) -> None:
    body = json.dumps({"status": status})
    api.kubectl("-n", namespace, "patch", "resourceclaim", name, "--subresource=status", "--type=merge", "-p", body)


def wait_condition(api: BareApi, name: str, reason: str, kind: str = "Ready", namespace: str = "studio") -> dict[str, Any]:
    def probe() -> Any:
        found = condition(api.get("-n", namespace, "bypassstream", name) or {}, kind)
        return found if found.get("reason") == reason else None

    return dict(wait_for(f"{name} {kind} {reason}", probe, 30))


def events(api: BareApi, kind: str, name: str, namespace: str = "studio") -> list[tuple[str, str]]:
    about = f"regarding.kind={kind},regarding.name={name}"
    found = api.get("events.events.k8s.io", "-n", namespace, "--field-selector", about)
    return [(each["reason"], each["note"]) for each in found["items"]] if found else []


def test_a_stream_gets_its_claim_its_status_and_its_row(api: BareApi) -> None:
    api.apply(stream("cam"))
    wait_condition(api, "cam", "WaitingForPod")
    (owner,) = claim(api, "cam")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("BypassStream", "cam", True)
    allocate(api, "cam", "sender", packetsPerSecond=340000, late=2, nextHopMac="02:00:00:00:00:02")
    wait_condition(api, "cam", "Ready")
    row = api.kubectl("-n", "studio", "get", "bs", "cam", "--no-headers").split()
    assert row[:7] == ["cam", "True", "n1", "1", "Copy", "340000", "2"]
    allocate(api, "cam", "sender", nextHopMac="02:00:00:00:00:03")
    wait_for("told", lambda: {"Ready", "NextHopChanged"} <= {reason for reason, _ in events(api, "BypassStream", "cam")}, 30)
    found = api.get("-n", "studio", "bypassstream", "cam")["metadata"]
    assert "finalizers" not in found
    assert "finalizers" not in claim(api, "cam")["metadata"]


def test_a_deleted_claim_comes_back_and_a_changed_spec_replaces_it(api: BareApi) -> None:
    api.apply(stream("cam"))
    first = wait_for("the claim", lambda: claim(api, "cam"))["metadata"]["uid"]
    api.kubectl("-n", "studio", "delete", "resourceclaim", "cam")
    second = wait_for("another claim", lambda: (found := claim(api, "cam")) and found["metadata"]["uid"] != first and found)
    api.apply(stream("cam", pacing={"packetsPerSecond": 1000}))
    uid = second["metadata"]["uid"]
    third = wait_for("a third claim", lambda: (found := claim(api, "cam")) and found["metadata"]["uid"] != uid and found)
    assert third["spec"]["devices"]["config"][0]["opaque"]["parameters"]["pacing"] == {"packetsPerSecond": 1000}


def test_a_claim_in_use_is_replaced_when_its_pod_has_ended(api: BareApi) -> None:
    api.apply(stream("cam"))
    uid = wait_for("the claim", lambda: claim(api, "cam"))["metadata"]["uid"]
    allocate(api, "cam", "sender")
    wait_condition(api, "cam", "Ready")
    api.apply(stream("cam", queue=2))
    found = wait_condition(api, "cam", "ClaimInUse", "Progressing")
    assert "pod sender holds it" in found["message"]
    assert claim(api, "cam")["metadata"]["uid"] == uid
    release(api, "cam")
    wait_for("the new claim", lambda: (found := claim(api, "cam")) and found["metadata"]["uid"] != uid)
    wait_condition(api, "cam", "WaitingForPod")


def test_two_streams_for_one_queue(api: BareApi) -> None:
    """The older keeps it; the younger is told who, gets no claim, and its waiting pod is told too. Then it gets its turn."""
    api.apply(stream("older"))
    wait_condition(api, "older", "WaitingForPod")
    api.apply(stream("younger", namespace="news"))
    found = wait_condition(api, "younger", "Conflict", namespace="news")
    assert "older BypassStream studio/older" in found["message"]
    assert claim(api, "younger", "news") is None
    allocate(api, "older", "sender")
    api.apply(waiting_pod("late", "younger"))
    told = wait_for("the pod is told", lambda: events(api, "Pod", "late", "news"), 60)
    assert told[0][0] == "QueueTaken"
    assert "queue 1 on n1 is held by BypassStream studio/older (pod studio/sender)" in told[0][1]
    api.kubectl("-n", "studio", "delete", "bypassstream,resourceclaim", "older", "--wait=false")
    wait_for("the younger's claim", lambda: claim(api, "younger", "news"))
    wait_condition(api, "younger", "WaitingForPod", namespace="news")


def waiting_pod(name: str, claim_name: str, namespace: str = "news") -> dict[str, Any]:
    container = {"name": "app", "image": "app", "resources": {"claims": [{"name": "ring"}]}}
    claims = [{"name": "ring", "resourceClaimName": claim_name}]
    spec = {"containers": [container], "resourceClaims": claims}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_a_claim_written_by_hand_waits_and_its_pod_is_told(api: BareApi) -> None:
    api.apply(stream("cam"))
    wait_for("the claim", lambda: claim(api, "cam"))
    allocate(api, "cam", "sender")
    attributes = f'device.attributes["{DRIVER}"]'
    cel = f'{attributes}.interface == "eth1" && {attributes}.queue == 1'
    asked = {"deviceClassName": f"news.{DRIVER}", "selectors": [{"cel": {"expression": cel}}]}
    spec = {"devices": {"requests": [{"name": "tx", "exactly": asked}]}}
    head = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "own", "namespace": "news"}}
    api.apply({**head, "spec": spec}, waiting_pod("late-too", "own"))
    ((reason, note),) = wait_for("the pod is told", lambda: events(api, "Pod", "late-too", "news"), 60)
    assert (reason, "held by BypassStream studio/cam (pod studio/sender)" in note) == ("QueueTaken", True)


@pytest.mark.parametrize(
    ("wish", "reason", "words"),
    [
        pytest.param(stream("a", namespace="other"), "QueueNotGranted", "granted it none of eth1", id="namespace"),
        pytest.param(stream("b", interface="eth7"), "QueueNotGranted", "granted it none of eth7", id="interface"),
        pytest.param(stream("c", queue=7), "QueueNotGranted", "granted to it: 1, 2, 3", id="queue"),
        pytest.param(stream("d", queue=3), "QueueNotFound", "no node offers queue 3 of eth1", id="not offered"),
    ],
)
def test_what_cannot_be_is_said(api: BareApi, wish: dict[str, Any], reason: str, words: str) -> None:
    api.apply(wish)
    namespace, name = wish["metadata"]["namespace"], wish["metadata"]["name"]
    assert words in wait_condition(api, name, reason, namespace=namespace)["message"]


def test_a_strangers_claim_is_left_alone(api: BareApi) -> None:
    api.apply(bare_claim("cam"))
    uid = claim(api, "cam")["metadata"]["uid"]
    api.apply(stream("cam"))
    assert "is not this stream's" in wait_condition(api, "cam", "Conflict")["message"]
    api.apply(stream("cam", queue=2))
    wait_condition(api, "cam", "Conflict")
    assert claim(api, "cam")["metadata"]["uid"] == uid


def test_a_quota_that_refuses_the_claim_is_quoted(api: BareApi) -> None:
    """The words of whoever refused it; and when it no longer does, the claim comes by itself."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-claims"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["resource.k8s.io"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["resourceclaims"],
                    }
                ]
            },
            "validations": [{"expression": "object.metadata.name != 'refused'", "message": "not today"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-claims"},
        "spec": {"policyName": "no-claims", "validationActions": ["Deny"]},
    }
    api.apply(policy, binding)
    try:
        wait_for("the policy in force", lambda: "not today" in as_admin(api, bare_claim("refused")), 30)
        api.apply(stream("refused"))
        assert "not today" in wait_condition(api, "refused", "ClaimRefused")["message"]
    finally:
        api.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-claims")
    wait_for("the claim", lambda: claim(api, "refused"), 60)


PICTURE = {"widthPixels": 64, "heightPixels": 32, "exactFrameRate": "25", "pattern": "ColorBars"}


def test_a_built_in_source_gets_its_pod(api: BareApi) -> None:
    """The policies let the operator's own pod in; it comes back when deleted, is replaced with its spec, and waits aloud."""
    api.apply(stream("bars", source={"video": PICTURE}))
    first = wait_for("the pod", lambda: source(api, "bars"), 30)
    assert (first["spec"]["containers"][0]["image"], first["metadata"]["labels"]["spillway.dev/bypassstream"]) == (
        CONFIG["streams"]["sourceImage"]["name"],  # type: ignore[call-overload, index]
        "bars",
    )
    wait_condition(api, "bars", "SourceWaits")
    api.kubectl("-n", "studio", "delete", "pod", "bars-source", "--grace-period=0", "--force")
    second = wait_for("another pod", lambda: other_than(first, source(api, "bars")), 30)
    api.apply(stream("bars", source={"video": {**PICTURE, "pattern": "Ramp"}}))
    third = wait_for("a third pod", lambda: other_than(second, source(api, "bars")), 30)
    assert "Ramp" in third["spec"]["containers"][0]["env"][0]["value"]
    api.apply(stream("bars"))
    wait_for("no pod", lambda: source(api, "bars") is None, 30)


def source(api: BareApi, name: str) -> Any:
    return api.get("-n", "studio", "pod", f"{name}-source")


def other_than(before: dict[str, Any], found: Any) -> Any:
    return found if found and found["metadata"]["uid"] != before["metadata"]["uid"] else None


def first(pod: dict[str, Any]) -> Any:
    return pod["spec"]["containers"][0]


SECRET = {"name": "SPILLWAY_SOURCE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
BREACHES: dict[str, Any] = {
    "another image": lambda pod: first(pod).update(image="evil"),
    "another command": lambda pod: first(pod).update(command=["sh", "-c", "env"]),
    "another argument": lambda pod: first(pod).update(args=["-v"]),
    "a folder to import from": lambda pod: first(pod).update(workingDir="/media"),
    "a variable that Python obeys": lambda pod: first(pod)["env"].append({"name": "PYTHONPATH", "value": "/media"}),
    "a secret": lambda pod: first(pod).update(env=[SECRET]),
    "all of a secret": lambda pod: first(pod).update(envFrom=[{"secretRef": {"name": "s"}}]),
    "a command at the start": lambda pod: first(pod).update(lifecycle={"postStart": {"exec": {"command": ["sh"]}}}),
    "a command as a probe": lambda pod: first(pod).update(readinessProbe={"exec": {"command": ["sh"]}}),
    "a volume over its program": lambda pod: pod["spec"].update(volumes=[MEDIA]) or first(pod).update(volumeMounts=[OVER]),
    "a token": lambda pod: pod["spec"].pop("automountServiceAccountToken"),
    "root": lambda pod: pod["spec"]["securityContext"].update(runAsNonRoot=False),
    "user 0": lambda pod: pod["spec"]["securityContext"].update(runAsUser=0),
    "a setting of the kernel": lambda pod: pod["spec"]["securityContext"].update(sysctls=[SYSCTL]),
    "somebody else's claim": lambda pod: pod["spec"]["resourceClaims"][0].update(resourceClaimName="dog"),
    "the whole of /proc": lambda pod: (
        pod["spec"].update(hostUsers=False) or first(pod)["securityContext"].update(procMount="Unmasked")
    ),
    "root by its container": lambda pod: first(pod)["securityContext"].update(runAsNonRoot=False),
    "no seccomp by its container": lambda pod: first(pod)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "no AppArmor": lambda pod: pod["spec"]["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "a capability": lambda pod: first(pod)["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "the host's network": lambda pod: pod["spec"].update(hostNetwork=True),
    "a port of the host": lambda pod: first(pod).update(ports=[{"containerPort": 9467, "hostPort": 9467}]),
    "a folder of the host": lambda pod: pod["spec"].update(volumes=[{"name": "h", "hostPath": {"path": "/"}}]),
    "before everybody's pods": lambda pod: pod["spec"].update(priorityClassName="system-node-critical"),
    "an init container": lambda pod: pod["spec"].update(initContainers=[{"name": "i", "image": "evil"}]),
    "nobody's": lambda pod: pod["metadata"].pop("ownerReferences"),
    "another name": lambda pod: pod["metadata"].update(name="x-source"),
}
SYSCTL = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
MEDIA = {"name": "media", "configMap": {"name": "m"}}
OVER = {"name": "media", "mountPath": "/opt/spillway"}


def test_the_operators_rights_on_pods_end_at_sources(api: BareApi) -> None:
    """A stolen token makes no pod but what a built-in source is, and deletes no other."""
    clip = {"file": "clip.pcap", "volume": {"configMap": "clips"}}
    for source in ({"pcap": clip}, {"video": PICTURE}):
        (seen,) = sights({**unit_stream("cam", source=source)})
        made = pod_body(seen, SourceImage(CONFIG["streams"]["sourceImage"]["name"]))  # type: ignore[call-overload, index]
        assert "created" in as_operator(api, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(made))
    for name, breach in BREACHES.items():
        worse = json.loads(json.dumps(made))
        breach(worse)
        said = as_operator(api, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(worse))
        assert "denied request: " in said, (name, said)
    api.apply(waiting_pod("victim", "none"))
    assert "denied request: " in as_operator(api, "-n", "news", "delete", "pod", "victim")


def test_the_node_is_told_which_interfaces_have_rings(api: BareApi) -> None:
    found = wait_for("the order", lambda: api.get("nodedataplane", "n1"))
    assert (found["spec"]["state"], found["spec"]["ringInterfaces"]) == ("Idle", ["eth1"])


def test_the_operators_rights_on_claims_end_at_streams(api: BareApi) -> None:
    """A stolen token makes and deletes no claim but those that belong to a BypassStream of their name."""
    owner = {"apiVersion": "spillway.dev/v1alpha1", "kind": "BypassStream", "name": "cam", "uid": "u", "controller": True}
    bare = bare_claim("cam")
    owned = {**bare, "metadata": {**bare["metadata"], "ownerReferences": [owner]}}
    other = {**owned, "metadata": {**owned["metadata"], "name": "dog"}}
    foreign = json.loads(json.dumps(owned).replace(f"studio.{DRIVER}", "gpu.example.com"))
    for refused in (bare, other, foreign):
        assert "the operator may" in as_operator(api, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(refused))
    assert "created" in as_operator(api, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(owned))
    api.apply(bare)
    assert "the operator may" in as_operator(api, "-n", "studio", "delete", "resourceclaim", "cam")


def bare_claim(name: str) -> dict[str, Any]:
    """What anybody in the namespace may write."""
    spec = {"devices": {"requests": [{"name": "ring", "exactly": {"deviceClassName": f"studio.{DRIVER}"}}]}}
    metadata = {"name": name, "namespace": "studio"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": spec}


def as_admin(api: BareApi, manifest: dict[str, Any]) -> str:
    try:
        return api.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    except AssertionError as refused:
        return str(refused)


def as_operator(api: BareApi, *args: str, stdin: str | None = None) -> str:
    account = f"system:serviceaccount:{NAMESPACE}:spillway-operator"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
    chosen = [f"--as={account}", *(f"--as-group={group}" for group in groups)]
    try:
        return api.kubectl(*args, *chosen, stdin=stdin)
    except AssertionError as refused:
        return str(refused)
