"""On which nodes a pod may run, by the labels that it asks for. Pure.

Only what names nodes by labels is looked at: taints, resources and other pods are the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spillway_crds.filters import NodeSelector, SelectorExpression
from spillway_crds.resolve import selects

Raw = Mapping[str, Any]
COMPARED = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


def is_choosy(pod: Raw) -> bool:
    """Whether a pod asks for nodes by their labels at all."""
    return bool(_spec(pod).get("nodeSelector") or _terms(pod))


def may_run(pod: Raw, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is one that the pod asks for. What cannot be judged here counts as fulfilled.

    Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity: any of the terms, all of a term's expressions.
    """
    wanted: Mapping[str, str] = _spec(pod).get("nodeSelector") or {}
    by_selector = all(labels.get(key) == value for key, value in wanted.items())
    terms = _terms(pod)
    return by_selector and (not terms or any(selects(_selector(each), labels) for each in terms))


def _selector(term: Raw) -> NodeSelector:
    return NodeSelector((), tuple(_expressions(term)))


def _expressions(term: Raw) -> Iterator[SelectorExpression]:
    for each in term.get("matchExpressions") or ():
        if each["operator"] in COMPARED:
            yield SelectorExpression(each["key"], each["operator"], tuple(each.get("values") or ()))


def _terms(pod: Raw) -> list[Raw]:
    affinity: Raw = (_spec(pod).get("affinity") or {}).get("nodeAffinity") or {}
    return list((affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ())


def _spec(pod: Raw) -> Raw:
    found: Raw = pod.get("spec") or {}
    return found
