"""Programs that stay although no filter wants them there: what was attached goes on passing everything. Pure.

Where transmit queues may be granted a native program is wanted before any is: some cards flap their link when one is attached,
and many need one before an AF_XDP socket sends. It stays as long as queues may be granted, whatever filters come and go.
"""

from __future__ import annotations

from collections.abc import Mapping

from spillway_crds.filters import XdpMode
from spillway_crds.orders import NodeOrder, NodeState
from spillway_dataplane.kept.records import Records
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.interfaces import Address, choose
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode
from spillway_dataplane.planning.drafts import Draft, passing_draft


def standing_drafts(
    order: NodeOrder, node: ObservedNode, records: Records, node_addresses: frozenset[Address]
) -> dict[str, Draft]:
    """Return the passing program for every interface that is ours or has rings, in standby for the default routes too.

    State EMPTY wants nothing anywhere: what is ours and has no draft is taken off.
    """
    if order.state is NodeState.EMPTY:
        return {}
    names = [each.name for each in node.interfaces if _is_ours(each, records)]
    if order.state is NodeState.IDLE and order.attach_standby:
        names += choose(node, (), node_addresses).names
    return {name: passing_draft(XdpMode.AUTO) for name in names} | _ring_drafts(order, node)


def _ring_drafts(order: NodeOrder, node: ObservedNode) -> dict[str, Draft]:
    """An interface that this node lacks is no trouble: a grant names it for the nodes that have it."""
    found = [seen for name in order.ring_interfaces if (seen := node.interface(name)) is not None]
    return {each.name: passing_draft(XdpMode.NATIVE) for each in found if not _has_foreign_native(each)}


def _has_foreign_native(seen: ObservedInterface) -> bool:
    """Anybody's native program does: the card has made its queues ready for it."""
    return seen.pinned is None and seen.attached is not None and seen.attached.mode is XdpMode.NATIVE


def ring_findings(order: NodeOrder, drafts: Mapping[str, Draft]) -> tuple[Finding, ...]:
    """Say where a filter's XDP mode keeps queues from being granted. The filter protects; the ring has to wait."""
    generic = [name for name in order.ring_interfaces if name in drafts and drafts[name].mode is XdpMode.GENERIC]
    return tuple(Finding(Reason.RINGS_NEED_NATIVE, _needs_native(name, drafts[name]), name) for name in generic)


def _needs_native(name: str, draft: Draft) -> str:
    filters = ", ".join(each.order.name for each in draft.members)
    return f"no queue of {name} can be granted: that needs a native program, and filter {filters} asks for Generic"


def _is_ours(seen: ObservedInterface, records: Records) -> bool:
    """Ours: pinned, or attached before a reboot and free now. Somebody else's program there is no business of a filter's end."""
    if seen.pinned is not None:
        return True
    return seen.name in records.interfaces and (seen.attached is None or seen.maps_pinned)
