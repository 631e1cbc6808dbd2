"""Keeps the turns: what `rollout` decides, over time. No I/O.

Who has a turn stands in the orders themselves, who failed one in a label of the NodeDataplane, so that a new leader gives none
twice; only how long a turn has lasted is this process's own clock, which after a restart begins anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spillway_crds.orders import Attach, NodeState, NodeStatus
from spillway_operator import metrics
from spillway_operator.filters.sights import DataplaneSight
from spillway_operator.rollout import TurnLimits, TurnNode, Turns, plan_turns
from spillway_operator.world import World

RANKS = {NodeState.ACTIVE: 0, NodeState.IDLE: 1, NodeState.EMPTY: 2}


@dataclass(frozen=True, slots=True)
class Step:
    """changed: nodes whose order has to be written anew. failed: those that have just failed. again_s: when to look again."""

    changed: frozenset[str] = frozenset()
    failed: tuple[str, ...] = ()
    again_s: float | None = None


@dataclass(slots=True)
class TurnKeeper:
    """granted: since when each node has its turn. failed: what a node had said last when it fell silent."""

    world: World
    granted: dict[str, float] = field(default_factory=dict)
    failed: dict[str, NodeStatus] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def adopt(self, now_s: float) -> None:
        """Go on with the turns that an earlier leader gave. More than may be are somebody's edit, and taken back."""
        opened = sorted(each.name for each in self.world.dataplanes if _is_open(each) and not each.failed)
        self.granted = dict.fromkeys(opened[: self.limits().at_once], now_s)
        self.failed = {each.name: each.status for each in self.world.dataplanes if each.failed}

    def limits(self) -> TurnLimits:
        """What holds now; uninstalling has a share of its own."""
        disruption = self.world.config.disruption
        share = self.world.config.uninstall.max_unavailable if self.world.emptying else disruption.max_unavailable
        return TurnLimits(share.of(len(self.world.dataplanes)), disruption.turn_s, disruption.max_failed)

    def turn_of(self, name: str) -> Attach:
        """Whether the node may make a link flap now."""
        return Attach.ALLOWED if name in self.granted else Attach.HOLD

    def step(self, now_s: float) -> Step:
        """Decide anew. now_s: a clock that never goes back."""
        turns = plan_turns([self._node(each, now_s) for each in self.world.dataplanes], self.limits())
        changed = (self.granted.keys() ^ set(turns.granted)) | (self.failed.keys() ^ set(turns.failed))
        fresh = tuple(name for name in turns.failed if name not in self.failed)
        self._take(turns, now_s)
        self._show()
        return Step(frozenset(changed), fresh, self._again_s(now_s))

    def _node(self, dataplane: DataplaneSight, now_s: float) -> TurnNode:
        name, node = dataplane.name, self.world.nodes.get(dataplane.name)
        given_at, order = self.granted.get(name), dataplane.order
        return TurnNode(
            name=name,
            waiting=bool(dataplane.status.waiting_for_turn),
            granted_for_s=None if given_at is None else now_s - given_at,
            done=_is_open(dataplane) and dataplane.carried_out,
            open=_is_open(dataplane),
            failed=name in self.failed,
            answered=self._has_answered(dataplane),
            reachable=node is not None and node.reachable,
            rank=RANKS[order.state] if order else 0,
            tries=self.tries[name],
        )

    def _has_answered(self, dataplane: DataplaneSight) -> bool:
        """A word that it had not said when it fell silent; the order that marks it as failed is one it cannot have known."""
        knows_mark = dataplane.failed and dataplane.status.observed_spec_hash == dataplane.order_hash
        return knows_mark or dataplane.status != self.failed.get(dataplane.name, dataplane.status)

    def _take(self, turns: Turns, now_s: float) -> None:
        words = {each.name: each.status for each in self.world.dataplanes}
        self.tries.update(name for name in turns.failed if name not in self.failed)
        self.granted = {name: self.granted.get(name, now_s) for name in turns.granted}
        self.failed = {name: self.failed.get(name, words[name]) for name in turns.failed}
        self.stopped = turns.stopped
        for name in self.tries.keys() - words.keys():
            del self.tries[name]

    def _again_s(self, now_s: float) -> float | None:
        if not self.granted:
            return None
        return max(0.0, min(self.granted.values()) + self.world.config.disruption.turn_s - now_s) + 0.01

    def _show(self) -> None:
        waiting = sum(bool(each.status.waiting_for_turn) for each in self.world.dataplanes)
        for state, count in (("granted", len(self.granted)), ("waiting", waiting), ("failed", len(self.failed))):
            metrics.TURNS.labels(state).set(count)


def _is_open(dataplane: DataplaneSight) -> bool:
    return dataplane.order is not None and dataplane.order.attach is Attach.ALLOWED
