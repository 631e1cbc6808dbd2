"""On which nodes a pod may run, by the labels and names that it asks for, and whether a node takes new pods. Pure.

Other taints, resources and other pods are the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spillway_crds.filters import NodeSelector, SelectorExpression
from spillway_crds.resolve import selects
from spillway_operator.filters.sights import NodeSight

Raw = Mapping[str, Any]
COMPARED = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
NAME = "metadata.name"  # the one field that a term may ask for: how a DaemonSet binds its pods
CLOSED = "node.kubernetes.io/unschedulable"  # the taint of a node that was cordoned


def may_run(pod: Raw, node: NodeSight) -> bool:
    """Whether a node takes new pods and is one that this pod asks for. What cannot be judged here counts as fulfilled.

    Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity: any of the terms, all that a term asks for.
    """
    wanted: Mapping[str, str] = _spec(pod).get("nodeSelector") or {}
    by_selector = all(node.labels.get(key) == value for key, value in wanted.items())
    terms = _terms(pod)
    chosen = by_selector and (not terms or any(_fits(each, node) for each in terms))
    return chosen and (not node.closed or _enters_closed(pod))


def _enters_closed(pod: Raw) -> bool:
    """Whether a pod tolerates a cordoned node, as a DaemonSet's does."""
    return any(
        each.get("key") in (None, "", CLOSED) and each.get("effect") in (None, "", "NoSchedule")
        for each in _spec(pod).get("tolerations") or ()
    )


def _fits(term: Raw, node: NodeSight) -> bool:
    """An empty term fits no node."""
    labels, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    by_labels = selects(NodeSelector((), tuple(_expressions(labels))), node.labels)
    by_name = selects(NodeSelector((), tuple(_expressions(fields))), {NAME: node.name})
    return bool(labels or fields) and by_labels and by_name


def _expressions(asked: Iterable[Raw]) -> Iterator[SelectorExpression]:
    for each in asked:
        if each["operator"] in COMPARED:
            yield SelectorExpression(each["key"], each["operator"], tuple(each.get("values") or ()))


def _terms(pod: Raw) -> list[Raw]:
    affinity: Raw = (_spec(pod).get("affinity") or {}).get("nodeAffinity") or {}
    return list((affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ())


def _spec(pod: Raw) -> Raw:
    found: Raw = pod.get("spec") or {}
    return found
