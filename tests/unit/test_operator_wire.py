"""Configuration, peers and objects on their way in and out: strict where people write, lenient where clusters differ."""

from __future__ import annotations

import json

import pytest

from spillway_crds import names
from spillway_crds.errors import InvalidIntent
from spillway_crds.failsafe import flows
from spillway_crds.filters import NodeSelector, SelectorExpression
from spillway_crds.grants import granted_interfaces, granted_queues
from spillway_crds.orders import NodeOrder, NodeState
from spillway_crds.orders_wire import order_hash
from spillway_operator.api.pods import pod_trouble
from spillway_operator.config.part import Share
from spillway_operator.config.settings import Config, Failsafe, decode_config, read_config
from spillway_operator.filters.sights import DataplaneSight, NodeSight
from spillway_operator.filters.wire import dataplane_body, reduce_dataplane, reduce_filter, reduce_node
from spillway_operator.peers import plan_peers
from spillway_operator.uninstall import progress_of

# ---- configuration ------------------------------------------------------------------------------------------------------

CHARTS = {
    "disruption": {"maxUnavailable": "25%", "turnSeconds": 60, "maxFailed": 3, "idleSeconds": 10},
    "uninstall": {"maxUnavailable": 2, "timeoutSeconds": 100},
    "standby": {"nodeSelector": {"matchLabels": {"a": "b"}}, "attach": True},
    "failsafe": {"apiServers": ["10.0.0.1:6443", "[fd00::1]:6443"], "ntpServers": ["192.0.2.1"], "bgpPeers": ["10.0.0.0/30"]},
}


def grant(interface="eth1", **fields):
    return {"interface": interface, "queues": [1], "namespaces": ["studio"], **fields}


def test_grants_say_who_may_have_which_queue():
    grants = decode_config({"streams": {"grants": [grant(queues=[1, 2]), grant(namespaces=["news"]), grant("eth0")]}}).grants
    assert granted_interfaces(grants) == ("eth0", "eth1")
    assert (granted_queues(grants, "studio", "eth1"), granted_queues(grants, "news", "eth1")) == ({1, 2}, {1})
    assert granted_queues(grants, "news", "eth0") == granted_queues(grants, "other", "eth1") == frozenset()


def test_what_the_chart_writes_is_read():
    config = decode_config(CHARTS)
    assert (config.disruption.max_unavailable, config.disruption.turn_s) == (Share(percent=25), 60)
    assert (config.uninstall.max_unavailable, config.uninstall.timeout_s) == (Share(count=2), 100)
    assert (config.standby.selector, config.standby.attach) == (NodeSelector((("a", "b"),)), True)
    assert config.failsafe.api_servers == ("10.0.0.1:6443", "[fd00::1]:6443")
    assert decode_config({}) == Config()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param({}, NodeSelector(), id="every node"),
        pytest.param({"kubernetes.io/os": "linux"}, NodeSelector((("kubernetes.io/os", "linux"),)), id="plain labels"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
            NodeSelector((), (SelectorExpression("a", "In", ("b",)),)),
            id="expressions",
        ),
    ],
)
def test_standby_selectors(selector, expected):
    assert decode_config({"standby": {"nodeSelector": selector}}).standby.selector == expected


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        pytest.param([], "config", id="no object"),
        pytest.param({"disruptions": {}}, "disruptions", id="unknown part"),
        pytest.param({"disruption": {"maxUnavailabel": 1}}, "disruption.maxUnavailabel", id="unknown field"),
        pytest.param({"disruption": {"maxUnavailable": 0}}, "disruption.maxUnavailable", id="no node"),
        pytest.param({"disruption": {"maxUnavailable": "0%"}}, "disruption.maxUnavailable", id="no percent"),
        pytest.param({"disruption": {"turnSeconds": "120"}}, "disruption.turnSeconds", id="text for a number"),
        pytest.param({"disruption": {"maxFailed": True}}, "disruption.maxFailed", id="truth for a number"),
        pytest.param({"standby": {"attach": 1}}, "standby.attach", id="number for truth"),
        pytest.param({"standby": {"nodeSelector": {"a": 1}}}, "standby.nodeSelector.a", id="number for a label"),
        pytest.param({"failsafe": {"adminPrefixes": ["10.0.0.1/8"]}}, "failsafe.adminPrefixes[0]", id="host bits"),
        pytest.param({"failsafe": {"apiServers": ["api.example:6443"]}}, "failsafe.apiServers[0]", id="name for an address"),
        pytest.param({"failsafe": {"apiServers": "10.0.0.1:6443"}}, "failsafe.apiServers", id="no list"),
        pytest.param({"streams": {"grant": []}}, "streams.grant", id="unknown field of streams"),
        pytest.param({"streams": {"grants": {}}}, "streams.grants", id="no list of grants"),
        pytest.param({"streams": {"grants": [grant(interface="eth*")]}}, "streams.grants[0].interface", id="glob"),
        pytest.param({"streams": {"grants": [grant(queues=[])]}}, "streams.grants[0].queues", id="no queue"),
        pytest.param({"streams": {"grants": [grant(queue=1)]}}, "streams.grants[0].queue", id="unknown field of a grant"),
        pytest.param({"streams": {"grants": [grant(f"eth{n}") for n in range(17)]}}, "streams.grants", id="17 interfaces"),
        pytest.param({"failsafe": {"flows": ["sssh"]}}, "failsafe.flows[0]", id="unknown flow"),
    ],
)
def test_a_wrong_configuration_names_the_field(raw, path):
    with pytest.raises(InvalidIntent) as caught:
        decode_config(raw)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_every_problem_at_once():
    with pytest.raises(InvalidIntent) as caught:
        decode_config({"a": 1, "disruption": {"b": 2, "turnSeconds": 0}})
    assert len(caught.value.problems) == 3


