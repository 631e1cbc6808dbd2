"""The API as a source: what is seen is told, what is missing is no order, and nothing is written twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.agent_api import FakeApi, fake_api
from tests.unit.agent_fakes import Orders, content, rule

from spillway_crds.errors import InvalidIntent
from spillway_crds.orders import NodeOrder, NodeState, NodeStatus
from spillway_crds.orders_wire import encode_order
from spillway_crds.revisions import encode_revision
from spillway_dataplane.api.orders import ApiSource, is_off, switch_of
from spillway_dataplane.source import EndpointsSeen, Inbox, OrderSeen, PeersSeen, SwitchSeen, Wakeup

DATAPLANE = "/apis/spillway.dev/v1alpha1/nodedataplanes/node-7"
REVISIONS = "/apis/apps/v1/namespaces/spillway-system/controllerrevisions"
CONFIGMAPS = "/api/v1/namespaces/spillway-system/configmaps"
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: it
clusters: [{name: it, cluster: {server: "%s"}}]
users: [{name: it, user: {token: secret}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
"""


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with fake_api() as made:
        path = tmp_path / "kubeconfig"
        path.write_text(KUBECONFIG % made.url)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield made


class Listening:
    """A started source and what it said."""

    def __init__(self, known: dict[str, object] | None = None) -> None:
        self.source = ApiSource("node-7", "spillway-system")
        self.inbox = Inbox()
        self.said: list[Wakeup] = []
        self.source.start(self.inbox, known or {})  # type: ignore[arg-type]

    def wait(self, wanted: Callable[[Wakeup], bool]) -> Wakeup:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            wakeup = self.inbox.get(timeout=20)
            self.said.append(wakeup)
            if wanted(wakeup):
                return wakeup
        raise AssertionError(self.said)

    def order(self) -> OrderSeen:
        seen = self.wait(lambda each: isinstance(each, OrderSeen))
        assert isinstance(seen, OrderSeen)
        return seen

    def quiet(self, kind: type, seconds: float = 0.4) -> bool:
        time.sleep(seconds)
        while not self.inbox.empty():
            if isinstance(self.inbox.get(), kind):
                return False
        return True


@pytest.fixture
def listen() -> Iterator[Callable[..., Listening]]:
    made: list[Listening] = []

    def begin(**known: object) -> Listening:
        made.append(Listening(known))
        return made[-1]

    yield begin
    for each in made:
        each.source.stop(0.2)


def eventually(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def dataplane(order: NodeOrder, uid: str = "nd-1", status: object = None) -> dict[str, object]:
    return {"metadata": {"name": "node-7", "uid": uid}, "spec": encode_order(order), "status": status or {}}


def publish(api: FakeApi, orders: Orders, name: str, protocol: int = 17):
    """Put a filter's revision into the API; returns the filter's order."""
    what = content(rule(protocol=protocol))
    ordered = orders.filter(name, what)
    api.put(f"{REVISIONS}/{ordered.revision}", encode_revision(name, what, number=1, namespace="spillway-system"))
    return ordered


def test_order_comes_with_its_contents(api: FakeApi, listen: Callable[..., Listening]) -> None:
    orders = Orders()
    order = orders.seen(publish(api, orders, "dns")).order
    api.put(DATAPLANE, dataplane(order))
    assert listen().order() == OrderSeen(order, "nd-1", orders.contents)


def test_only_its_own_object_is_watched(api: FakeApi, listen: Callable[..., Listening]) -> None:
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE)))
    listen().order()
    eventually(lambda: any("watch" in query for _, path, query in api.asked if path.endswith("nodedataplanes")))
    selectors = {tuple(query.get("fieldSelector", ())) for _, path, query in api.asked if path.endswith("nodedataplanes")}
    assert selectors == {("metadata.name=node-7",)}


