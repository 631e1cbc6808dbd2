"""The kernel's answers about one stream's way: link, route, neighbour. Reads, and keeps next hops resolved.

Source: include/uapi/linux/{rtnetlink,neighbour}.h, net/ipv4/route.c (inet_rtm_getroute), net/core/neighbour.c.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from spillway_crds.streams import Address, Flow
from spillway_dataplane.kernel.netlink import IFF_LOWER_UP, IFF_UP
from spillway_dataplane.kernel.rtnetlink import (
    HEADER,
    IFINFOMSG,
    NLM_F_REQUEST,
    RTM_GETLINK,
    RTM_GETROUTE,
    RTMSG,
    Message,
    ask,
    dump,
    link_request,
    links_request,
    open_socket,
    parse,
    slim,
)
from spillway_dataplane.way.plan import next_hop_of
from spillway_dataplane.way.seen import RouteKind, SeenLink, SeenNeighbour, SeenRoute, SeenWay

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
NTF_USE = 1 << 0
NUD_STALE, NUD_FAILED = 0x04, 0x20
NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # reachable, stale, delay, probe, noarp, permanent
NDMSG = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, ifindex, state, flags, type
NDA_DST, RTA_DST, RTA_SRC, RTA_OIF = 1, 1, 2, 4
RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 27, 28, 29
RTM_F_FIB_MATCH = 0x2000
LINK_ATTRIBUTES = frozenset({1, 3, 4, 5, 10, 18})  # IFLA_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _LINKINFO
LIMITED_BROADCAST = IPv4Address("255.255.255.255")


def observe_way(interface: str, flow: Flow) -> SeenWay:
    """Look at everything that decides about a stream's header, in the calling thread's network namespace."""
    link = link_named(interface)
    if link is None or not (link.up and link.carrier):
        return SeenWay(link)
    local = flow.source is None or _is_local(flow)
    device = link
    for device in _devices(link, flow):
        route = _route(_Question(flow.destination, flow, device.ifindex, flow.source if local else None))
        if route is not None:
            hop = next_hop_of(flow, device, route)
            return SeenWay(link, device, route, neighbour(hop.ifindex, hop.address) if hop else None, local)
    return SeenWay(link, device, local=local)


def link_named(ifname: str) -> SeenLink | None:
    """Return an interface, None when there is no such."""
    return _link(link_request(ifname))


def _link(request: bytes) -> SeenLink | None:
    try:
        (link,) = parse([slim(ask(RTM_GETLINK, request), LINK_ATTRIBUTES)])
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ERANGE, errno.EINVAL):  # none, or a name that no device can have
            return None
        raise
    return _seen(link)


def _seen(link: Message) -> SeenLink:
    return SeenLink(
        name=link.get_attr("IFLA_IFNAME"),
        ifindex=link["index"],
        up=bool(link["flags"] & IFF_UP),
        carrier=bool(link["flags"] & IFF_LOWER_UP),
        mtu_bytes=link.get_attr("IFLA_MTU") or 0,
        mac=_mac(link.get_attr("IFLA_ADDRESS")),
        master=link.get_attr("IFLA_MASTER") or 0,
    )


def _mac(text: str | None) -> bytes:
    raw = bytes.fromhex((text or "").replace(":", ""))
    return raw if len(raw) == 6 else b""


def _devices(link: SeenLink, flow: Flow) -> Iterator[SeenLink]:
    """What routes of the stream may lead to: the VLAN's device, or the interface, then the bond or bridge that it belongs to.

    Addresses and routes lie on the topmost of them, not on the card.
    """
    vlan = _vlan_device(link, flow)
    if vlan is not None:
        yield vlan
        return
    yield link
    if link.master and (master := _link(_by_index(link.master))) is not None:
        yield master


def _vlan_device(link: SeenLink, flow: Flow) -> SeenLink | None:
    if flow.vlan is None:
        return None
    below = {link.ifindex, link.master} - {0}
    for each in parse([slim(message, LINK_ATTRIBUTES) for message in dump(RTM_GETLINK, links_request())]):
        if each.get_attr("IFLA_LINK") in below and _vlan_id(each) == flow.vlan.id:
            return _seen(each)
    return None


def _vlan_id(link: Message) -> int | None:
    info = link.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "vlan":
        return None
    found: int = info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID")
    return found


def _by_index(ifindex: int) -> bytes:
    return IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)


@dataclass(frozen=True, slots=True)
class _Question:
    """One lookup: to whom, of what flow, through which interface (0: any), from where (None: as the kernel likes)."""

    destination: Address
    flow: Flow
    ifindex: int = 0
    source: Address | None = None

    def body(self, flags: int) -> bytes:
        """Return the body of RTM_GETROUTE. Ports and DSCP too: rules and the hash over equal routes may look at them."""
        bits, tos = len(self.destination.packed) * 8, self.flow.dscp << 2
        head = RTMSG.pack(_family(self.destination), bits, bits if self.source else 0, tos, 0, 0, 0, 0, flags)
        body = head + _attribute(RTA_DST, self.destination.packed) + _attribute(RTA_IP_PROTO, bytes([socket.IPPROTO_UDP]))
        body += _attribute(RTA_SPORT, self.flow.source_port.to_bytes(2, "big"))
        body += _attribute(RTA_DPORT, self.flow.destination_port.to_bytes(2, "big"))
        if self.ifindex:
            body += _attribute(RTA_OIF, struct.pack("=i", self.ifindex))
        return body + (_attribute(RTA_SRC, self.source.packed) if self.source else b"")


def _is_local(flow: Flow) -> bool:
    assert flow.source is not None
    route = _route(_Question(flow.source, flow))
    return route is not None and route.kind is RouteKind.LOCAL


def _route(question: _Question) -> SeenRoute | None:
    """Ask what a socket of that flow would do. None: no route leads there through that interface."""
    to = question.destination
    try:
        if to.version == 4 and not to.is_multicast and to != LIMITED_BROADCAST:
            ask(RTM_GETROUTE, question.body(RTM_F_FIB_MATCH))  # the plain question takes everything for on-link without a route
        (found,) = parse([ask(RTM_GETROUTE, question.body(0))])
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOBUFS, errno.EMFILE, errno.ENOMEM):
            raise
        return None
    return _seen_route(found)


def _seen_route(found: Message) -> SeenRoute:
    via = found.get_attr("RTA_VIA")  # an IPv4 route may lead to an IPv6 neighbour
    gateway = found.get_attr("RTA_GATEWAY") or (via["addr"] if via else None)
    source, metrics = found.get_attr("RTA_PREFSRC"), found.get_attr("RTA_METRICS")
    kinds = {each.value: each for each in RouteKind}
    return SeenRoute(
        kind=kinds.get(found["type"], RouteKind.OTHER),
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
        mtu_bytes=(metrics.get_attr("RTAX_MTU") if metrics else 0) or 0,
    )


def neighbour(ifindex: int, address: Address) -> SeenNeighbour:
    """Return what is known of a neighbour."""
    state, mac = _neighbour(ifindex, address)
    return SeenNeighbour(mac if state & NUD_VALID else b"", bool(state & NUD_FAILED))


def _neighbour(ifindex: int, address: Address) -> tuple[int, bytes]:
    """Return a neighbour's state, NUD_*, 0 for one that the kernel does not have, and its MAC address."""
    body = NDMSG.pack(_family(address), ifindex, 0, 0, 0) + _attribute(NDA_DST, address.packed)
    try:
        (found,) = parse([ask(RTM_GETNEIGH, body)])
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
            return 0, b""
        raise
    return found["state"], _mac(found.get_attr("NDA_LLADDR"))


def use_neighbour(ifindex: int, address: Address) -> None:
    """Treat a neighbour as a socket that sends to it would: it is asked for where unknown, and asked again where it grew old.

    Frames of a ring pass the kernel's neighbour table by, so nothing else would keep it true. Needs CAP_NET_ADMIN.
    Never of an entry that somebody made permanent: NTF_USE takes that away from it (__neigh_update(), Linux 5.16 and later).
    """
    state, _ = _neighbour(ifindex, address)
    if state & ~(NUD_STALE | NUD_FAILED):
        return
    body = NDMSG.pack(_family(address), ifindex, 0, NTF_USE, 0) + _attribute(NDA_DST, address.packed)
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE
    with open_socket() as asked:  # its answer is not read: a neighbour that cannot be made shows as unresolved
        asked.send(HEADER.pack(HEADER.size + len(body), RTM_NEWNEIGH, flags, 1, 0) + body)


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
