"""The operator's laws on a real API server, with the chart's own rights, against agents without kernels.

Nothing here needs a kubelet: the whole file takes two minutes. What real agents add is in the other tests of this folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import bare_api
from tests.e2e.bare_api import NAMESPACE, OPERATOR_TOKEN, BareApi
from tests.e2e.product import condition, flood_filter, rule, wait_for
from tests.e2e.puppet_agents import Puppets

pytestmark = pytest.mark.long  # what the cluster's tests show once is shown here from every side
REPAIRED_S = 2.0 * 10  # ten times what is promised
NODES = ("n1", "n2", "n3")
LABEL = "dataplane.spillway.node-restriction.kubernetes.io/wanted"
WANTED_KINDS = {
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ServiceAccount",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "Deployment",
    "DaemonSet",
}
EDGE = flood_filter("edge", [rule("amplifiers", protocol="UDP", destinationPorts=["40031"])], node=None)
SECOND = flood_filter("second", [rule("amplifiers", protocol="UDP", destinationPorts=["40032"])], node=None, priority=200)
FAST_TURNS = {"disruption": {"turnSeconds": 3, "maxUnavailable": 1, "maxFailed": 2}, "uninstall": {"timeoutSeconds": 60}}


def chart_objects(api: BareApi) -> list[dict[str, Any]]:
    """What the chart installs, without its hooks and without configuration."""
    argv = [str(api.bin["helm"]), "template", "spillway", "charts/spillway", "-n", NAMESPACE, "--kube-version", "1.34.4"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    objects = [each for each in yaml.safe_load_all(text) if each and each["kind"] in WANTED_KINDS]
    return [each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareApi]:
    """An API server with the chart's objects and three Nodes that say that they are Linux."""
    with bare_api.running(tmp_path_factory.mktemp("api")) as api:
        api.kubectl("create", "namespace", NAMESPACE)
        api.apply(*chart_objects(api))
        for name in NODES:
            api.apply(node_manifest(name))
        yield api


def node_manifest(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}}


