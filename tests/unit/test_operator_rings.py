"""The laws of bells and writes for streams, claims and nodes with rings, on an API server in memory.

It knows no owners, no scheduler and no watch: a test tells what happens. tests/e2e/test_operator_streams.py has a real one.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import Any

import pytest
from tests.jumping_loop import beside, play
from tests.unit.stream_objects import GRANTS, bare_claim, offered, stream

from spillway_crds import names
from spillway_operator.api.calls import (
    CLAIMS,
    CRDS,
    DATAPLANES,
    EVENTS,
    NODES,
    PODS,
    SLICES,
    STREAMS,
    ApiFailure,
    Kind,
    config_maps,
)
from spillway_operator.config.settings import Config, Standby
from spillway_operator.reconcile import Place, Reconciler

AT = {"driver": names.QUEUE_DRIVER, "pool": "n0", "device": "eth1-tx1"}


class FakeApi:
    """Objects by (plural, namespace, name). refuses: what the answer to a new claim is instead of an object."""

    def __init__(self) -> None:
        self.version = 1000
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.serves_claims = True
        self.refuses = 0
        self.numbers = itertools.count()

    def put(self, kind: Kind, raw: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        new = copy.deepcopy(raw)
        fresh = {"uid": f"{raw['metadata']['name']}-{self.version}", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
        new["metadata"] = {**fresh, **new["metadata"], "resourceVersion": str(self.version)}
        namespace = new["metadata"].setdefault("namespace", kind.namespace) or ""
        self.objects[kind.plural, namespace, new["metadata"]["name"]] = new
        return copy.deepcopy(new)

    async def list(self, kind: Kind, **_: Any) -> tuple[list[Any], int]:
        found = (
            raw for (plural, space, _), raw in self.objects.items() if plural == kind.plural and kind.namespace in ("", space)
        )
        return [copy.deepcopy(raw) for raw in found], self.version

    async def count(self, kind: Kind) -> int:
        return len((await self.list(kind))[0])

    async def get(self, kind: Kind, name: str) -> Any:
        return copy.deepcopy(self.objects.get((kind.plural, kind.namespace, name)))

    async def discover(self, api_version: str) -> set[str]:
        if api_version == names.RESOURCE_API:
            return {"resourceclaims", "resourceslices"} if self.serves_claims else set()
        return {names.FILTERS_PLURAL, names.DATAPLANES_PLURAL, names.STREAMS_PLURAL}

    async def apply(self, kind: Kind, body: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
        await asyncio.sleep(0.01)
        key = (kind.plural, kind.namespace, body["metadata"]["name"])
        if subresource and key not in self.objects:
            raise ApiFailure(method="PATCH", path=subresource, status=404, body=b"")
        self.writes.append(key)
        old = self.objects.get(key, {"metadata": {}})
        return self.put(kind, {**old, **body, "metadata": {**old["metadata"], **body["metadata"]}})

    async def merge(self, kind: Kind, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append((kind.plural, "", name))
        old = self.objects[kind.plural, "", name]
        labels = {**old["metadata"].get("labels", {}), **body["metadata"]["labels"]}
        labels = {key: value for key, value in labels.items() if value is not None}
        return self.put(kind, {**old, "metadata": {**old["metadata"], "labels": labels}})

    async def create(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{next(self.numbers)}"
        if kind.plural == CLAIMS.plural and self.refuses:
            raise ApiFailure(method="POST", path=kind.path, status=self.refuses, body=b'{"message": "exceeded quota"}')
        self.writes.append((kind.plural, kind.namespace, name))
        return self.put(kind, {**body, "metadata": {**body["metadata"], "name": name}})

    create_packed = create

    async def delete(self, kind: Kind, name: str, *, uid: str, version: int | None = None) -> None:
        raw = self.objects[kind.plural, kind.namespace, name]
        if raw["metadata"]["uid"] == uid and version in (None, int(raw["metadata"]["resourceVersion"])):
            self.writes.append((f"delete {kind.plural}", kind.namespace, name))
            del self.objects[kind.plural, kind.namespace, name]

    def claim(self, name: str = "cam", namespace: str = "studio") -> dict[str, Any] | None:
        return self.objects.get((CLAIMS.plural, namespace, name))

    def status(self, name: str = "cam", namespace: str = "studio") -> dict[str, Any]:
        found: dict[str, Any] = self.objects[STREAMS.plural, namespace, name].get("status", {})
        return found

    def reason(self, name: str = "cam", namespace: str = "studio") -> str:
        return next(
            (each["reason"] for each in self.status(name, namespace).get("conditions", ()) if each["type"] == "Ready"), ""
        )

    def told(self, kind: str) -> list[str]:
        found = [
            raw for (plural, _, _), raw in self.objects.items() if plural == EVENTS.plural and raw["regarding"]["kind"] == kind
        ]
        return [each["reason"] for each in found]


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    for plural in (names.FILTERS_PLURAL, names.DATAPLANES_PLURAL, names.STREAMS_PLURAL):
        api.put(CRDS, {"metadata": {"name": f"{plural}.{names.GROUP}"}, "status": established})
    for name in ("n0", "n1"):
        api.put(NODES, {"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}})
    api.put(SLICES, offered("n0", 1, 2))
    api.put(STREAMS, stream("cam"))
    return api


def settled(api: FakeApi, script: Any, **config: Any) -> None:
    """Fill, serve, run the script from a settled state, stop."""

    async def all_of_it() -> None:
        reconciler = Reconciler(api, Config(**{"grants": GRANTS, "standby": Standby(None), **config}), Place("ns", "pod"))  # type: ignore[arg-type]
        await reconciler.fill()
        async with beside(reconciler.run()):
            await asyncio.sleep(40)
            api.writes.clear()
            await script(reconciler)

    play(all_of_it())


def tell(reconciler: Reconciler, kind: Kind, raw: dict[str, Any], event: str = "MODIFIED") -> None:
    reconciler.intake.take_event(kind.plural, event, raw)


def allocate(api: FakeApi, reconciler: Reconciler, name: str = "cam", namespace: str = "studio", **data: Any) -> None:
    """A pod got the claim's queue, and its node says how it is."""
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "bound"}
    status = {
        "allocation": {"devices": {"results": [{"request": "ring", **AT}]}},
        "reservedFor": [{"resource": "pods", "name": "sender", "uid": "uid-sender"}],
        "devices": [{**AT, "conditions": [ready], "data": {"interface": "eth1", "queue": 1, "bindMode": "Copy", **data}}],
    }
    tell(reconciler, CLAIMS, api.put(CLAIMS, {**(api.claim(name, namespace) or {}), "status": status}))


