"""`spillway streams` from what an API server would list, and whom `evict` ends. The server here is a dict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from spillway_dataplane.api.calls import ApiRefused
from spillway_dataplane.cli import streams
from spillway_dataplane.cli.arguments import parser
from spillway_dataplane.cli.console import JSON, TEXT, Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.streams_view import RingView, age_text, view_rings

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
CREATED = "2026-11-23T21:00:00Z"
Raw = dict[str, Any]


def stream(name: str = "cam", **status: Any) -> Raw:
    metadata = {"namespace": "studio", "name": name, "creationTimestamp": CREATED}
    return {"metadata": metadata, "spec": {"interface": "eth1"}, "status": status}


def claim(name: str = "cam", *, device: Raw | None = None, allocated: bool = True, pods: tuple[str, ...] = ("app",)) -> Raw:
    result = {"request": "ring", "driver": "tx-queue.spillway.dev", "pool": "node-7", "device": "eth1-tx1"}
    requests = [{"name": "ring", "exactly": {"deviceClassName": "studio.tx-queue.spillway.dev"}}]
    told = [{"driver": "tx-queue.spillway.dev", "pool": "node-7", "device": "eth1-tx1", **device}] if device else []
    allocation = {"allocation": {"devices": {"results": [result]}}} if allocated else {}
    return {
        "metadata": {"namespace": "studio", "name": name, "creationTimestamp": CREATED},
        "spec": {"devices": {"requests": requests}},
        "status": {**allocation, "devices": told, "reservedFor": [{"resource": "pods", "name": each} for each in pods]},
    }


def ready(status: str = "True", reason: str = "Ready", message: str = "bound") -> list[Raw]:
    return [{"type": "Ready", "status": status, "reason": reason, "message": message}]


SENDING = {
    "conditions": ready(),
    "data": {"interface": "eth1", "queue": 1, "bindMode": "Copy", "packets": 500, "late": 2, "packetsPerSecond": 100},
}
SENT = RingView(
    "studio", "cam", True, True, "", "node-7", "eth1", 1, "Copy", 100, 500, 2, pods=("app",), age_seconds=3600
)  # fmt: skip


def test_a_built_in_source_shows_its_core() -> None:
    told = {**SENDING, "data": {**SENDING["data"], "core": 0}}  # type: ignore[dict-item]
    assert [each.core for each in view_rings([stream()], [claim(device=told)], NOW)] == [0]


def test_a_stream_shows_what_its_claim_says() -> None:
    assert view_rings([stream()], [claim(device=SENDING)], NOW) == (SENT,)


@pytest.mark.parametrize(
    ("streams", "claims", "why"),
    [
        pytest.param([stream()], [], "the operator has not looked at it yet", id="new"),
        pytest.param([stream(conditions=ready("False", "Conflict", "cam2 has it"))], [], "Conflict: cam2 has it", id="conflict"),
        pytest.param(
            [stream(conditions=ready("False", "Pending", "no pod"))],
            [claim(allocated=False, pods=())],
            "Pending: no pod",
            id="no pod yet",
        ),
        pytest.param([], [claim(allocated=False)], "no pod has it, or no node has the queue free", id="own claim, not allocated"),
        pytest.param([], [claim()], "its node has not prepared it yet", id="allocated"),
        pytest.param(
            [stream()],
            [claim(device={"conditions": ready("False", "LinkDown", "eth1 is down")})],
            "LinkDown: eth1 is down",
            id="link down",
        ),
    ],
)
def test_what_is_not_ready_says_why(streams: list[Raw], claims: list[Raw], why: str) -> None:
    (row,) = view_rings(streams, claims, NOW)
    assert (row.ready, row.why) == (False, why)


def test_what_a_node_says_that_is_no_number_is_left_out() -> None:
    lies = {"interface": "eth1", "queue": "one", "core": [], "packets": None, "late": "many", "packetsPerSecond": {}}
    (row,) = view_rings([], [claim(device={"data": lies, "conditions": ready()})], NOW)
    assert (row.interface, row.queue, row.core, row.packets, row.late, row.packets_per_second) == ("eth1", None, None, 0, 0, 0)


def test_claims_of_others_are_not_listed() -> None:
    other = claim("gpu")
    other["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] = "gpu.example.com"
    assert view_rings([], [other], NOW) == ()


def test_a_claim_without_a_stream_is_a_row_of_its_own() -> None:
    rows = view_rings([stream()], [claim(device=SENDING), claim("own", device=SENDING)], NOW)
    assert [(row.name, row.stream) for row in rows] == [("cam", True), ("own", False)]


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200000, "2d")])
def test_ages_are_short(seconds: int, text: str) -> None:
    assert age_text(seconds) == text


# ---- commands -------------------------------------------------------------------------------------------------------------


class Api:
    """Objects by path; lists by the path above them; `kept` answers evictions of that pod with a status."""

    def __init__(self, **kept: int) -> None:
        self.kept, self.evicted, self.lists = kept, [], {}
        self.objects: dict[str, Raw] = {}

    def get(self, path: str, **query: Any) -> Mapping[str, Any]:
        if path in self.lists:
            pages = self.lists[path]
            page = int(query.get("continue", 0))
            return {"items": pages[page], "metadata": {"continue": str(page + 1) if page + 1 < len(pages) else ""}}
        if path not in self.objects:
            raise ApiRefused(operation=f"GET {path}", status=404, detail="not found")
        return self.objects[path]

    def create(self, path: str, body: Raw) -> None:
        pod = path.split("/")[-2]
        assert path == f"/api/v1/namespaces/studio/pods/{pod}/eviction"
        assert (body["kind"], body["metadata"]["name"]) == ("Eviction", pod)
        if pod in self.kept:
            raise ApiRefused(operation="evict", status=self.kept[pod], detail="as it is")
        self.evicted.append(pod)


CAM = "/apis/resource.k8s.io/v1/namespaces/studio/resourceclaims/cam"
ALL_CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"


def evict(api: Api, output: str = TEXT) -> Exit:
    return streams.evict(api, "studio", "cam", Say(output))  # type: ignore[arg-type]


def test_evict_ends_every_pod_that_holds_the_claim() -> None:
    api = Api(gone=404)
    api.objects[CAM] = claim(pods=("app", "next", "gone"))
    assert evict(api) is Exit.OK
    assert api.evicted == ["app", "next"]


def test_a_pod_that_a_budget_keeps_is_named_and_the_others_go(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(app=429)
    api.objects[CAM] = claim(pods=("app", "next"))
    with pytest.raises(CommandError) as refused:
        evict(api, JSON)
    assert refused.value.code is Exit.REFUSED
    assert "pod app is kept by a PodDisruptionBudget" in refused.value.message
    assert json.loads(capsys.readouterr().out) == {"claim": "studio/cam", "evicted": ["next"]}


def test_nothing_is_evicted_for_a_claim_that_is_not_there_or_not_ours() -> None:
    api = Api()
    with pytest.raises(CommandError, match="there is no claim of this name"):
        evict(api)
    api.objects[CAM] = claim()
    api.objects[CAM]["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] = "gpu.example.com"
    with pytest.raises(CommandError, match="not for a transmit queue"):
        evict(api)
    assert api.evicted == []


def test_a_long_list_comes_in_pages_and_a_kind_that_is_not_there_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    api.lists[ALL_CLAIMS] = [[claim("a", device=SENDING)], [claim("b", device=SENDING)]]
    assert streams.show(api, "", Say(JSON)) is Exit.OK  # type: ignore[arg-type]
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["rings"]] == ["a", "b"]


def test_a_person_gets_a_table_and_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    api.lists[ALL_CLAIMS] = [[claim("a", device=SENDING), claim("b")]]
    streams.show(api, "", Say(TEXT))  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "eth1" in said
    assert "studio/b: its node has not prepared it yet" in said


def test_evict_asks_for_the_namespace() -> None:
    given = parser().parse_args(["streams", "evict", "cam", "-n", "studio"])
    assert (given.command, given.action, given.name, given.namespace) == ("streams", "evict", "cam", "studio")
    with pytest.raises(CommandError, match="--namespace"):
        parser().parse_args(["streams", "evict", "cam"])
    assert parser().parse_args(["streams"]).action is None
