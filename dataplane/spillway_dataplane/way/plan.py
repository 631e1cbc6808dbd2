"""From a flow and what was seen of its way to its header, or to the reason why there is none. Pure: equal input, equal answer."""

from __future__ import annotations

from dataclasses import dataclass

from spillway_crds.streams import Address, Flow
from spillway_dataplane.way.header import BROADCAST_MAC, Header, header_of, multicast_mac
from spillway_dataplane.way.seen import RouteKind, SeenLink, SeenRoute, SeenWay
from spillway_dataplane.way.state import RingState


@dataclass(frozen=True, slots=True)
class NextHop:
    """Whose MAC address frames are sent to, on which device."""

    ifindex: int
    address: Address


@dataclass(frozen=True, slots=True)
class Way:
    """Where a stream's packets go now. header: None unless state is READY. reason: also a remark on what is READY.

    next_hop: whom to keep resolved, None where no neighbour is needed. mtu_bytes: of a whole IP packet, 0 when unknown.
    """

    state: RingState
    reason: str = ""
    header: Header | None = None
    ifindex: int = 0
    mac: bytes = b""
    mtu_bytes: int = 0
    source: Address | None = None
    next_hop: NextHop | None = None
    next_hop_mac: bytes = b""


def next_hop_of(flow: Flow, device: SeenLink, route: SeenRoute) -> NextHop | None:
    """Whom the packets are handed to, None for groups and broadcasts: their MAC address follows from the rule alone."""
    if flow.destination.is_multicast or route.kind is not RouteKind.UNICAST:
        return None
    return NextHop(device.ifindex, route.gateway or flow.destination)


def plan_way(interface: str, flow: Flow, seen: SeenWay) -> Way:
    """Decide state and header of one stream."""
    link, device = seen.link, seen.device
    if link is None:
        return Way(RingState.GONE, f"there is no interface {interface} on this node")
    if not link.up or not link.carrier:
        return _on(link, RingState.LINK_DOWN, f"{interface} {'has no carrier' if link.up else 'is set down'}")
    if device is None or seen.route is None:
        return _on(link, RingState.NO_ROUTE, _no_route(interface, flow, device))
    if seen.route.kind is RouteKind.LOCAL:
        return _on(link, RingState.NO_ROUTE, f"{flow.destination} is an address of this node itself")
    source = flow.source or seen.route.source
    if source is None:
        family = f"IPv{flow.destination.version}"
        wanted = f"{device.name} has no {family} address to send from: give it one, or the flow a sourceAddress"
        return _on(link, RingState.NO_ROUTE, wanted)
    return _sourced(flow, seen, source)


def _sourced(flow: Flow, seen: SeenWay, source: Address) -> Way:
    """Decide for a flow of which everything is known but, perhaps, its next hop's MAC address."""
    link, device, route = seen.link, seen.device, seen.route
    assert link and device and route
    hop = next_hop_of(flow, device, route)
    mac = _target_mac(flow, seen, hop)
    mtu_bytes = min(each for each in (link.mtu_bytes, device.mtu_bytes, route.mtu_bytes) if each)
    state = RingState.READY if mac else RingState.UNRESOLVED
    return Way(
        state=state,
        reason=_remark(source, seen) if mac else _unresolved(flow, seen, device, hop),
        header=header_of(flow, source_mac=device.mac, target_mac=mac, source=source) if mac else None,
        ifindex=link.ifindex,
        mac=device.mac,
        mtu_bytes=mtu_bytes,
        source=source,
        next_hop=hop,
        next_hop_mac=mac,
    )


def _target_mac(flow: Flow, seen: SeenWay, hop: NextHop | None) -> bytes:
    if flow.destination.is_multicast:
        return multicast_mac(flow.destination)
    if hop is None:
        return BROADCAST_MAC
    return seen.neighbour.mac if seen.neighbour else b""


def _on(link: SeenLink, state: RingState, reason: str) -> Way:
    return Way(state, reason, ifindex=link.ifindex, mac=link.mac, mtu_bytes=link.mtu_bytes)


def _no_route(interface: str, flow: Flow, device: SeenLink | None) -> str:
    through = interface if device is None or device.name == interface else f"{interface} ({device.name})"
    return f"no route to {flow.destination} through {through}"


def _unresolved(flow: Flow, seen: SeenWay, device: SeenLink, hop: NextHop | None) -> str:
    assert hop is not None
    whom = f"{hop.address}" if hop.address == flow.destination else f"{hop.address}, the next hop to {flow.destination},"
    if seen.neighbour and seen.neighbour.failed:
        return f"{whom} does not answer on {device.name}: its MAC address is asked for again and again"
    return f"{whom} is asked for its MAC address on {device.name}"


def _remark(source: Address, seen: SeenWay) -> str:
    return "" if seen.local else f"sends from {source}, which is no address of this node"
