"""What one node has to do. Pure: the same input gives the same order, whatever order filters come in.

Laws: an order is Active, Idle or Empty and says so; what is not known changes nothing; a node keeps its pod until it has
confirmed that nothing of ours is left in its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from spillway_crds import names
from spillway_crds.filters import FilterContent, FilterSpec, FloodFilter, NodeSelector
from spillway_crds.orders import Attach, FilterOrder, NodeOrder, NodeState
from spillway_crds.resolve import resolve, selects
from spillway_operator.filters.sights import DataplaneSight, NodeSight

LINUX = NodeSelector((("kubernetes.io/os", "linux"),))
REPORT_LEAST_S = 5
NODES_PER_REPORT_SECOND = 30
LAST_PRIORITY = 1000
REPORT_STEP_S = 5  # in steps: each change of the pause rewrites the order of every node


@dataclass(frozen=True, slots=True)
class Candidate:
    """One filter as planning sees it.

    subject: who it selects and how it ranks; None while its spec is invalid. order: what a node is told; None while its revision
    is not stored or its spec is invalid: nodes then keep what they have of it.
    """

    name: str
    uid: str
    subject: FloodFilter | None = None
    order: FilterOrder | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What filters mean for one node. over_limit: names of those that it has no room for."""

    orders: tuple[FilterOrder, ...] = ()
    over_limit: tuple[str, ...] = ()

    @property
    def selected(self) -> bool:
        """Whether any filter wants the node."""
        return bool(self.orders or self.over_limit)

    def concerns(self, filter_name: str) -> bool:
        """Whether that filter selects the node."""
        return filter_name in self.over_limit or any(each.name == filter_name for each in self.orders)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all nodes. emptying: the release is being uninstalled.

    ring_interfaces: with transmit queues that may be granted. A grant names no nodes, so each Linux node is looked at.
    """

    standby: NodeSelector | None = None
    standby_attach: bool = False
    idle_s: float = 0.0
    report_seconds: int = REPORT_LEAST_S
    emptying: bool = False
    ring_interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodePlan:
    """order: what the NodeDataplane has to say; None: there has to be none. wants_pod: whether the node carries our label."""

    order: NodeOrder | None
    wants_pod: bool


def report_seconds(nodes: int) -> int:
    """Pause between two reports of a node, so that all nodes together write about 30 times a second at most."""
    wanted = max(REPORT_LEAST_S, nodes / NODES_PER_REPORT_SECOND)
    return math.ceil(wanted / REPORT_STEP_S) * REPORT_STEP_S


def resolve_node(node: NodeSight, seen: NodeOrder | None, candidates: Iterable[Candidate]) -> Resolved:
    """Return what the filters mean for one node. seen: its present order, kept for filters that have no new one."""
    known = tuple(candidates)
    kept = {each.uid: (place, each) for place, each in enumerate(seen.filters)} if seen else {}
    orders = {each.name: order for each in known if (order := each.order or kept.get(each.uid, (0, None))[1])}
    subjects = (_subject(each, kept) for each in known if each.name in orders)
    resolution = resolve((each for each in subjects if each is not None), node.labels)
    return Resolved(tuple(orders[each.name] for each in resolution.orders), resolution.over_limit)


def _subject(candidate: Candidate, kept: Mapping[str, tuple[int, FilterOrder]]) -> FloodFilter | None:
    """What ranks a filter. One whose spec is not known goes on where it runs, after the others, in the order it had."""
    if candidate.subject is not None or candidate.uid not in kept:
        return candidate.subject
    place, order = kept[candidate.uid]
    spec = FilterSpec(NodeSelector(), FilterContent(rules=(), priority=LAST_PRIORITY + place), order.mode, order.suspend)
    return FloodFilter(candidate.name, spec, uid=candidate.uid, created=order.created)


def is_standby(node: NodeSight, rules: Rules) -> bool:
    """Whether the node has a pod before any filter selects it."""
    return rules.standby is not None and selects(rules.standby, node.labels)


def may_have_rings(node: NodeSight, rules: Rules) -> bool:
    """Whether a transmit queue of the node may be granted, as far as can be known before an agent has looked."""
    return bool(rules.ring_interfaces) and selects(LINUX, node.labels)


def is_empty(dataplane: DataplaneSight) -> bool:
    """Whether the node has confirmed, from its kernel, that nothing of ours is left, and its turn is over.

    Else its turn would last until its pod has ended, and the next node would wait for that.
    """
    order = dataplane.order
    told = order is not None and order.state is NodeState.EMPTY and order.attach is Attach.HOLD
    return told and dataplane.carried_out and not dataplane.has_links


def plan_node(
    node: NodeSight,
    dataplane: DataplaneSight | None,
    resolved: Resolved,
    rules: Rules,
    *,
    idle_for_s: float = 0.0,
    turn: Attach = Attach.HOLD,
    abandoned: bool = False,
    has_ring: bool = False,
) -> NodePlan:
    """Return what one node has to do.

    idle_for_s: how long no filter has wanted it. turn: whether it may make a link flap. abandoned: no agent has ever reported
    from there, and none is there to do so: nobody will ever confirm anything. has_ring: a claim has a queue there, or it is not
    known that none has.
    """
    if not _is_needed(node, dataplane, resolved, rules, abandoned=abandoned, has_ring=has_ring):
        return NodePlan(None, wants_pod=False)
    state = plan_state(node, dataplane, resolved, rules, idle_for_s, has_ring=has_ring)
    order = NodeOrder(
        state=state,
        attach=turn,
        report_seconds=rules.report_seconds,
        attach_standby=state is NodeState.IDLE and rules.standby_attach and is_standby(node, rules),
        filters=resolved.orders if state is NodeState.ACTIVE else (),
        ring_interfaces=rules.ring_interfaces if state is not NodeState.EMPTY and may_have_rings(node, rules) else (),
    )
    return NodePlan(order, wants_pod=True)


def is_wanted(node: NodeSight, resolved: Resolved, rules: Rules, *, has_ring: bool) -> bool:
    """Whether anything but what is left of ours wants a pod there."""
    reasons = resolved.selected or is_standby(node, rules) or may_have_rings(node, rules) or has_ring
    return not rules.emptying and reasons


def _is_needed(
    node: NodeSight, dataplane: DataplaneSight | None, resolved: Resolved, rules: Rules, *, abandoned: bool, has_ring: bool
) -> bool:
    wanted = is_wanted(node, resolved, rules, has_ring=has_ring)
    if abandoned:
        return wanted
    if dataplane is None:
        return wanted or names.NODE_LABEL in node.labels  # it had a pod: what that left has to be asked for
    return wanted or not is_empty(dataplane)


def plan_state(
    node: NodeSight,
    dataplane: DataplaneSight | None,
    resolved: Resolved,
    rules: Rules,
    idle_for_s: float,
    *,
    has_ring: bool = False,
) -> NodeState:
    """Return what the node's order says; never expressed by absence."""
    if rules.emptying:
        return NodeState.IDLE if has_ring else NodeState.EMPTY  # no program is taken off under a ring that somebody holds
    if resolved.orders:
        return NodeState.ACTIVE
    if (rules.standby_attach and is_standby(node, rules)) or may_have_rings(node, rules) or has_ring:
        return NodeState.IDLE
    if dataplane is None or not dataplane.has_links or _idle_is_over(dataplane, rules, idle_for_s):
        return NodeState.EMPTY
    return NodeState.IDLE


def _idle_is_over(dataplane: DataplaneSight, rules: Rules, idle_for_s: float) -> bool:
    begun = dataplane.order is not None and dataplane.order.state is NodeState.EMPTY  # before this process began to count
    return rules.idle_s > 0 and (begun or idle_for_s >= rules.idle_s)


def marked_failed(order: NodeOrder) -> NodeOrder:
    """The order of a node that fell silent in its turn: one that it cannot have reported before, so that its next word is new."""
    return replace(order, attach=Attach.HOLD, report_seconds=order.report_seconds + 1)
