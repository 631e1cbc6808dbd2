"""The laws of bells and writes, on an API server in memory.

It knows get, list, apply, merge, create and delete, and versions; no conflicts, no watch, no failures: those are in
tests/e2e/test_operator_api.py.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.jumping_loop import beside, play

from spillway_crds import names
from spillway_crds.orders_wire import decode_order, order_hash
from spillway_operator.api.calls import CRDS, DATAPLANES, EVENTS, FILTERS, NODES, ApiFailure, Kind, config_maps
from spillway_operator.config.settings import Config
from spillway_operator.reconcile import Place, Reconciler

PLACE = Place("ns", "pod")
RULES = [{"name": "r", "match": {"protocol": "UDP", "destinationPorts": ["9"]}, "action": "Drop"}]


class FakeApi:
    def __init__(self) -> None:
        self.version = 0
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.numbers = itertools.count()

    def put(self, kind: Kind, name: str, /, **content: Any) -> dict[str, Any]:
        self.version += 1
        fresh = {"metadata": {"name": name, "uid": f"{name}-{self.version}", "generation": 0}}
        new = copy.deepcopy(self.objects.get((kind.plural, name), fresh))
        if "spec" in content and content["spec"] != new.get("spec"):
            new["metadata"]["generation"] += 1
        metadata = {"creationTimestamp": "2026-01-01T00:00:00Z", **new["metadata"], **content.pop("metadata", {})}
        new |= copy.deepcopy(content)
        new["metadata"] = metadata | {"resourceVersion": str(self.version)}
        self.objects[kind.plural, name] = new
        return copy.deepcopy(new)

    async def list(self, kind: Kind, **_: Any) -> tuple[list[Any], int]:
        return [copy.deepcopy(raw) for (plural, _), raw in self.objects.items() if plural == kind.plural], self.version

    async def count(self, kind: Kind) -> int:
        return len((await self.list(kind))[0])

    async def get(self, kind: Kind, name: str) -> Any:
        return copy.deepcopy(self.objects.get((kind.plural, name)))

    async def discover(self, api_version: str) -> set[str]:
        return {"floodfilters", "nodedataplanes"}

    async def apply(self, kind: Kind, body: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
        await asyncio.sleep(0.01)
        if subresource and (kind.plural, body["metadata"]["name"]) not in self.objects:
            raise ApiFailure(method="PATCH", path=subresource, status=404, body=b"")
        self.writes.append((kind.plural, body["metadata"]["name"]))
        return self.put(kind, body["metadata"]["name"], **body)

    async def merge(self, kind: Kind, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append((kind.plural, name))
        labels = {**self.objects[kind.plural, name]["metadata"].get("labels", {}), **body["metadata"]["labels"]}
        return self.put(kind, name, metadata={"labels": {key: value for key, value in labels.items() if value is not None}})

    async def create(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{next(self.numbers)}"
        self.writes.append((kind.plural, name))
        return self.put(kind, name, **copy.deepcopy(body))

    async def delete(self, kind: Kind, name: str, *, uid: str) -> None:
        self.writes.append((f"delete {kind.plural}", name))
        del self.objects[kind.plural, name]


def crd(api: FakeApi, plural: str, created: str = "2025-01-01T00:00:00Z") -> None:
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    api.put(CRDS, f"{plural}.{names.GROUP}", metadata={"creationTimestamp": created}, status=established)


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    for plural in (names.FILTERS_PLURAL, names.DATAPLANES_PLURAL):
        crd(api, plural)
    add_filter(api, "f")
    for name in ("n0", "n1"):
        api.put(NODES, name, metadata={"labels": {"kubernetes.io/os": "linux"}})
    return api


def add_filter(api: FakeApi, name: str) -> dict[str, Any]:
    head = {"apiVersion": names.API_VERSION, "kind": "FloodFilter"}
    return api.put(FILTERS, name, **head, spec={"nodeSelector": {}, "rules": RULES})


def settled(api: FakeApi, script: Callable[[Reconciler], Awaitable[None]]) -> None:
    """Fill, serve, run the script from a settled state, stop."""

    async def all_of_it() -> None:
        reconciler = Reconciler(api, Config(), PLACE)  # type: ignore[arg-type]
        await reconciler.fill()
        async with beside(reconciler.run()):
            await asyncio.sleep(40)
            api.writes.clear()
            await script(reconciler)

    play(all_of_it())


def tell(reconciler: Reconciler, kind: Kind, event: str | None, raw: dict[str, Any]) -> None:
    reconciler.intake.take_event(kind.plural, event, raw)


def gone(api: FakeApi, kind: Kind, name: str) -> dict[str, Any]:
    raw = api.objects.pop((kind.plural, name))
    api.version += 1
    return raw | {"metadata": raw["metadata"] | {"resourceVersion": str(api.version)}}


def order(api: FakeApi, node: str) -> dict[str, Any]:
    spec: dict[str, Any] = api.objects["nodedataplanes", node]["spec"]
    return spec


def say(api: FakeApi, reconciler: Reconciler, node: str, packets: int = 0, **more: Any) -> None:
    """A node's agent carries out its order and reports."""
    raw = api.objects["nodedataplanes", node]
    totals = {"matchedPackets": packets, "droppedPackets": packets}
    filters = [
        {"name": each["name"], "uid": each["uid"], "revision": each["revision"], "state": "Monitoring", "totals": totals}
        for each in raw["spec"].get("filters", ())
    ]
    observed = {"observedSpecHash": order_hash(decode_order(raw["spec"])), "countsFor": raw["metadata"]["uid"]}
    tell(reconciler, DATAPLANES, "MODIFIED", api.put(DATAPLANES, node, status={**observed, "filters": filters, **more}))


