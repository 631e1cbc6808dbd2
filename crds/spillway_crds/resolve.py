"""What filters mean for one node: which of them it runs, in which order. Pure; the operator and `spillway run` both use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spillway_crds import names
from spillway_crds.filters import FloodFilter, NodeSelector, SelectorExpression
from spillway_crds.orders import FilterOrder
from spillway_crds.revisions import revision_name


@dataclass(frozen=True, slots=True)
class Resolution:
    """orders: sorted by (priority, name). over_limit: names of the younger filters that a node has no room for, sorted."""

    orders: tuple[FilterOrder, ...] = ()
    over_limit: tuple[str, ...] = ()


def selects(selector: NodeSelector, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is selected; an empty selector selects every node.

    Source: k8s.io/apimachinery/pkg/labels/selector.go; NotIn holds for a node without the label.
    """
    by_labels = all(labels.get(key) == value for key, value in selector.match_labels)
    return by_labels and all(_holds(each, labels) for each in selector.match_expressions)


def _holds(expression: SelectorExpression, labels: Mapping[str, str]) -> bool:
    found = labels.get(expression.key)
    match expression.operator:
        case "In":
            return found is not None and found in expression.values
        case "NotIn":
            return found is None or found not in expression.values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case other:
            raise ValueError(f"no such operator: {other}")  # the decoder lets no other in


def resolve(filters: Iterable[FloodFilter], labels: Mapping[str, str], *, limit: int = names.MAX_FILTERS_PER_NODE) -> Resolution:
    """Return what a node with these labels runs. The order of `filters` does not matter.

    Of more than `limit` filters the older ones run, by (creation time, uid, name).
    """
    selected = sorted((each for each in filters if selects(each.spec.node_selector, labels)), key=_age)
    running = sorted(selected[:limit], key=lambda each: (each.spec.content.priority, each.name))
    return Resolution(
        orders=tuple(map(order_of, running)),
        over_limit=tuple(sorted(each.name for each in selected[limit:])),
    )


def _age(each: FloodFilter) -> tuple[str, str, str]:
    return each.created, each.uid, each.name


def order_of(each: FloodFilter) -> FilterOrder:
    """What a node's order says of one filter."""
    return FilterOrder(
        name=each.name,
        uid=each.uid,
        revision=revision_name(each.name, each.spec.content),
        mode=each.spec.mode,
        suspend=each.spec.suspend,
        created=each.created,
    )
