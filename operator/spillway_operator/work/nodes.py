"""One node's turn of the wheel: its order, its label, its end. Law: what is written is computed from what is known now.

On the way out: Empty is ordered, the agent confirms it from its kernel, the label goes, the pod goes, the object goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from spillway_crds import names
from spillway_operator import metrics
from spillway_operator.api.calls import DATAPLANES, NODES, ApiServer, Kind
from spillway_operator.filters.sights import DataplaneSight, NodeSight
from spillway_operator.filters.wire import Raw, dataplane_body
from spillway_operator.observe import DataplanePods
from spillway_operator.plan import NodePlan, is_wanted, marked_failed, plan_node
from spillway_operator.work.turns import TurnKeeper
from spillway_operator.world import World

log = logging.getLogger(__name__)
POD_POLL_S = 2.0
ABANDONED_AFTER_S = 30.0  # an agent that is being created would have a pod by then


class NodeWork:
    """answered: takes in what the API server answers to a write. again: asks for another run of a node, after seconds.

    crowded: told of a filter that a node has no room for any more, or has again.
    """

    def __init__(
        self,
        api: ApiServer,
        world: World,
        turns: TurnKeeper,
        pods: DataplanePods,
        *,
        answered: Callable[[Kind, Raw], None],
        again: Callable[[str, float], None],
        crowded: Callable[[str], None],
    ) -> None:
        self._api, self._world, self._turns, self._pods = api, world, turns, pods
        self._answered, self._again, self._crowded = answered, again, crowded
        self._over_limit: dict[str, tuple[str, ...]] = {}
        self._idle_since: dict[str, float] = {}
        self._unheard_since: dict[str, float] = {}

    async def converge(self, name: str) -> None:
        """Make a node's order and label what they have to be."""
        if not self._world.may_plan:
            return
        node, dataplane = self._world.nodes.get(name), self._world.dataplanes.get(name)
        self._note_over_limit(name, self._world.resolved(node).over_limit if node is not None else ())
        if node is None:
            self._idle_since.pop(name, None)
            self._unheard_since.pop(name, None)
            await self._remove_of_gone_node(dataplane)
        elif dataplane is not None and dataplane.owner_uid not in ("", node.uid):
            await self._delete(dataplane, "belongs to an earlier node of that name")
        else:
            abandoned = dataplane is not None and await self._is_abandoned(node, dataplane)
            await self._follow(node, dataplane, self._plan(node, dataplane, abandoned=abandoned))

    def _note_over_limit(self, node: str, over_limit: tuple[str, ...]) -> None:
        """It is other filters that fill a node up, so that no event of the filter itself tells."""
        before = self._over_limit.pop(node, ())
        if over_limit:
            self._over_limit[node] = over_limit
        for name in set(before) ^ set(over_limit):
            self._crowded(name)

    async def _is_abandoned(self, node: NodeSight, dataplane: DataplaneSight) -> bool:
        """Whether nobody has ever reported from there, nobody wants it, and no agent is there that could confirm anything.

        Such a node (the DaemonSet excludes it, say) would stand in the way of every uninstall.
        """
        now = asyncio.get_running_loop().time()
        if dataplane.has_spoken or not self._is_unwanted(node):
            self._unheard_since.pop(node.name, None)
            return False
        waited_s = now - self._unheard_since.setdefault(node.name, now)
        if waited_s < ABANDONED_AFTER_S:
            self._again(node.name, ABANDONED_AFTER_S - waited_s)
            return False
        if await self._pods.on_node(node.name):
            self._again(node.name, ABANDONED_AFTER_S)
            return False
        return True

    def _is_unwanted(self, node: NodeSight) -> bool:
        has_ring = self._world.has_ring(node.name)
        return not is_wanted(node, self._world.resolved(node), self._world.rules(), has_ring=has_ring)

    def _plan(self, node: NodeSight, dataplane: DataplaneSight | None, *, abandoned: bool) -> NodePlan:
        resolved, rules = self._world.resolved(node), self._world.rules()
        idle_for_s = self._idle_for_s(node.name, selected=resolved.selected)
        if rules.idle_s > idle_for_s and not resolved.selected and dataplane is not None and dataplane.has_links:
            self._again(node.name, rules.idle_s - idle_for_s)
        turn = self._turns.turn_of(node.name)
        has_ring = self._world.has_ring(node.name)
        return plan_node(
            node, dataplane, resolved, rules, idle_for_s=idle_for_s, turn=turn, abandoned=abandoned, has_ring=has_ring
        )

    def _idle_for_s(self, name: str, *, selected: bool) -> float:
        now = asyncio.get_running_loop().time()
        if selected:
            self._idle_since.pop(name, None)
            return 0.0
        return now - self._idle_since.setdefault(name, now)

    async def _follow(self, node: NodeSight, dataplane: DataplaneSight | None, plan: NodePlan) -> None:
        if plan.order is not None:
            await self._order(node, dataplane, plan)
        await self._label(node, wanted=plan.wants_pod)
        if plan.order is None and dataplane is not None:
            await self._withdraw(dataplane)

    async def _order(self, node: NodeSight, dataplane: DataplaneSight | None, plan: NodePlan) -> None:
        assert plan.order is not None
        failed = node.name in self._turns.failed
        order = marked_failed(plan.order) if failed else plan.order
        if dataplane is not None and (dataplane.order, dataplane.owner_uid, dataplane.failed) == (order, node.uid, failed):
            return
        self._answered(DATAPLANES, await self._api.apply(DATAPLANES, dataplane_body(order, node, failed=failed)))
        metrics.WRITES.labels(DATAPLANES.name).inc()

    async def _label(self, node: NodeSight, *, wanted: bool) -> None:
        value = names.NODE_LABEL_VALUE if wanted else None
        if node.labels.get(names.NODE_LABEL) == value:
            return
        patch: dict[str, Any] = {"metadata": {"labels": {names.NODE_LABEL: value}}}
        self._answered(NODES, await self._api.merge(NODES, node.name, patch))
        metrics.WRITES.labels(NODES.name).inc()

    async def _withdraw(self, dataplane: DataplaneSight) -> None:
        """The node is clean and its label is gone: once its pod is gone, too, nothing needs the object."""
        if await self._pods.on_node(dataplane.name):
            self._again(dataplane.name, POD_POLL_S)
        else:
            await self._delete(dataplane, "nothing of ours is left on the node")

    async def _remove_of_gone_node(self, dataplane: DataplaneSight | None) -> None:
        """Deleting is the one step that a later run cannot heal: the node's absence is asked for once more."""
        if dataplane is None:
            return
        raw = await self._api.get(NODES, dataplane.name)
        if raw is None:
            await self._delete(dataplane, "the node is gone")
        else:
            self._answered(NODES, raw)

    async def _delete(self, dataplane: DataplaneSight, why: str) -> None:
        log.info("NodeDataplane %s goes: %s", dataplane.name, why)
        await self._api.delete(DATAPLANES, dataplane.name, uid=dataplane.uid)
        metrics.WRITES.labels(DATAPLANES.name).inc()