def test_every_node_gets_its_order_and_its_label(api):
    async def script(reconciler):
        assert {name for plural, name in api.objects if plural == "nodedataplanes"} == {"n0", "n1"}
        (filter_order,) = order(api, "n0")["filters"]
        assert ("controllerrevisions", filter_order["revision"]) in api.objects
        assert api.objects["nodes", "n0"]["metadata"]["labels"][names.NODE_LABEL] == "true"

    settled(api, script)


def test_settled_means_silent(api):
    """Hours of resyncs and of echoes of all objects write nothing."""

    async def script(reconciler):
        for node in ("n0", "n1"):
            say(api, reconciler, node)
        await asyncio.sleep(10)
        api.writes.clear()
        for _ in range(10):
            for kind in (NODES, FILTERS, DATAPLANES):
                for (plural, _), raw in list(api.objects.items()):
                    if plural == kind.plural:
                        tell(reconciler, kind, "MODIFIED", raw)
            await asyncio.sleep(600)
        assert api.writes == []

    settled(api, script)


def test_a_foreign_edit_costs_one_write(api):
    async def script(reconciler):
        wanted = copy.deepcopy(order(api, "n0"))
        tell(reconciler, DATAPLANES, "MODIFIED", api.put(DATAPLANES, "n0", spec={"state": "Empty"}))
        await asyncio.sleep(1)
        assert [each for each in api.writes if each[0] == "nodedataplanes"] == [("nodedataplanes", "n0")]
        assert order(api, "n0") == wanted

    settled(api, script)


def test_counts_do_not_drive_writes(api):
    """Two nodes that report ten times a second move their filter's status once a second; readiness is told at once."""

    async def script(reconciler):
        for node in ("n0", "n1"):
            say(api, reconciler, node)
        await asyncio.sleep(0.6)
        assert api.objects["floodfilters", "f"]["status"]["nodes"]["ready"] == 2
        await asyncio.sleep(5)
        api.writes.clear()
        for packets in range(1, 101):
            for node in ("n0", "n1"):
                say(api, reconciler, node, packets)
            await asyncio.sleep(0.1)
        assert 5 <= api.writes.count(("floodfilters", "f")) <= 12
        await asyncio.sleep(2)
        assert api.objects["floodfilters", "f"]["status"]["totals"]["droppedPackets"] == 200

    settled(api, script)


def test_a_deleted_filter_leaves_every_order(api):
    async def script(reconciler):
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, "f"))
        await asyncio.sleep(1)
        assert order(api, "n0")["state"] == order(api, "n1")["state"] == "Empty"

    settled(api, script)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, id="being deleted"),
        pytest.param({"status": {"conditions": []}}, id="not established"),
        pytest.param(None, id="gone"),
    ],
)
def test_filters_that_go_with_their_crd_are_no_order(api, state):
    """Not at once, not after hours, not by a listing; a stranger's edit is repaired all the same."""

    async def script(reconciler):
        before = copy.deepcopy(order(api, "n0"))
        name = f"floodfilters.{names.GROUP}"
        gone(api, CRDS, name) if state is None else api.put(CRDS, name, **state)
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, "f"))
        await asyncio.sleep(4000)
        assert order(api, "n0") == order(api, "n1") == before
        tell(reconciler, DATAPLANES, "MODIFIED", api.put(DATAPLANES, "n0", spec={"state": "Empty"}))
        await asyncio.sleep(1)
        assert order(api, "n0") == before

    settled(api, script)