@contextmanager
def operator(api: BareApi, pod: str, *arguments: str, config: dict[str, Any] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """One replica, with the rights that the chart gives it."""
    settings = api.home / f"{pod}.json"
    settings.write_text(json.dumps(config or FAST_TURNS))
    environment = {
        **os.environ,
        "KUBECONFIG": str(api.kubeconfig(OPERATOR_TOKEN)),
        "SPILLWAY_CONFIG": str(settings),
        "POD_NAMESPACE": NAMESPACE,
        "POD_UID": pod,
        "POD_NAME": pod,
        "HEALTH_PORT": str(bare_api.free_port()),
        "METRICS_PORT": str(bare_api.free_port()),
        "PYTHONPATH": os.pathsep.join(str(Path.cwd() / part) for part in ("crds", "operator")),
        "PYTHONWARNINGS": "ignore",
    }
    with (api.home / f"{pod}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spillway_operator", *arguments], env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def agents(api: BareApi) -> Iterator[Puppets]:
    with Puppets(api) as puppets:
        yield puppets


@pytest.fixture
def leader(api: BareApi, agents: Puppets) -> Iterator[subprocess.Popen[bytes]]:
    """An operator and agents that have settled on two filters for every node."""
    with operator(api, "leader") as process:
        api.apply(EDGE, SECOND)
        wait_ready(api, "edge")
        wait_ready(api, "second")
        yield process
        api.kubectl("delete", "floodfilters", "--all", "--timeout=10s")


def dataplanes(api: BareApi) -> list[dict[str, Any]]:
    found = api.get("nodedataplanes")
    return list(found["items"]) if found else []


def spec_of(api: BareApi, name: str) -> dict[str, Any] | None:
    found = api.get("nodedataplane", name)
    return found["spec"] if found else None


def wait_ready(api: BareApi, name: str, timeout_s: float = 30) -> dict[str, Any]:
    def probe() -> Any:
        found = api.get("floodfilter", name) or {}
        current = found.get("status", {}).get("observedGeneration") == found.get("metadata", {}).get("generation")
        return found if current and condition(found, "Ready").get("status") == "True" else None

    return dict(wait_for(f"{name} Ready", probe, timeout_s))


def took_s(holds: Callable[[], bool], what: str) -> float:
    start = time.monotonic()
    wait_for(what, holds, REPAIRED_S, 0.02)
    return time.monotonic() - start


EDITS = {
    "inserted": [{"op": "add", "path": "/spec/filters/0", "value": {"name": "x", "uid": "x", "revision": "x-0"}}],
    "reordered": [{"op": "move", "from": "/spec/filters/0", "path": "/spec/filters/1"}],
    "removed": [{"op": "remove", "path": "/spec/filters/0"}],
    "changed": [{"op": "replace", "path": "/spec/filters/0/mode", "value": "Monitor"}],
    "emptied": [{"op": "replace", "path": "/spec", "value": {"state": "Empty"}}],
    "given a turn": [{"op": "replace", "path": "/spec/attach", "value": "Allowed"}],
    "disowned": [{"op": "remove", "path": "/metadata/ownerReferences"}],
}


@pytest.mark.usefixtures("leader")
def test_foreign_edits_are_repaired(api: BareApi) -> None:
    """Whatever a stranger does to an order is undone; the slowest of all kinds of edits is printed."""
    wanted = api.get("nodedataplane", "n1")
    times = {}
    for edit, operations in EDITS.items():
        api.kubectl("patch", "nodedataplane", "n1", "--type=json", "-p", json.dumps(operations))
        times[edit] = took_s(lambda: same_order(api.get("nodedataplane", "n1"), wanted), edit)
    print({edit: round(each, 2) for edit, each in times.items()})


def same_order(one: dict[str, Any], other: dict[str, Any]) -> bool:
    owners = [each["metadata"].get("ownerReferences") for each in (one, other)]
    return bool(one["spec"] == other["spec"] and owners[0] == owners[1])


@pytest.mark.usefixtures("leader")
def test_a_deleted_order_comes_back(api: BareApi) -> None:
    before = api.get("nodedataplane", "n1")
    api.kubectl("delete", "nodedataplane", "n1")
    took_s(lambda: spec_of(api, "n1") == before["spec"], "the order as it was")
    assert api.get("nodedataplane", "n1")["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.usefixtures("leader")
def test_a_revision_comes_back_or_is_made_right(api: BareApi) -> None:
    """Deleted, or replaced by one with another content under the same name: either is noticed."""
    name = spec_of(api, "n1")["filters"][0]["revision"]  # type: ignore[index]
    api.kubectl("-n", NAMESPACE, "delete", "controllerrevision", name)
    wait_for("the revision", lambda: api.get("-n", NAMESPACE, "controllerrevision", name), 60)


@pytest.mark.usefixtures("leader")
def test_nothing_is_put_on_what_users_write(api: BareApi) -> None:
    """No finalizer and no annotation, on filters, nodes and orders alike; of a node's labels only ours is new."""
    for found in (api.get("floodfilter", "edge"), api.get("node", "n1"), api.get("nodedataplane", "n1")):
        assert "finalizers" not in found["metadata"]
        assert "annotations" not in found["metadata"]
    assert api.get("node", "n1")["metadata"]["labels"] == {"kubernetes.io/os": "linux", LABEL: "true"}


@pytest.mark.usefixtures("leader")
def test_turns_are_taken_one_at_a_time(api: BareApi, agents: Puppets) -> None:
    """The fixture attached all three nodes: never two were allowed to at a time, and nobody is in the end."""
    wait_for("every turn's end", lambda: all(each["spec"]["attach"] == "Hold" for each in dataplanes(api)))
    assert agents.attached == set(NODES)
    assert agents.most_open == 1


def test_a_silent_node_is_named_and_heals(api: BareApi, agents: Puppets) -> None:
    """It fell silent while it waited; the others get their turns, and it gets another one when it answers."""
    agents.attach_takes_s = 0.5
    with operator(api, "silent"):
        api.apply(EDGE)
        wait_for("n2 waiting", lambda: (api.get("nodedataplane", "n2") or {}).get("status", {}).get("waitingForTurn"))
        agents.silent.add("n2")
        named = wait_for("n2 named", lambda: [f for f in failures(api, "edge") if f["node"] == "n2"])
        assert named[0]["reason"] == "TurnFailed"
        wait_for("the others", lambda: {"n1", "n3"} <= agents.attached)
        assert api.get("events.events.k8s.io", "-n", "default", "--field-selector", "reason=TurnFailed")["items"]
        agents.silent.clear()
        wait_ready(api, "edge")
        assert agents.most_open == 1
        api.kubectl("delete", "floodfilters", "--all")


def failures(api: BareApi, name: str) -> list[dict[str, Any]]:
    return list((api.get("floodfilter", name) or {}).get("status", {}).get("failures", ()))


@pytest.mark.usefixtures("leader")
def test_totals_add_up_and_never_fall(api: BareApi, agents: Puppets) -> None:
    """A node that leaves takes nothing with it, and one that comes back under the same name begins anew."""

    def dropped() -> int:
        return int(api.get("floodfilter", "edge")["status"]["totals"]["droppedPackets"])

    agents.packets.update(dict.fromkeys(NODES, 100))
    wait_for("300 packets", lambda: dropped() == 300)
    uid = api.get("nodedataplane", "n3")["metadata"]["uid"]
    agents.packets["n3"] = 0
    agents.attached.discard("n3")
    api.kubectl("delete", "node", "n3")
    wait_for("the order's end", lambda: spec_of(api, "n3") is None)
    agents.packets["n1"] = 150
    wait_for("350 packets", lambda: dropped() == 350)
    api.apply(node_manifest("n3"))
    agents.packets["n3"] = 7
    wait_for("357 packets", lambda: dropped() == 357, 30)
    assert uid in api.get("floodfilter", "edge")["status"]["departed"]["uids"]
    wait_ready(api, "edge")


@pytest.mark.usefixtures("leader")
def test_status_follows_the_spec(api: BareApi) -> None:
    """observedGeneration means: this status describes that generation; a mode needs no new revision, a rule does."""
    before = wait_ready(api, "edge")
    api.apply({**EDGE, "spec": {**EDGE["spec"], "mode": "Monitor"}})
    monitored = wait_ready(api, "edge")
    assert monitored["metadata"]["generation"] > before["metadata"]["generation"]
    assert monitored["status"]["revision"] == before["status"]["revision"]
    api.apply({**EDGE, "spec": {**EDGE["spec"], "rules": [rule("amplifiers", protocol="UDP")]}})
    assert wait_ready(api, "edge")["status"]["revision"] != before["status"]["revision"]
    assert condition(api.get("floodfilter", "edge"), "FailsafeOverlap")["status"] == "True"


@pytest.mark.usefixtures("leader")
def test_peers_are_written_and_repaired(api: BareApi) -> None:
    """An address of a node is there as soon as the node has it, and a stranger's edit does not last."""
    status = {"status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}, {"type": "Hostname", "address": "n1"}]}}
    api.kubectl("patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps(status))

    def nodes() -> Any:
        found = api.get("-n", NAMESPACE, "configmap", "spillway-peers")
        return json.loads(found["data"]["nodes"]) if found else None

    wait_for("the node's address", lambda: nodes() == ["10.9.0.1"])
    api.kubectl("-n", NAMESPACE, "patch", "configmap", "spillway-peers", "--type=merge", "-p", '{"data":{"nodes":"[]"}}')
    wait_for("the node's address again", lambda: nodes() == ["10.9.0.1"])


@pytest.mark.usefixtures("leader")
def test_a_standby_takes_over(api: BareApi, leader: subprocess.Popen[bytes]) -> None:
    """A clean end gives the lease back: the standby leads within seconds, and writes nothing that was right already."""
    before = {each["metadata"]["name"]: each["metadata"]["generation"] for each in dataplanes(api)}
    with operator(api, "standby"):
        time.sleep(3)
        leader.terminate()
        assert leader.wait(20) == 0
        spent_s = took_s(lambda: holder(api) == "standby", "the standby's lease")
        api.kubectl("patch", "nodedataplane", "n2", "--type=json", "-p", json.dumps(EDITS["removed"]))
        took_s(lambda: len((spec_of(api, "n2") or {}).get("filters", ())) == 2, "a repair by the standby")
        print(f"handed over after {spent_s:.1f} s")
        after = {each["metadata"]["name"]: each["metadata"]["generation"] for each in dataplanes(api)}
        assert (after["n1"], after["n3"]) == (before["n1"], before["n3"])
        api.kubectl("delete", "floodfilters", "--all")


def holder(api: BareApi) -> str:
    """The pod that leads."""
    identity = api.get("-n", NAMESPACE, "lease", "spillway-operator")["spec"].get("holderIdentity", "")
    return str(identity).rpartition("/")[2]


@pytest.mark.usefixtures("leader")
def test_a_deleted_filter_goes_and_a_deleted_crd_is_no_order(api: BareApi, leader: subprocess.Popen[bytes]) -> None:
    """One filter deleted: out of every order. Its CRD deleted, and every filter with it: nodes keep what they run."""
    api.kubectl("delete", "floodfilter", "second")
    wait_for("orders without it", lambda: all(names_in(each) == ["edge"] for each in dataplanes(api)))
    api.kubectl("delete", "crd", "floodfilters.spillway.dev", "--timeout=30s")
    time.sleep(8)
    assert all(names_in(each) == ["edge"] for each in dataplanes(api))
    api.kubectl("patch", "nodedataplane", "n1", "--type=json", "-p", json.dumps(EDITS["emptied"]))
    took_s(lambda: names_in(api.get("nodedataplane", "n1")) == ["edge"], "a repair while orders are held")
    assert leader.poll() is None
    api.apply(*(each for each in chart_objects(api) if each["metadata"]["name"] == "floodfilters.spillway.dev"))
    wait_for("the CRD", lambda: api.kubectl("get", "floodfilters", check=False) == "")
    api.apply(EDGE, SECOND)
    wait_ready(api, "edge", 60)
    assert leader.poll() is None


def names_in(dataplane: dict[str, Any]) -> list[str]:
    return [each["name"] for each in dataplane["spec"].get("filters", ())]


@pytest.mark.usefixtures("leader")
def test_orders_come_back_with_their_crd(api: BareApi, leader: subprocess.Popen[bytes]) -> None:
    """Without NodeDataplanes nothing can be ordered; when there are some again, every node has its order again."""
    api.kubectl("delete", "crd", "nodedataplanes.spillway.dev", "--timeout=30s")
    wait_for("a condition that says so", lambda: condition(api.get("floodfilter", "edge"), "Ready")["status"] == "False", 30)
    api.apply(*(each for each in chart_objects(api) if each["metadata"]["name"] == "nodedataplanes.spillway.dev"))
    wait_for("the CRD", lambda: api.kubectl("get", "nodedataplanes", check=False) is not None)
    wait_ready(api, "edge", 60)
    assert leader.poll() is None
    assert len(dataplanes(api)) == len(NODES)


def test_an_unreadable_configuration_ends_the_start(api: BareApi) -> None:
    with operator(api, "confused", config={"disruption": {"maxUnavailabel": 1}}) as process:
        assert process.wait(20) == 2
    assert "disruption.maxUnavailabel: 1 unknown field" in (api.home / "confused.log").read_text()


@pytest.mark.parametrize("operator_there", [True, False], ids=["operator there", "operator away"])
def test_uninstall_empties_every_node(api: BareApi, agents: Puppets, operator_there: bool) -> None:
    """In turns, confirmed by every agent; then labels and orders are gone and stay so. The filter stays for a reinstall."""
    with operator(api, "leader") as process:
        api.apply(EDGE)
        wait_ready(api, "edge")
        if not operator_there:
            process.terminate()
            process.wait(20)
        with operator(api, "job", "uninstall") as job:
            assert job.wait(90) == 0, (api.home / "job.log").read_text()
        assert agents.attached == set()
        assert agents.most_open == 1
        time.sleep(2)
        assert dataplanes(api) == []
        assert not any(LABEL in each["metadata"]["labels"] for each in api.get("nodes")["items"])
    assert api.get("floodfilter", "edge")
    assert "Nothing of Spillway is left" in (api.home / "job.log").read_text()
    api.kubectl("-n", NAMESPACE, "delete", "configmap", "spillway-uninstall")
    api.kubectl("delete", "floodfilters", "--all")


def test_uninstall_names_who_does_not_answer_and_goes_on_when_run_again(api: BareApi, agents: Puppets) -> None:
    short = {**FAST_TURNS, "uninstall": {"timeoutSeconds": 8}}
    with operator(api, "leader"):
        api.apply(EDGE)
        wait_ready(api, "edge")
        agents.silent.add("n2")
        with operator(api, "first", "uninstall", config=short) as job:
            assert job.wait(60) == 1
        assert "n2 (" in (api.home / "first.log").read_text().split("Not confirmed")[1]
        agents.silent.clear()
        with operator(api, "again", "uninstall") as job:
            assert job.wait(90) == 0
    api.kubectl("-n", NAMESPACE, "delete", "configmap", "spillway-uninstall")
    api.kubectl("delete", "floodfilters", "--all")


def test_a_leftover_wish_binds_no_later_release(api: BareApi, agents: Puppets) -> None:
    """The wish names the Deployment that was uninstalled; another one orders as if it were not there."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "spillway-uninstall", "namespace": NAMESPACE}}
    api.apply({**body, "data": {"deployment": "an-earlier-one"}}, EDGE)
    with operator(api, "leader"):
        wait_ready(api, "edge")
    api.kubectl("-n", NAMESPACE, "delete", "configmap", "spillway-uninstall")
    api.kubectl("delete", "floodfilters", "--all")


def test_reports_that_an_earlier_release_left_are_not_believed(api: BareApi, agents: Puppets) -> None:
    """Uninstalled without its hook and installed again: what the old agents said last says nothing of the kernels now."""
    with operator(api, "leader"):
        api.apply(EDGE)
        wait_ready(api, "edge")
        agents.silent = set(NODES)
    api.kubectl("-n", NAMESPACE, "delete", "daemonset", "spillway-dataplane")
    time.sleep(1.1)  # the API server's times are whole seconds
    api.apply(*(each for each in chart_objects(api) if each["kind"] == "DaemonSet"))
    with operator(api, "leader"):
        wait_for("edge not Ready", lambda: condition(api.get("floodfilter", "edge"), "Ready")["status"] == "False", 30)
        agents.packets = dict.fromkeys(NODES, 1)  # a real agent that starts dates its conditions, which is a change as well
        agents.silent = set()
        wait_ready(api, "edge")
    api.kubectl("delete", "floodfilters", "--all")
