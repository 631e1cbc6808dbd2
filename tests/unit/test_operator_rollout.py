"""Turns: never too many at a time, everybody in the end, who falls silent is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_operator.config.part import Share
from spillway_operator.rollout import TurnLimits, TurnNode, Turns, plan_turns

ONE = TurnLimits(at_once=1, turn_s=120.0, max_failed=2)
WAITS = TurnNode("a", waiting=True)
DONE = TurnNode("a", done=True, open=True)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([], Turns(), id="nobody"),
        pytest.param([TurnNode("a")], Turns(), id="nobody waits"),
        pytest.param([replace(WAITS, name="b"), WAITS], Turns(("a",)), id="by name"),
        pytest.param([replace(WAITS, rank=2), replace(WAITS, name="b")], Turns(("b",)), id="filters before standby before empty"),
        pytest.param([replace(WAITS, tries=1), replace(WAITS, name="b")], Turns(("b",)), id="who failed before goes last"),
        pytest.param([replace(WAITS, reachable=False)], Turns(), id="a node that is away cannot take a turn"),
        pytest.param([replace(WAITS, granted_for_s=5.0)], Turns(("a",)), id="a turn goes on"),
        pytest.param([replace(WAITS, granted_for_s=5.0), replace(WAITS, name="b")], Turns(("a",)), id="one at a time"),
        pytest.param([replace(DONE, granted_for_s=5.0), replace(WAITS, name="b")], Turns(), id="done, not yet closed"),
        pytest.param([TurnNode("a"), replace(WAITS, name="b")], Turns(("b",)), id="closed: the next one"),
        pytest.param([TurnNode("a", open=True), replace(WAITS, name="b")], Turns(), id="a stranger opened it: counts"),
        pytest.param([replace(WAITS, granted_for_s=120.0)], Turns((), ("a",)), id="silent: failed"),
        pytest.param([replace(WAITS, granted_for_s=500.0, done=True)], Turns(), id="late but done"),
        pytest.param([replace(WAITS, failed=True), replace(WAITS, name="b")], Turns(("b",), ("a",)), id="the others go on"),
        pytest.param([replace(WAITS, failed=True, answered=True)], Turns(("a",)), id="it answered: again"),
        pytest.param(
            [replace(WAITS, failed=True), replace(WAITS, name="b", failed=True), replace(WAITS, name="c")],
            Turns((), ("a", "b"), stopped=True),
            id="too many failed: stop",
        ),
        pytest.param(
            [TurnNode("a", failed=True), TurnNode("b", failed=True), replace(WAITS, name="c", granted_for_s=1.0)],
            Turns(("c",), ("a", "b"), stopped=True),
            id="stopped: a turn that was given goes on",
        ),
    ],
)
def test_turns(nodes, expected):
    assert plan_turns(nodes, ONE) == expected


@pytest.mark.parametrize(
    ("share", "nodes", "expected"),
    [
        pytest.param(Share(count=3), 100, 3, id="number"),
        pytest.param(Share(percent=25), 40, 10, id="percentage"),
        pytest.param(Share(percent=25), 3, 1, id="at least one"),
        pytest.param(Share(count=1), 0, 1, id="no nodes"),
    ],
)
def test_a_share_of_the_nodes(share, nodes, expected):
    assert share.of(nodes) == expected


names = st.sampled_from([f"n{n}" for n in range(8)])
turn_nodes = st.builds(
    TurnNode,
    name=names,
    waiting=st.booleans(),
    granted_for_s=st.none() | st.floats(0, 300),
    done=st.booleans(),
    open=st.booleans(),
    failed=st.booleans(),
    answered=st.booleans(),
    reachable=st.booleans(),
    rank=st.integers(0, 2),
    tries=st.integers(0, 3),
)
limits = st.builds(TurnLimits, at_once=st.integers(1, 4), turn_s=st.just(120.0), max_failed=st.integers(1, 4))


@given(st.lists(turn_nodes, unique_by=lambda each: each.name), limits, st.randoms())
def test_laws(nodes, bounds, chance):
    """The order of nodes does not matter; nobody new beyond the bound; failed and granted never meet."""
    turns = plan_turns(nodes, bounds)
    shuffled = list(nodes)
    chance.shuffle(shuffled)
    assert plan_turns(shuffled, bounds) == turns
    before = {each.name for each in nodes if each.granted_for_s is not None or each.open}
    if set(turns.granted) - before:
        assert len(set(turns.granted) | {each.name for each in nodes if each.open}) <= bounds.at_once
        assert not turns.stopped
    assert not set(turns.granted) & set(turns.failed)


class Cluster:
    """Nodes that attach in a turn. It plays operator and agents in steps, some of which fall silent; time passes with each."""

    def __init__(self, count: int, silent: set[int], at_once: int) -> None:
        self.limits = TurnLimits(at_once, turn_s=5.0, max_failed=count + 1)
        self.nodes = [TurnNode(f"n{n}", waiting=True) for n in range(count)]
        self.silent = {f"n{n}" for n in silent}
        self.most = 0

    def step(self) -> None:
        turns = plan_turns(self.nodes, self.limits)
        self.nodes = [self._next(each, turns) for each in self.nodes]
        self.most = max(self.most, sum(each.open for each in self.nodes))

    def _next(self, node: TurnNode, turns: Turns) -> TurnNode:
        granted = node.name in turns.granted
        finished = granted and node.open and node.name not in self.silent
        since = None if not granted else (node.granted_for_s or 0.0) + 1.0
        return replace(
            node,
            open=granted,
            granted_for_s=since,
            done=finished,
            waiting=node.waiting and not finished,
            failed=node.name in turns.failed,
        )


@given(st.integers(1, 8), st.sets(st.integers(0, 7)), st.integers(1, 3))
def test_every_run_ends(count, silent, at_once):
    """Who speaks is attached, who does not is named, never more than allowed have a turn at a time."""
    cluster = Cluster(count, silent, at_once)
    for _ in range(count * 12):
        cluster.step()
    waiting = {each.name for each in cluster.nodes if each.waiting}
    assert waiting == {each.name for each in cluster.nodes if each.failed} == cluster.silent & {n.name for n in cluster.nodes}
    assert cluster.most <= at_once