def vanish(api: FakeApi, reconciler: Reconciler, kind: Kind, name: str, namespace: str = "") -> None:
    raw = api.objects.pop((kind.plural, namespace, name))
    api.version += 1
    gone = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(api.version)}}
    tell(reconciler, kind, gone, "DELETED")


def order(api: FakeApi, node: str) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[DATAPLANES.plural, "", node]["spec"]
    return found


def label(api: FakeApi, node: str) -> bool:
    return names.NODE_LABEL in api.objects[NODES.plural, "", node]["metadata"]["labels"]


def test_a_stream_has_its_claim_and_says_what_it_waits_for(api):
    async def script(_):
        assert api.claim()["metadata"]["ownerReferences"][0]["name"] == "cam"
        assert api.reason() == "WaitingForPod"

    settled(api, script)


def test_settled_means_silent(api):
    """Hours of resyncs, of echoes of all objects and of other people's claims write nothing."""

    async def script(reconciler):
        allocate(api, reconciler)
        await asyncio.sleep(10)
        api.writes.clear()
        others = bare_claim("studio", "gpu")
        others["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] = "gpu.example.com"
        for _ in range(5):
            for kind in (NODES, STREAMS, CLAIMS, SLICES, DATAPLANES):
                for (plural, _, _), raw in list(api.objects.items()):
                    if plural == kind.plural:
                        tell(reconciler, kind, raw)
            tell(reconciler, CLAIMS, others)
            tell(reconciler, SLICES, offered("n0", 9, driver="gpu.example.com"))
            await asyncio.sleep(600)
        assert api.writes == []
        assert len(reconciler.world.claims) == len(reconciler.world.slices) == 1

    settled(api, script)


def test_states_are_told_at_once_and_counts_at_their_pace(api):
    async def script(reconciler):
        allocate(api, reconciler)
        await asyncio.sleep(0.6)
        assert (api.reason(), api.status()["queue"]) == ("Ready", 1)
        await asyncio.sleep(10)
        api.writes.clear()
        for packets in range(1, 201):
            allocate(api, reconciler, packets=packets)
            await asyncio.sleep(0.1)
        assert 3 <= api.writes.count((STREAMS.plural, "studio", "cam")) <= 6
        allocate(api, reconciler, packets=200, bindMode="ZeroCopy")
        await asyncio.sleep(0.6)
        assert api.status()["bindMode"] == "ZeroCopy"
        assert api.told("BypassStream") == ["Ready", "ModeChanged"]

    settled(api, script)


def test_a_deleted_claim_comes_back(api):
    async def script(reconciler):
        vanish(api, reconciler, CLAIMS, "cam", "studio")
        await asyncio.sleep(1)
        assert api.claim() is not None

    settled(api, script)


def test_a_claim_that_the_scheduler_was_quicker_with_is_not_taken_away(api):
    """It was given to a pod between the last event and the deletion: the deletion names the version that was seen."""

    async def script(reconciler):
        changed = stream("cam", 2)
        changed["metadata"] |= {"generation": 2, "resourceVersion": "5000"}
        claim = api.claim()
        api.put(CLAIMS, {**claim, "status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}})
        api.put(STREAMS, changed)
        tell(reconciler, STREAMS, changed)
        await asyncio.sleep(1)
        assert api.claim()["metadata"]["uid"] == claim["metadata"]["uid"]

    settled(api, script)


def test_what_the_api_server_refuses_is_said_and_tried_again(api):
    async def script(reconciler):
        api.refuses = 403
        vanish(api, reconciler, CLAIMS, "cam", "studio")
        await asyncio.sleep(2)
        assert api.reason() == "ClaimRefused"
        assert api.status()["conditions"][0]["message"] == "exceeded quota"
        api.refuses = 0
        await asyncio.sleep(60)
        assert api.reason() == "WaitingForPod"

    settled(api, script)


def test_a_pod_that_waits_for_a_taken_queue_is_told_once(api):
    async def script(reconciler):
        younger = stream("late", namespace="news", age=5)
        api.put(STREAMS, younger)
        tell(reconciler, STREAMS, younger)
        pod = {"metadata": {"name": "p", "namespace": "news"}, "spec": {"resourceClaims": [{"resourceClaimName": "late"}]}}
        api.put(PODS, pod)
        allocate(api, reconciler)
        await asyncio.sleep(300)
        assert api.reason("late", "news") == "Conflict"
        assert api.told("Pod") == ["QueueTaken"]
        assert api.claim("late", "news") is None

    settled(api, script)


def test_a_pod_that_may_run_on_one_node_is_told_who_has_the_queue_there(api):
    """Another node has the queue free, which is of no use to it; a pod that may run there is told nothing."""
    for name in ("n0", "n1"):
        api.put(NODES, {"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "host": name}}})
    api.put(SLICES, offered("n1", 1, 2))

    async def script(reconciler):
        younger = stream("late", namespace="news", age=5)
        api.put(STREAMS, younger)
        tell(reconciler, STREAMS, younger)
        allocate(api, reconciler)
        claims = {"resourceClaims": [{"resourceClaimName": "late"}]}
        api.put(PODS, {"metadata": {"name": "bound", "namespace": "news"}, "spec": {**claims, "nodeSelector": {"host": "n0"}}})
        api.put(PODS, {"metadata": {"name": "free", "namespace": "news"}, "spec": {**claims, "nodeSelector": {"host": "n1"}}})
        api.put(PODS, {"metadata": {"name": "any", "namespace": "news"}, "spec": claims})
        await asyncio.sleep(300)
        assert api.reason("late", "news") == "WaitingForPod"
        assert api.status("late", "news")["conditions"][0]["message"].startswith(
            "no pod holds the ring: pod bound waits for queue 1 of eth1: queue 1 on n0 is held by"
        )
        told = [
            raw for (plural, _, _), raw in api.objects.items() if plural == EVENTS.plural and raw["regarding"]["kind"] == "Pod"
        ]
        assert [(each["reason"], each["regarding"]["name"]) for each in told] == [("QueueTaken", "bound")]
        assert told[0]["note"] == (
            "queue 1 of eth1: queue 1 on n0 is held by BypassStream studio/cam (pod studio/sender);"
            " this pod may run on no other node that has one"
        )

    settled(api, script)


def test_a_pod_that_may_run_anywhere_is_told_when_only_a_cordoned_node_has_room(api):
    for name in ("n0", "n1"):
        node = {"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}, "spec": {"unschedulable": name == "n1"}}
        api.put(NODES, node)
    api.put(SLICES, offered("n1", 1, 2))

    async def script(reconciler):
        younger = stream("late", namespace="news", age=5)
        api.put(STREAMS, younger)
        tell(reconciler, STREAMS, younger)
        allocate(api, reconciler)
        claims = {"resourceClaims": [{"resourceClaimName": "late"}]}
        api.put(PODS, {"metadata": {"name": "any", "namespace": "news"}, "spec": claims})
        await asyncio.sleep(60)
        assert api.told("Pod") == ["QueueTaken"]

    settled(api, script)


def test_a_stream_names_the_pod_that_waits_for_it_and_why(api):
    """Until the pod is placed, or gone."""
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    claims = {"resourceClaims": [{"resourceClaimName": "cam"}]}

    async def script(reconciler):
        api.put(PODS, {"metadata": {"name": "p", "namespace": "studio"}, "spec": claims, "status": {"conditions": [said]}})
        await asyncio.sleep(60)
        message = api.status()["conditions"][0]["message"]
        assert message == "no pod holds the ring: pod p waits: Unschedulable: 0/1 nodes are available"
        del api.objects[PODS.plural, "studio", "p"]
        await asyncio.sleep(60)
        assert "a pod gets it that names ResourceClaim cam" in api.status()["conditions"][0]["message"]

    settled(api, script)


def test_the_younger_gets_its_turn_when_the_older_goes(api):
    async def script(reconciler):
        younger = stream("late", namespace="news", age=5)
        api.put(STREAMS, younger)
        tell(reconciler, STREAMS, younger)
        await asyncio.sleep(1)
        vanish(api, reconciler, STREAMS, "cam", "studio")
        await asyncio.sleep(1)
        assert api.claim("late", "news") is not None

    settled(api, script)


def test_a_deleted_streams_pod_is_told_that_its_ring_goes_on(api):
    async def script(reconciler):
        allocate(api, reconciler)
        vanish(api, reconciler, STREAMS, "cam", "studio")
        await asyncio.sleep(1)
        assert "StreamDeleted" in api.told("Pod")
        assert api.claim() is not None

    settled(api, script)


BARS = {"video": {"widthPixels": 64, "heightPixels": 32, "exactFrameRate": "25", "pattern": "ColorBars"}}
POD = (PODS.plural, "studio", "cam-source")


def change(api: FakeApi, reconciler: Reconciler, generation: int, **spec: Any) -> None:
    raw = stream("cam", **spec)
    raw["metadata"]["generation"] = generation
    tell(reconciler, STREAMS, api.put(STREAMS, raw))


def test_a_built_in_source_has_its_pod_as_long_as_the_stream_has_it(api):
    """The claim first; another spec, another pod; none for an application."""
    api.put(STREAMS, stream("cam", source=BARS))

    async def script(reconciler):
        first = api.objects[POD]["metadata"]["uid"]
        assert api.reason() == "SourceWaits"
        change(api, reconciler, 2, source={"video": {**BARS["video"], "pattern": "Ramp"}})
        await asyncio.sleep(5)
        assert api.objects[POD]["metadata"]["uid"] != first
        del api.objects[POD]
        await asyncio.sleep(15)
        assert POD in api.objects, "noticed at the next look, if no event of its claim tells earlier"
        change(api, reconciler, 3)
        await asyncio.sleep(15)
        assert POD not in api.objects
        api.writes.clear()
        await asyncio.sleep(600)
        assert not [key for key in api.writes if PODS.plural in key[0]]

    settled(api, script, source_image=("image", "Never"))


def test_a_source_that_was_evicted_has_another_pod_as_soon_as_the_first_is_gone(api):
    """It is ending when its claim tells of it; no later event says that it has ended."""
    api.put(STREAMS, stream("cam", source=BARS))

    async def script(reconciler):
        first = api.objects[POD]
        first["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        first["status"] = {"phase": "Succeeded"}
        tell(reconciler, CLAIMS, api.put(CLAIMS, api.claim()))
        await asyncio.sleep(0.5)
        tell(reconciler, CLAIMS, api.put(CLAIMS, {**api.claim(), "status": {"reservedFor": []}}))
        await asyncio.sleep(5)
        assert api.reason() == "Pending"
        del api.objects[POD]
        await asyncio.sleep(2)
        assert api.objects[POD]["metadata"]["uid"] != first["metadata"]["uid"]

    settled(api, script, source_image=("image", "Never"))


def test_a_source_contends_for_the_nodes_that_have_its_label_now(api):
    """Who has the queue there is told; a node with a free one that gets the label ends the conflict."""
    api.put(SLICES, offered("n1", 1, 2))
    node = {"metadata": {"name": "n0", "labels": {"kubernetes.io/os": "linux", "studio": "true"}}}
    api.put(NODES, node)

    async def script(reconciler):
        allocate(api, reconciler)
        younger = stream("bars", age=5, source=BARS, nodeSelector={"matchLabels": {"studio": "true"}})
        tell(reconciler, STREAMS, api.put(STREAMS, younger))
        await asyncio.sleep(5)
        assert (api.reason("bars"), api.claim("bars")) == ("Conflict", None)
        tell(reconciler, NODES, api.put(NODES, {"metadata": {**node["metadata"], "name": "n1"}}))
        await asyncio.sleep(5)
        assert (api.reason("bars"), api.claim("bars") is not None) == ("SourceWaits", True)

    settled(api, script, source_image=("image", "Never"))


def test_a_pod_of_an_earlier_spec_is_found_after_a_restart(api):
    raw = stream("cam")
    owner = {"kind": "BypassStream", "name": "cam", "uid": raw["metadata"]["uid"], "controller": True}
    api.put(STREAMS, raw)
    api.put(PODS, {"metadata": {"name": "cam-source", "namespace": "studio", "ownerReferences": [owner]}})

    async def script(_):
        assert POD not in api.objects

    settled(api, script)


def test_a_strangers_pod_of_that_name_is_left_alone(api):
    api.put(STREAMS, stream("cam", source=BARS))
    api.put(PODS, {"metadata": {"name": "cam-source", "namespace": "studio"}})

    async def script(_):
        assert POD in api.objects
        assert (api.reason(), api.told("BypassStream")) == ("Conflict", ["Conflict"])

    settled(api, script, source_image=("image", "Never"))


def test_without_an_image_a_source_says_so(api):
    api.put(STREAMS, stream("cam", source=BARS))

    async def script(_):
        assert (api.reason(), POD in api.objects) == ("SourceRefused", False)

    settled(api, script)


def test_nodes_are_told_where_rings_may_be_and_keep_their_pods(api):
    async def script(_):
        for node in ("n0", "n1"):
            assert (order(api, node)["state"], order(api, node)["ringInterfaces"]) == ("Idle", ["eth1"])
            assert label(api, node)

    settled(api, script)


def test_without_grants_no_node_is_touched_and_no_claim_is_made(api):
    async def script(_):
        assert (api.reason(), api.claim()) == ("QueueNotGranted", None)
        assert not label(api, "n0")
        assert not [key for key in api.objects if key[0] == DATAPLANES.plural]

    settled(api, script, grants=())


def test_a_node_with_a_ring_keeps_its_pod_when_the_grants_are_gone(api):
    """Until the claim lets its queue go; then the node is left as it was found."""
    place = {"driver": names.QUEUE_DRIVER, "pool": "n0", "device": "eth1-tx1"}
    status = {"allocation": {"devices": {"results": [{"request": "ring", **place}]}}}
    api.put(CLAIMS, {**bare_claim("studio", "own"), "status": status})

    async def script(reconciler):
        assert (label(api, "n0"), label(api, "n1")) == (True, False)
        assert order(api, "n0")["state"] == "Idle"
        assert "ringInterfaces" not in order(api, "n0")
        vanish(api, reconciler, CLAIMS, "own", "studio")
        await asyncio.sleep(1)
        assert order(api, "n0")["state"] == "Empty"

    settled(api, script, grants=())


def test_an_uninstall_waits_for_rings_and_ends_its_own_sources(api):
    """No program is taken off under a ring, no new claim is made, and the operator's own pods give theirs back."""
    api.put(STREAMS, stream("cam", source=BARS))

    async def script(reconciler):
        allocate(api, reconciler)
        reconciler.world.deployment_uid = "release"
        wish = {"metadata": {"name": "spillway-uninstall", "namespace": "ns"}, "data": {"deployment": "release"}}
        tell(reconciler, config_maps("ns"), api.put(config_maps("ns"), wish))
        await asyncio.sleep(5)
        assert (order(api, "n0")["state"], order(api, "n1")["state"]) == ("Idle", "Empty")
        assert "ringInterfaces" not in order(api, "n0")
        assert POD not in api.objects
        vanish(api, reconciler, CLAIMS, "cam", "studio")
        await asyncio.sleep(20)
        assert order(api, "n0")["state"] == "Empty"
        assert (api.claim(), POD in api.objects) == (None, False)

    settled(api, script, source_image=("image", "Never"))


def test_an_api_server_without_claims_is_left_alone(api):
    """Kubernetes before 1.34: said in the condition, nothing else is done; when it serves them, all comes by itself."""
    api.serves_claims = False

    async def script(_):
        assert (api.reason(), api.claim()) == ("NotSupported", None)
        assert not label(api, "n0")
        api.serves_claims = True
        await asyncio.sleep(20)
        assert (api.reason(), api.claim() is not None, label(api, "n0")) == ("WaitingForPod", True, True)

    settled(api, script)


def test_streams_that_go_with_their_crd_leave_their_claims_to_kubernetes(api):
    async def script(reconciler):
        del api.objects[CRDS.plural, "", f"{names.STREAMS_PLURAL}.{names.GROUP}"]
        await asyncio.sleep(10)
        assert names.STREAMS_PLURAL not in {kind.plural for kind in reconciler.intake.served_kinds()}
        vanish(api, reconciler, STREAMS, "cam", "studio")
        api.writes.clear()
        await asyncio.sleep(600)
        assert [key for key in api.writes if "resourceclaims" in key[0]] == []

    settled(api, script)
