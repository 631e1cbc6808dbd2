"""Programs that stay although no filter wants them there: what was attached goes on passing everything. Pure."""

from __future__ import annotations

from spillway_crds.filters import XdpMode
from spillway_crds.orders import NodeOrder, NodeState
from spillway_dataplane.drafts import Draft, passing_draft
from spillway_dataplane.interfaces import Address, choose
from spillway_dataplane.observed import ObservedInterface, ObservedNode
from spillway_dataplane.records import Records


def standing_drafts(
    order: NodeOrder, node: ObservedNode, records: Records, node_addresses: frozenset[Address]
) -> dict[str, Draft]:
    """Return the passing program for every interface that is ours, and in standby for what carries the default routes.

    State EMPTY wants nothing anywhere: what is ours and has no draft is taken off.
    """
    if order.state is NodeState.EMPTY:
        return {}
    names = [each.name for each in node.interfaces if _is_ours(each, records)]
    if order.state is NodeState.IDLE and order.attach_standby:
        names += choose(node, (), node_addresses).names
    return {name: passing_draft(XdpMode.AUTO) for name in names}


def _is_ours(seen: ObservedInterface, records: Records) -> bool:
    """Ours: pinned, or attached before a reboot and free now. Somebody else's program there is no business of a filter's end."""
    if seen.pinned is not None:
        return True
    return seen.name in records.interfaces and (seen.attached is None or seen.maps_pinned)
