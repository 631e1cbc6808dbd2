"""Which nodes a pod may run on, as the scheduler reads what it asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway_operator.filters.sights import NodeSight
from spillway_operator.streams.pod_nodes import may_run

NODE = NodeSight("n0", "u", 1, {"host": "n0", "studio": "true"})
CLOSED = replace(NODE, closed=True)


def affinity(*terms):
    return whole_terms(*({"matchExpressions": term} for term in terms))


def whole_terms(*terms):
    wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"spec": {"affinity": {"nodeAffinity": wanted}}}


def named(name, *labels):
    return whole_terms({"matchFields": [asks("metadata.name", "In", name)], "matchExpressions": list(labels)})


def asks(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("pod", "fits"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"spec": {"nodeSelector": {}}}, True, id="an empty selector"),
        pytest.param({"spec": {"nodeSelector": {"host": "n0"}}}, True, id="this node"),
        pytest.param({"spec": {"nodeSelector": {"host": "n0", "studio": "false"}}}, False, id="one label of two"),
        pytest.param(affinity([asks("host", "In", "n1", "n0")]), True, id="one of some"),
        pytest.param(affinity([asks("host", "NotIn", "n0")]), False, id="any but this"),
        pytest.param(affinity([asks("host", "In", "n1")], [asks("studio", "Exists")]), True, id="either term"),
        pytest.param(affinity([asks("studio", "Exists"), asks("host", "In", "n1")]), False, id="all of a term"),
        pytest.param(affinity([asks("speed", "Gt", "9")]), True, id="what cannot be judged"),
        pytest.param(affinity([]), False, id="an empty term"),
        pytest.param(named("n0"), True, id="this node's name"),
        pytest.param(named("n1"), False, id="another's name"),
        pytest.param(named("n0", asks("host", "In", "n1")), False, id="its name, not its label"),
        pytest.param({"spec": {"affinity": {"podAffinity": {}}}}, True, id="other affinities"),
        pytest.param(
            {"spec": {"nodeSelector": {"host": "n1"}, **affinity([asks("studio", "Exists")])["spec"]}}, False, id="both"
        ),
    ],
)
def test_a_pod_asks_for_nodes_by_labels_and_names(pod, fits):
    assert may_run(pod, NODE) is fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        pytest.param({}, True, id="all"),
        pytest.param({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}, True, id="this"),
        pytest.param({"key": "node.kubernetes.io/unschedulable", "effect": "NoExecute"}, False, id="another effect"),
        pytest.param({"key": "gpu", "operator": "Exists"}, False, id="another taint"),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_cordoned_node_takes_who_tolerates_that(toleration, fits):
    assert may_run({"spec": {"tolerations": [toleration] if toleration is not None else []}}, CLOSED) is fits
