"""What a node looks like at one moment: interfaces, programs, routes. Values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from spillway_crds.filters import XdpMode


@dataclass(frozen=True, slots=True)
class ObservedXdp:
    """The program that netlink shows on an interface's XDP hook, whoever owns it. name is empty where it cannot be read."""

    program_id: int
    mode: XdpMode
    name: str = ""


@dataclass(frozen=True, slots=True)
class PinnedLink:
    """Our own pinned link. ifindex 0: the kernel has detached it (device gone or moved, or somebody detached us).

    digest: of the artifact that runs, from the program's name. program_tag: 16 hex digits, computed by the kernel.
    """

    link_id: int
    ifindex: int
    program_id: int
    program_tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class ObservedInterface:
    """One network interface. rx_queues: real RX queues. lower: devices below a bond, bridge, VLAN or macvlan.

    kind: netlink's link kind (`veth`, `bridge`, `bond`, `vlan`, ...), empty for a device without one.
    physical: it has a parent bus device. maps_pinned: our maps for this name lie in the bpffs.
    """

    name: str
    ifindex: int
    kind: str = ""
    driver: str = ""
    physical: bool = False
    up: bool = True
    carrier: bool = True
    mtu: int = 1500
    rx_queues: int = 1
    lower: tuple[str, ...] = ()
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    attached: ObservedXdp | None = None
    pinned: PinnedLink | None = None
    maps_pinned: bool = False


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """One leg of a default route."""

    ifname: str
    gateway: IPv4Address | IPv6Address | None


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """All that netlink and the bpffs show. orphans: names whose pins exist although no such interface does, with their link."""

    interfaces: tuple[ObservedInterface, ...] = ()
    default_routes: tuple[DefaultRoute, ...] = ()
    orphans: tuple[tuple[str, PinnedLink | None], ...] = ()

    def interface(self, name: str) -> ObservedInterface | None:
        """Return the interface of that name, or None."""
        return next((each for each in self.interfaces if each.name == name), None)