def test_known_revisions_are_not_fetched(api: FakeApi, listen: Callable[..., Listening]) -> None:
    orders = Orders()
    ordered = orders.filter("dns", content())
    api.put(DATAPLANE, dataplane(orders.seen(ordered).order))
    seen = listen(**{ordered.revision: orders.contents[ordered.revision]}).order()
    assert ordered.revision in seen.contents
    assert not any(path.startswith(REVISIONS) for _, path, _ in api.asked)


def test_change_of_mode_fetches_nothing_again(api: FakeApi, listen: Callable[..., Listening]) -> None:
    orders = Orders()
    ordered = publish(api, orders, "dns")
    api.put(DATAPLANE, dataplane(orders.seen(ordered).order))
    listening = listen()
    listening.order()
    api.put(DATAPLANE, dataplane(orders.seen(orders.filter("dns", content(), suspend=True)).order))
    assert listening.order().order.filters[0].suspend
    assert sum(path.startswith(REVISIONS) for _, path, _ in api.asked) == 1


def test_missing_revision_holds_nothing_up_and_follows(api: FakeApi, listen: Callable[..., Listening]) -> None:
    orders = Orders()
    there, late = publish(api, orders, "there"), orders.filter("late", content(rule(protocol=6)))
    api.put(DATAPLANE, dataplane(orders.seen(there, late).order))
    listening = listen()
    assert listening.order().contents.keys() == {there.revision}
    publish(api, orders, "late", protocol=6)
    assert listening.order().contents.keys() == {there.revision, late.revision}


def test_revision_that_is_not_what_it_says_is_told_and_fetched_again(api: FakeApi, listen: Callable[..., Listening]) -> None:
    orders = Orders()
    ordered = orders.filter("dns", content())
    api.put(f"{REVISIONS}/{ordered.revision}", {"metadata": {"name": ordered.revision}, "data": {"content": {"rules": []}}})
    api.put(DATAPLANE, dataplane(orders.seen(ordered).order))
    listening = listen()
    assert isinstance(listening.order().contents[ordered.revision], InvalidIntent)
    publish(api, orders, "dns")
    assert listening.order().contents == orders.contents, "it is asked for again: the operator makes it right"


@pytest.mark.parametrize("loss", ["object deleted", "CRD gone", "no answers", "watch expired"])
def test_absence_is_no_order(api: FakeApi, listen: Callable[..., Listening], loss: str) -> None:
    """What cannot be seen says nothing; what comes back is seen again."""
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE)))
    listening = listen()
    listening.order()
    if loss == "object deleted":
        api.delete(DATAPLANE)
    else:
        api.fail = {"CRD gone": 404, "no answers": 503, "watch expired": 0}[loss]
        api.end_watches({"code": 410, "message": "too old resource version"} if loss == "watch expired" else None)
    assert listening.quiet(OrderSeen)
    api.fail = 0
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.EMPTY), uid="nd-2"))
    assert listening.order().uid == "nd-2"


def test_order_that_cannot_be_read_is_no_order(api: FakeApi, listen: Callable[..., Listening]) -> None:
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE)))
    listening = listen()
    listening.order()
    api.put(DATAPLANE, {"metadata": {"name": "node-7", "uid": "nd-1"}, "spec": {"state": "Sideways"}})
    assert listening.quiet(OrderSeen)


@pytest.mark.parametrize(
    ("said", "off"),
    [
        *[pytest.param({"enforcement": text}, True, id=repr(text)) for text in ("Off", "off", "OFF", " Off\n")],
        *[
            pytest.param({"enforcement": text}, False, id=repr(text))
            for text in ("", "On", "on", "no", "false", "Offf", "0", "\x00")
        ],
        pytest.param({}, False, id="no key"),
        pytest.param({"Enforcement": "Off"}, False, id="another key"),
        pytest.param(None, False, id="no data"),
    ],
)
def test_what_pulls_the_kill_switch(said: dict[str, str] | None, off: bool) -> None:
    """Whoever writes Off in a hurry is understood; nothing else is taken for it."""
    assert is_off(switch_of({"metadata": {"name": "spillway-switch"}, "data": said})) is off


def test_no_configmap_pulls_no_switch() -> None:
    assert not is_off(switch_of(None))