def test_a_crd_made_anew_leaves_time_to_apply_its_filters_again(api, monkeypatch):
    """For a minute nothing follows from their absence; then it is obeyed."""

    async def script(reconciler):
        monkeypatch.setattr("spillway_operator.api.crds.time.monotonic", asyncio.get_running_loop().time)
        before = copy.deepcopy(order(api, "n0"))
        gone(api, CRDS, f"floodfilters.{names.GROUP}")
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, "f"))
        await asyncio.sleep(20)
        crd(api, "floodfilters", "2026-02-02T00:00:00Z")
        await asyncio.sleep(50)
        assert order(api, "n0") == before
        await asyncio.sleep(30)
        assert order(api, "n0")["state"] == "Empty"

    settled(api, script)


def test_a_filter_made_in_the_place_of_another_leaves_no_gap(api, monkeypatch):
    """Deleted and made anew under its name: nodes keep the first until they can fetch the second."""

    async def refuse(kind, body):
        raise ApiFailure(method="POST", path="", status=503, body=b"")

    async def script(reconciler):
        before, create = order(api, "n0")["filters"], api.create
        monkeypatch.setattr(api, "create", refuse)
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, "f"))
        head = {"apiVersion": names.API_VERSION, "kind": "FloodFilter"}
        made = api.put(FILTERS, "f", **head, spec={"nodeSelector": {}, "rules": [{**RULES[0], "name": "other"}]})
        tell(reconciler, FILTERS, "ADDED", made)
        for _ in range(5):
            reconciler.bells.ring_nodes()
            await asyncio.sleep(1)
            assert order(api, "n0")["filters"] == before
        monkeypatch.setattr(api, "create", create)
        await asyncio.sleep(10)
        assert [each["uid"] for each in order(api, "n0")["filters"]] == [made["metadata"]["uid"]]

    settled(api, script)


def test_every_filter_without_room_says_so(api):
    """The others fill the node up, and no event of the one that finds no room tells of it; nor of room that it finds later."""

    def told(api):
        filters = [raw for (plural, _), raw in api.objects.items() if plural == FILTERS.plural]
        return sum("no more" in str(raw.get("status", {}).get("failures")) for raw in filters)

    async def script(reconciler):
        for number in range(30):
            tell(reconciler, FILTERS, "ADDED", add_filter(api, f"g{number:02}"))
        await asyncio.sleep(5)
        assert told(api) == 31 - names.MAX_FILTERS_PER_NODE
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, order(api, "n0")["filters"][0]["name"]))
        await asyncio.sleep(5)
        assert told(api) == 30 - names.MAX_FILTERS_PER_NODE

    settled(api, script)


def test_what_vanished_unseen_is_noticed_after_a_new_listing(api):
    """kopf lists anew after 410 Gone and tells what is there, never what is not; the audit finds that out."""

    async def script(reconciler):
        gone(api, FILTERS, "f")
        tell(reconciler, FILTERS, None, add_filter(api, "g"))
        await asyncio.sleep(15)
        assert [each["name"] for each in order(api, "n0")["filters"]] == ["g"]

    settled(api, script)


def test_the_last_filter_that_vanished_unseen_is_noticed_by_counting(api):
    """kopf tells nothing of a new listing that is empty, so nothing else would bring it to light."""

    async def script(reconciler):
        gone(api, FILTERS, "f")
        await asyncio.sleep(10)
        assert not order(api, "n0").get("filters")

    settled(api, script)


def test_counting_audits_once_and_not_again_and_again(api, monkeypatch):
    """What is known and not there for a reason, as filters that are held, is listed once, not every few seconds."""

    async def script(reconciler):
        listed = []
        monkeypatch.setitem(reconciler.bells.works, "audit", lambda plural: asyncio.sleep(0, listed.append(plural)))
        gone(api, FILTERS, "f")
        await asyncio.sleep(60)
        assert listed == [names.FILTERS_PLURAL]

    settled(api, script)


