"""Which nodes a pod asks for, as the scheduler reads it."""

from __future__ import annotations

import pytest

from spillway_operator.streams.pod_nodes import is_choosy, may_run

LABELS = {"host": "n0", "studio": "true"}


def affinity(*terms):
    listed = [{"matchExpressions": term} for term in terms]
    wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": listed}}
    return {"spec": {"affinity": {"nodeAffinity": wanted}}}


def asks(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("pod", "choosy", "fits"),
    [
        pytest.param({}, False, True, id="nothing"),
        pytest.param({"spec": {"nodeSelector": {}}}, False, True, id="an empty selector"),
        pytest.param({"spec": {"nodeSelector": {"host": "n0"}}}, True, True, id="this node"),
        pytest.param({"spec": {"nodeSelector": {"host": "n0", "studio": "false"}}}, True, False, id="one label of two"),
        pytest.param(affinity([asks("host", "In", "n1", "n0")]), True, True, id="one of some"),
        pytest.param(affinity([asks("host", "NotIn", "n0")]), True, False, id="any but this"),
        pytest.param(affinity([asks("host", "In", "n1")], [asks("studio", "Exists")]), True, True, id="either term"),
        pytest.param(affinity([asks("studio", "Exists"), asks("host", "In", "n1")]), True, False, id="all of a term"),
        pytest.param(affinity([asks("speed", "Gt", "9")]), True, True, id="what cannot be judged"),
        pytest.param({"spec": {"affinity": {"podAffinity": {}}}}, False, True, id="other affinities"),
        pytest.param(
            {"spec": {"nodeSelector": {"host": "n1"}, **affinity([asks("studio", "Exists")])["spec"]}}, True, False, id="both"
        ),
    ],
)
def test_a_pod_asks_for_nodes_by_their_labels(pod, choosy, fits):
    assert (is_choosy(pod), may_run(pod, LABELS)) == (choosy, fits)