def test_a_file_that_is_not_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(InvalidIntent, match="is not JSON"):
        read_config(path)


# ---- peers --------------------------------------------------------------------------------------------------------------

SLICES = [
    {"ports": [{"port": 6443}], "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}]},
    {"ports": [{"port": 6443}], "endpoints": [{"addresses": ["fd00::1"]}]},
]


def cluster_info(server: str) -> dict:
    return {"data": {"kubeconfig": json.dumps({"clusters": [{"cluster": {"server": server}}]})}}


def test_peers_come_from_all_three_places():
    data = plan_peers(
        SLICES, cluster_info("https://10.0.0.9:8443"), ["10.0.0.11", "n1.example"], Failsafe(api_servers=("10.0.0.7:443",))
    )
    assert json.loads(data["apiServers"]) == ["10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.7:443", "10.0.0.9:8443", "[fd00::1]:6443"]
    assert json.loads(data["nodes"]) == ["10.0.0.11"]
    assert json.loads(data["flows"]) == [flow.name for flow in flows()]
    assert data["ceilingPacketsPerSecond"] == "1000"


@pytest.mark.parametrize(
    "info",
    [
        pytest.param(None, id="none"),
        pytest.param({}, id="empty"),
        pytest.param({"data": {"kubeconfig": "{"}}, id="no YAML"),
        pytest.param({"data": {"kubeconfig": "[]"}}, id="no kubeconfig"),
        pytest.param(cluster_info("https://api.example:6443"), id="a name"),
        pytest.param(cluster_info("https://[::1"), id="no URL"),
        pytest.param(cluster_info("https://10.0.0.1:99999"), id="no port"),
    ],
)
def test_an_unusable_cluster_info_names_nobody(info):
    assert json.loads(plan_peers([], info, [], Failsafe())["apiServers"]) == []


def test_the_same_cluster_gives_the_same_text():
    assert plan_peers(SLICES, None, ["b", "10.0.0.2", "10.0.0.1"], Failsafe()) == plan_peers(
        SLICES[::-1], None, ["10.0.0.1", "10.0.0.2"], Failsafe()
    )


# ---- objects ------------------------------------------------------------------------------------------------------------


def raw_filter(**spec) -> dict:
    rules = [{"name": "r", "match": {"protocol": "TCP"}, "action": "Drop"}]
    metadata = {"name": "f", "uid": "u", "resourceVersion": "7", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FloodFilter",
        "metadata": metadata,
        "spec": {"nodeSelector": {}, "rules": rules, **spec},
    }


def test_a_filter_is_kept_without_its_rules():
    sight = reduce_filter(raw_filter(), None, flows())
    assert sight.subject is not None
    assert sight.subject.spec.content.rules == ()
    assert sight.rule_names == ("r",)
    assert sight.order is not None
    assert sight.order.revision.startswith("f-")
    assert sight.overlaps
    assert "ssh" in sight.overlaps[0]


def test_a_spec_is_decoded_once_a_generation():
    known = reduce_filter(raw_filter(), None, ())
    raw = raw_filter()
    raw["metadata"]["resourceVersion"] = "8"
    raw["spec"] = "never read"
    sight = reduce_filter(raw, known, ())
    assert (sight.version, sight.order) == (8, known.order)


def test_a_filter_that_is_too_large_is_invalid_with_its_size():
    rules = [
        {"name": f"r{n}", "match": {"sources": [f"10.0.{n}.0/24"] * 16}, "action": "Drop", "x": "y" * 9000} for n in range(64)
    ]
    sight = reduce_filter(raw_filter(rules=rules), None, ())
    assert sight.subject is None
    assert str(sight.size_bytes) in sight.problem
    assert str(names.MAX_FILTER_BYTES) in sight.problem


def test_an_invalid_filter_says_where():
    assert "spec.mood" in reduce_filter(raw_filter(mood="bad"), None, ()).problem


def raw_node(conditions=(), addresses=()) -> dict:
    return {
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "5", "labels": {"a": "b"}},
        "status": {"conditions": list(conditions), "addresses": list(addresses)},
    }


