"""What filters mean for one node: Kubernetes' own selector rules, one order, a limit that favours the older ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import crd_cases as cases
from tests import crd_strategies as some

from spillway_crds.decode import decode_filter
from spillway_crds.filters import FloodFilter
from spillway_crds.resolve import resolve, selects
from spillway_crds.revisions import revision_name


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        pytest.param({}, {}, True, id="empty selects every node"),
        pytest.param({"matchLabels": {"edge": "true"}}, {"edge": "true", "a": "b"}, True, id="label with value"),
        pytest.param({"matchLabels": {"edge": "true"}}, {"edge": "false"}, False, id="label with another value"),
        pytest.param({"matchLabels": {"edge": ""}}, {}, False, id="empty value is not absence"),
        pytest.param({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False, id="all labels"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True, id="In"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False, id="In, absent"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False, id="NotIn"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True, id="NotIn, absent"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True, id="Exists"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False, id="Exists, absent"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True, id="DoesNotExist"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False, id="not absent"),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]},
            {"a": "1"},
            False,
            id="both parts",
        ),
    ],
)
def test_selects(selector: dict[str, object], labels: dict[str, str], expected: bool) -> None:
    """A label selector means what it means for a DaemonSet."""
    assert selects(decode_filter(cases.selector(**selector)).spec.node_selector, labels) is expected


@st.composite
def some_filters(draw: st.DrawFn) -> list[FloodFilter]:
    names = draw(st.lists(some.LABELS, max_size=6, unique=True))
    return [draw(some.filters(name)) for name in names]


LABELS = st.dictionaries(some.LABEL_KEYS, some.LABEL_VALUES)


@some.QUICK
@given(some_filters(), LABELS, st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_order_of_listing_does_not_matter(filters, labels, limit, random) -> None:
    """Two operators, or one after a restart, say the same."""
    again = random.sample(filters, len(filters))
    assert resolve(filters, labels, limit=limit) == resolve(again, labels, limit=limit)


@some.QUICK
@given(some_filters(), LABELS, st.integers(0, 4))
def test_every_selected_filter_runs_or_is_over_the_limit(filters, labels, limit) -> None:
    """Sorted by priority and name; the older ones run; none is lost."""
    found = resolve(filters, labels, limit=limit)
    selected = {each.name: each for each in filters if selects(each.spec.node_selector, labels)}
    running = [selected[order.name] for order in found.orders]
    assert sorted([*(each.name for each in running), *found.over_limit]) == sorted(selected)
    assert len(running) == min(limit, len(selected))
    assert running == sorted(running, key=lambda each: (each.spec.content.priority, each.name))
    left_out = [selected[name] for name in found.over_limit]
    assert all((old.created, old.uid) < (young.created, young.uid) for old in running for young in left_out)


def test_an_order_says_how_and_not_what() -> None:
    """The content is in the revision; mode and suspend are in the order, because they change without a new program."""
    one = decode_filter(cases.spec(mode="Enforce", suspend=True))
    (order,) = resolve([replace(one, uid="u", created="2026-01-01T00:00:00Z")], {}).orders
    assert (order.name, order.uid, order.created) == ("case", "u", "2026-01-01T00:00:00Z")
    assert (order.mode, order.suspend) == ("Enforce", True)
    assert order.revision == revision_name("case", one.spec.content)
