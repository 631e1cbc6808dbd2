"""What the kernel's tables say of the way that a stream's packets take, as values. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from spillway_crds.streams import Address


@dataclass(frozen=True, slots=True)
class SeenLink:
    """An interface. up: set up by the administrator. carrier: has a partner. mac: 6 bytes, or none where it is no Ethernet.

    master: ifindex of the bond or bridge it belongs to, 0 for none.
    """

    name: str
    ifindex: int
    up: bool = True
    carrier: bool = True
    mtu_bytes: int = 1500
    mac: bytes = b""
    master: int = 0


class RouteKind(Enum):
    """What the kernel would do with a packet to an address: RTN_*, uapi/linux/rtnetlink.h."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    MULTICAST = 5
    OTHER = 0


@dataclass(frozen=True, slots=True)
class SeenRoute:
    """The kernel's answer for one destination through one interface.

    gateway: of either family, None on a link that needs none. source: what the kernel would send from.
    mtu_bytes: 0 for the link's.
    """

    kind: RouteKind = RouteKind.UNICAST
    gateway: Address | None = None
    source: Address | None = None
    mtu_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SeenNeighbour:
    """What is known of a next hop. mac: empty unless it may be sent to. failed: it was asked for and did not answer."""

    mac: bytes = b""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class SeenWay:
    """Everything that decides about a stream's header at one moment. What could not be asked for any more is None.

    link: the ring's interface. device: the one that routes lead to: its VLAN device, its bond or itself.
    local: whether the node has the source address that the flow asks for.
    """

    link: SeenLink | None = None
    device: SeenLink | None = None
    route: SeenRoute | None = None
    neighbour: SeenNeighbour | None = None
    local: bool = True
