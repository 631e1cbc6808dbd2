"""What the kernel's network tables show: interfaces, default routes. Reads only, in the calling thread's network namespace.

/sys/class/net is read for what netlink does not tell; it must show the same namespace, as it does in a pod on the host's network.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from pathlib import Path

from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.ethtool import driver_of
from spillway_dataplane.kernel.events import Changes, Watch, Watcher, watch
from spillway_dataplane.kernel.rtnetlink import (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETROUTE,
    Message,
    ask,
    dump,
    link_request,
    links_request,
    of_default_route,
    parse,
    routes_request,
    slim,
)
from spillway_dataplane.node.observed import DefaultRoute, ObservedInterface, ObservedXdp

SYS_NET = Path("/sys/class/net")
IFF_UP, IFF_LOWER_UP = 1 << 0, 1 << 16
XDP_ATTACHED_DRV, XDP_ATTACHED_SKB, XDP_ATTACHED_HW = 1, 2, 3
RTN_UNICAST = 1
READ_ATTRIBUTES = frozenset({3, 4, 5, 18, 37, 43})  # IFLA_IFNAME, _MTU, _LINK, _LINKINFO, _LINK_NETNSID, _XDP
STACKED_KINDS = frozenset(
    {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"}
)  # IFLA_LINK is what they lie on; a veth's is its peer
XDP_PROGRAM_ATTRIBUTES = {  # of the mode: when two modes hold a program, each has an attribute of its own
    XDP_ATTACHED_DRV: "IFLA_XDP_DRV_PROG_ID",
    XDP_ATTACHED_SKB: "IFLA_XDP_SKB_PROG_ID",
    XDP_ATTACHED_HW: "IFLA_XDP_HW_PROG_ID",
}

__all__ = ["Changes", "Watch", "Watcher", "default_routes", "interface", "interfaces", "watch"]
Address = IPv4Interface | IPv6Interface


def interfaces() -> tuple[ObservedInterface, ...]:
    """Return every interface, in name order, without what lies in the BPF filesystem."""
    links = list(parse([slim(each, READ_ATTRIBUTES) for each in dump(RTM_GETLINK, links_request())]))
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    addresses = _addresses()
    found = (_interface(link, names, addresses.get(link["index"], ())) for link in links)
    return tuple(sorted(found, key=lambda each: each.name))


def interface(ifname: str) -> ObservedInterface | None:
    """Return one interface without addresses and lower devices, or None when there is no such."""
    try:
        (link,) = parse([ask(RTM_GETLINK, link_request(ifname))])
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return _interface(link, {}, ())


def _interface(link: Message, names: Mapping[int, str], addresses: Iterable[Address]) -> ObservedInterface:
    name = link.get_attr("IFLA_IFNAME")
    kind = _nested(link, "IFLA_LINKINFO", "IFLA_INFO_KIND") or ""
    return ObservedInterface(
        name=name,
        ifindex=link["index"],
        kind=kind,
        driver=driver_of(name),
        physical=(SYS_NET / name / "device").exists(),
        up=bool(link["flags"] & IFF_UP),
        carrier=bool(link["flags"] & IFF_LOWER_UP),
        mtu=link.get_attr("IFLA_MTU") or 0,
        rx_queues=len(list((SYS_NET / name / "queues").glob("rx-*"))),
        lower=_lower(link, kind, names),
        addresses=tuple(addresses),
        attached=_attached(link),
    )


def _nested(message: Message, *path: str) -> Message:
    for name in path:
        if message is None:
            return None
        message = message.get_attr(name)
    return message


def _lower(link: Message, kind: str, names: Mapping[int, str]) -> tuple[str, ...]:
    """Return the devices below: what is enslaved to it, and what a stacked kind was made on."""
    name = link.get_attr("IFLA_IFNAME")
    below = {entry.name.removeprefix("lower_") for entry in (SYS_NET / name).glob("lower_*")}
    if kind in STACKED_KINDS and link.get_attr("IFLA_LINK_NETNSID") is None:
        below.add(names.get(link.get_attr("IFLA_LINK"), ""))
    return tuple(sorted(below - {"", name}))


def _attached(link: Message) -> ObservedXdp | None:
    """Return the program on the XDP hook. With several at once the driver's comes first: it sees a packet before the others."""
    xdp = link.get_attr("IFLA_XDP")
    if xdp is None:
        return None
    attached = xdp.get_attr("IFLA_XDP_ATTACHED") or 0
    for mode, attribute in XDP_PROGRAM_ATTRIBUTES.items():
        program_id = xdp.get_attr(attribute) or (xdp.get_attr("IFLA_XDP_PROG_ID") if attached == mode else None)
        if program_id:
            return ObservedXdp(program_id, XdpMode.GENERIC if mode == XDP_ATTACHED_SKB else XdpMode.NATIVE)
    return None


def _addresses() -> Mapping[int, tuple[Address, ...]]:
    found: dict[int, list[Address]] = defaultdict(list)
    for message in parse(dump(RTM_GETADDR, struct.pack("=BBBBi", socket.AF_UNSPEC, 0, 0, 0, 0))):
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")  # the latter may be a far end
        if address:
            found[message["index"]].append(ip_interface(f"{address}/{message['prefixlen']}"))
    return {index: tuple(sorted(each, key=lambda address: (address.version, address))) for index, each in found.items()}


def default_routes() -> tuple[DefaultRoute, ...]:
    """Return every leg of the main table's default routes: IPv4 first, then by metric, interface and gateway; none twice."""
    names = dict(socket.if_nameindex())
    legs: list[tuple[int, int, str, str]] = []
    for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        for route in parse([each for each in dump(RTM_GETROUTE, routes_request(family)) if of_default_route(each)]):
            if route["type"] != RTN_UNICAST:
                continue  # a default route that refuses leads nowhere
            metric = route.get_attr("RTA_PRIORITY") or 0
            legs += [(version, metric, names.get(index, ""), gateway) for index, gateway in _legs(route)]
    routes = [DefaultRoute(ifname, ip_address(gateway) if gateway else None) for _, _, ifname, gateway in sorted(legs) if ifname]
    return tuple(dict.fromkeys(routes))


def _legs(route: Message) -> list[tuple[int, str]]:
    """Return (ifindex, gateway) of each next hop, the gateway empty on a link that needs none."""
    hops = route.get_attr("RTA_MULTIPATH")
    if hops is None:
        return [(route.get_attr("RTA_OIF") or 0, _gateway(route))]
    return [(hop["oif"], _gateway(hop)) for hop in hops]


def _gateway(hop: Message) -> str:
    via = hop.get_attr("RTA_VIA")  # an IPv4 route may lead to an IPv6 neighbour
    address = hop.get_attr("RTA_GATEWAY") or (via["addr"] if via else "")
    return str(address)