def test_a_cache_that_lost_a_node_deletes_nothing(api):
    """A false DELETED: the read before the delete finds the node."""

    async def script(reconciler):
        reconciler.world.nodes.drop("n0", version=int(api.objects["nodes", "n0"]["metadata"]["resourceVersion"]))
        api.put(NODES, "n0")
        reconciler.bells.node.ring("n0")
        await asyncio.sleep(1)
        assert ("nodedataplanes", "n0") in api.objects
        assert reconciler.world.nodes.get("n0") is not None

    settled(api, script)


def test_an_order_goes_with_its_node_and_not_to_its_namesake(api):
    """A node that was made anew gets a new order: counts of the old one's uid are another machine's."""

    async def script(reconciler):
        tell(reconciler, NODES, "DELETED", gone(api, NODES, "n1"))
        await asyncio.sleep(1)
        assert ("nodedataplanes", "n1") not in api.objects
        tell(reconciler, DATAPLANES, "DELETED", {"metadata": {"name": "n1", "resourceVersion": str(api.version + 1)}})
        gone(api, NODES, "n0")
        uid = api.objects["nodedataplanes", "n0"]["metadata"]["uid"]
        labels = {"kubernetes.io/os": "linux"}
        tell(reconciler, NODES, "MODIFIED", api.put(NODES, "n0", metadata={"labels": labels}))
        await asyncio.sleep(1)
        tell(reconciler, DATAPLANES, "DELETED", {"metadata": {"name": "n0", "resourceVersion": str(api.version + 1)}})
        await asyncio.sleep(1)
        assert api.objects["nodedataplanes", "n0"]["metadata"]["uid"] != uid

    settled(api, script)


def test_turns_are_given_and_taken_back_and_failures_named(api):
    async def script(reconciler):
        for node in ("n0", "n1"):
            say(api, reconciler, node, waitingForTurn=["eth0"])
        await asyncio.sleep(1)
        assert [order(api, node)["attach"] for node in ("n0", "n1")] == ["Allowed", "Hold"]
        say(api, reconciler, "n0")
        await asyncio.sleep(1)
        assert [order(api, node)["attach"] for node in ("n0", "n1")] == ["Hold", "Allowed"]
        await asyncio.sleep(121)
        assert order(api, "n1")["attach"] == "Hold"
        assert api.objects["nodedataplanes", "n1"]["metadata"]["labels"] == {"spillway.dev/turn": "Failed"}
        status = api.objects["floodfilters", "f"]["status"]
        assert [(each["node"], each["reason"]) for each in status["failures"]] == [("n1", "TurnFailed")]
        assert any(raw["reason"] == "TurnFailed" for (plural, _), raw in api.objects.items() if plural == EVENTS.plural)
        say(api, reconciler, "n1", waitingForTurn=["eth0"])
        await asyncio.sleep(1)
        assert order(api, "n1")["attach"] == "Allowed"

    settled(api, script)


def test_old_revisions_go_and_those_that_are_named_stay(api):
    async def script(reconciler):
        for port in range(20):
            rules = [{"name": "r", "match": {"protocol": "UDP", "destinationPorts": [str(port + 1)]}, "action": "Drop"}]
            tell(reconciler, FILTERS, "MODIFIED", api.put(FILTERS, "f", spec={"nodeSelector": {}, "rules": rules}))
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        kept = [name for plural, name in api.objects if plural == "controllerrevisions"]
        assert len(kept) == names.REVISION_HISTORY_LIMIT
        assert order(api, "n0")["filters"][0]["revision"] in kept
        for node in ("n0", "n1"):
            say(api, reconciler, node)
        tell(reconciler, FILTERS, "DELETED", gone(api, FILTERS, "f"))
        await asyncio.sleep(100)
        kept = [name for plural, name in api.objects if plural == "controllerrevisions"]
        assert len(kept) == 1, "the nodes still report it"
        for node in ("n0", "n1"):
            say(api, reconciler, node)
        await asyncio.sleep(100)
        assert not [name for plural, name in api.objects if plural == "controllerrevisions"]

    settled(api, script)