@pytest.mark.parametrize(
    ("conditions", "reachable"),
    [
        pytest.param([], True, id="nothing said"),
        pytest.param([{"type": "Ready", "status": "True"}], True, id="ready"),
        pytest.param([{"type": "Ready", "status": "Unknown"}], False, id="silent"),
        pytest.param([{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": "False"}], False, id="not ready"),
    ],
)
def test_a_node_is_away_only_if_it_is_said(conditions, reachable):
    assert reduce_node(raw_node(conditions)).reachable is reachable


def test_a_node_keeps_ip_addresses_only():
    addresses = [
        {"type": "Hostname", "address": "n"},
        {"type": "ExternalIP", "address": "2"},
        {"type": "InternalIP", "address": "1"},
    ]
    assert reduce_node(raw_node(addresses=addresses)).addresses == ("1", "2")


def raw_dataplane(spec, **metadata) -> dict:
    return {"metadata": {"name": "n", "uid": "d", "resourceVersion": "3", "generation": 1, **metadata}, "spec": spec}


def test_an_order_reads_back_as_it_was_written():
    node = NodeSight("n", "uid-n", 1)
    order = NodeOrder(NodeState.IDLE, report_seconds=10)
    body = dataplane_body(order, node, failed=True)
    sight = reduce_dataplane({**body, "metadata": {**body["metadata"], "uid": "d", "resourceVersion": "3"}}, None)
    assert (sight.order, sight.owner_uid, sight.failed) == (order, "uid-n", True)
    assert sight.order_hash == order_hash(order)


@pytest.mark.parametrize("spec", [{"state": "Nonsense"}, {}, {"state": "Active"}])
def test_a_strangers_order_is_none(spec):
    sight = reduce_dataplane(raw_dataplane(spec), None)
    assert (sight.order, sight.order_hash, sight.carried_out) == (None, "", False)


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "taint"}


def container(**state) -> dict:
    return {"containerStatuses": [{"state": state}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, "", id="nothing said"),
        pytest.param({"conditions": [UNSCHEDULABLE]}, "Unschedulable: taint", id="unschedulable"),
        pytest.param(
            container(waiting={"reason": "ImagePullBackOff", "message": "none"}), "ImagePullBackOff: none", id="no image"
        ),
        pytest.param(container(waiting={"reason": "ContainerCreating"}), "", id="starting"),
        pytest.param(container(running={}), "", id="running"),
    ],
)
def test_why_a_pod_does_not_run(status, expected):
    assert pod_trouble({"status": status}) == expected


def test_uninstall_says_who_is_left():
    clean = NodeOrder(NodeState.EMPTY)
    done = reduce_dataplane(raw_dataplane({"state": "Empty"}) | {"status": {"observedSpecHash": order_hash(clean)}}, None)
    silent = DataplaneSight("m", "d", 1, 1, order=clean, order_hash=order_hash(clean))
    progress = progress_of([done, silent], [NodeSight("o", "u", 1)], seen=4)
    never = "m (no agent has ever reported from there)"
    assert progress.remaining == (never, "n (clean, its pod is ending)", "o (its label is there)")
    assert str(progress).startswith(f"1 of 4 nodes are clean; waiting for {never}, n (")
    assert str(progress_of([], [], seen=4)) == "4 of 4 nodes are clean"


def test_uninstall_names_the_pods_that_hold_rings():
    """Only of nodes that are not clean yet."""
    node = NodeSight("n", "u", 1)
    progress = progress_of([], [node], seen=2, rings={"n": ["studio/b", "studio/a"], "clean": ["news/c"]})
    assert progress.remaining == ("n (rings are held there by pod studio/a, studio/b: end it first)",)