def test_a_switch_that_says_neither_is_named_in_the_log(
    api: FakeApi, listen: Callable[..., Listening], caplog: pytest.LogCaptureFixture
) -> None:
    """Once: what goes on all the same has to be found by whoever wonders why."""
    switch = {"metadata": {"name": "spillway-switch"}, "data": {"enforcement": "stop"}}
    api.put(f"{CONFIGMAPS}/spillway-switch", switch)
    listen().wait(lambda each: each == SwitchSeen(False))
    assert sum("'stop', neither Off nor On" in each.message for each in caplog.records) == 1


def test_peers_and_kill_switch(api: FakeApi, listen: Callable[..., Listening]) -> None:
    """Peers that are missing stay as they were; a missing switch means on."""
    peers = {"nodes": json.dumps(["10.0.0.11"])}
    api.put(f"{CONFIGMAPS}/spillway-peers", {"metadata": {"name": "spillway-peers"}, "data": peers})
    listening = listen()
    listening.wait(lambda each: each == PeersSeen(peers))
    listening.wait(lambda each: each == SwitchSeen(False))
    switch = {"metadata": {"name": "spillway-switch"}, "data": {"enforcement": "Off"}}
    eventually(lambda: any("watch" in query for _, path, query in api.asked if path == CONFIGMAPS))
    time.sleep(0.1)
    api.put(f"{CONFIGMAPS}/spillway-switch", switch)
    listening.wait(lambda each: each == SwitchSeen(True))
    api.delete(f"{CONFIGMAPS}/spillway-peers")
    api.delete(f"{CONFIGMAPS}/spillway-switch")
    listening.wait(lambda each: each == SwitchSeen(False))
    assert not any(isinstance(each, PeersSeen) and each.data != peers for each in listening.said)


def test_own_connection_is_told(api: FakeApi, listen: Callable[..., Listening]) -> None:
    seen = listen().wait(lambda each: isinstance(each, EndpointsSeen))
    assert isinstance(seen, EndpointsSeen)
    assert {str(address) for address, _ in seen.endpoints} == {"127.0.0.1"}


def test_status_is_applied_once_to_the_object_it_belongs_to(api: FakeApi, listen: Callable[..., Listening]) -> None:
    listening = listen()
    status = NodeStatus(observed_spec_hash="abc", counts_for="nd-1")
    listening.source.report(status)
    assert listening.quiet(OrderSeen)
    assert api.applied == [], "there is no object yet"
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE)))
    eventually(lambda: len(api.applied) == 1)
    assert api.applied[0]["metadata"] == {"name": "node-7", "uid": "nd-1"}
    assert api.applied[0]["status"]["observedSpecHash"] == "abc"
    (query,) = [query for method, _, query in api.asked if method == "PATCH"]
    assert query == {"fieldManager": ["spillway-agent"], "force": ["true"]}
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE), status=api.applied[0]["status"]))
    listening.source.report(status)
    assert listening.quiet(SwitchSeen) or len(api.applied) == 1
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE), uid="nd-2"))
    time.sleep(0.3)
    assert len(api.applied) == 1, "counts of one object are not written into its successor"
    listening.source.report(NodeStatus(observed_spec_hash="abc", counts_for="nd-2"))
    eventually(lambda: len(api.applied) == 2)


def test_report_is_sent_again_until_it_arrives(api: FakeApi, listen: Callable[..., Listening]) -> None:
    api.put(DATAPLANE, dataplane(NodeOrder(NodeState.IDLE)))
    listening = listen()
    listening.order()
    api.fail = 500
    listening.source.report(NodeStatus(observed_spec_hash="old", counts_for="nd-1"))
    listening.source.report(NodeStatus(observed_spec_hash="new", counts_for="nd-1"))
    eventually(lambda: listening.source.errors > 0 and not listening.source.connected)
    api.fail = 0
    eventually(lambda: bool(api.applied) and api.applied[-1]["status"]["observedSpecHash"] == "new")