def test_a_node_without_any_agent_does_not_hinder_an_uninstall(api):
    """n1 never had one; n0's agent confirms. Labels and orders go, and stay gone."""
    configs = config_maps("ns")

    async def script(reconciler):
        say(api, reconciler, "n0")
        tell(reconciler, configs, "ADDED", api.put(configs, "spillway-uninstall", data={"deployment": ""}))
        await asyncio.sleep(1)
        assert order(api, "n0")["state"] == order(api, "n1")["state"] == "Empty"
        say(api, reconciler, "n0")
        await asyncio.sleep(60)
        assert not [name for plural, name in api.objects if plural == "nodedataplanes"]
        assert all(names.NODE_LABEL not in api.objects["nodes", node]["metadata"]["labels"] for node in ("n0", "n1"))

    settled(api, script)


def test_a_status_never_calls_an_earlier_content_ready(api):
    """A new rule: from the first status that describes it on, nodes that run the earlier revision are not ready."""

    async def script(reconciler):
        for node in ("n0", "n1"):
            say(api, reconciler, node)
        await asyncio.sleep(5)
        rules = [{"name": "r", "match": {"protocol": "TCP", "destinationPorts": ["9"]}, "action": "Drop"}]
        tell(reconciler, FILTERS, "MODIFIED", api.put(FILTERS, "f", spec={"nodeSelector": {}, "rules": rules}))
        for _ in range(200):
            status = api.objects["floodfilters", "f"]["status"]
            assert status["observedGeneration"] == 1 or status["nodes"]["ready"] == 0
            await asyncio.sleep(0.01)
        assert status["observedGeneration"] == 2

    settled(api, script)


def test_an_operator_that_starts_beside_a_new_crd_gives_its_filters_time(api):
    """The CRD was made anew while nobody led: orders name filters older than it. They stay for a minute, then they go."""
    kept = {}

    async def first(_):
        kept.update({node: copy.deepcopy(order(api, node)) for node in ("n0", "n1")})

    settled(api, first)
    gone(api, FILTERS, "f")
    crd(api, "floodfilters", "2026-02-02T00:00:00Z")

    async def second(_):
        assert {node: order(api, node) for node in ("n0", "n1")} == kept
        await asyncio.sleep(30)
        assert order(api, "n0")["state"] == "Empty"

    settled(api, second)


def test_reports_of_an_earlier_release_count_for_nothing(api):
    """Its DaemonSet went without a word to the nodes. Who has reported since the new one was made is ready, the other is not."""
    settled(api, leave_reports)
    install_again(api)

    async def script(reconciler):
        assert ready(api) == ("False", "NodesPending", 0)
        write_report(api, reconciler, "n0", "2026-01-02T00:00:00Z")
        await asyncio.sleep(5)
        assert ready(api) == ("False", "NodesPending", 1)
        write_report(api, reconciler, "n1", "2026-01-02T00:00:07Z")
        await asyncio.sleep(5)
        assert ready(api) == ("True", "AllNodesReady", 2)

    settled(api, script)


def test_who_begins_to_lead_puts_every_status_right_first(api):
    """Before its queues run: whoever waits for a ready Deployment reads no word of an earlier one afterwards."""
    settled(api, leave_reports)
    install_again(api)

    async def begin():
        reconciler = Reconciler(api, Config(), PLACE)
        await reconciler.fill()
        assert ready(api) == ("True", "AllNodesReady", 2)
        await reconciler.report_all()
        assert ready(api) == ("False", "NodesPending", 0)

    play(begin())


def install_again(api):
    made = {"creationTimestamp": "2026-01-02T00:00:00Z"}
    api.put(Kind("DaemonSet", "apps/v1", "daemonsets", "ns"), PLACE.daemonset, metadata=made)


async def leave_reports(reconciler):
    api = reconciler._api
    for node in ("n0", "n1"):
        write_report(api, reconciler, node, "2026-01-01T00:00:05Z")
    await asyncio.sleep(5)
    assert ready(api) == ("True", "AllNodesReady", 2)


def write_report(api, reconciler, node, at):
    """What `say` says, with the time that the API server notes beside it. The operator's own fields are newer: no report."""
    managed = [
        {"manager": names.AGENT_FIELD_MANAGER, "subresource": "status", "time": at},
        {"manager": "spillway-operator", "time": "2026-01-03T00:00:00Z"},
    ]
    api.put(DATAPLANES, node, metadata={"managedFields": managed})
    say(api, reconciler, node)


def ready(api):
    status = api.objects["floodfilters", "f"]["status"]
    (condition,) = (each for each in status["conditions"] if each["type"] == "Ready")
    return condition["status"], condition["reason"], status["nodes"]["ready"]
