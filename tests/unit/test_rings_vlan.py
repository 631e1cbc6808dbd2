"""Which device's routes count for a tagged stream, from link messages as the kernel writes them: no VLAN devices are needed."""

from __future__ import annotations

import struct

import pytest

from spillway_crds.streams import Flow, VlanTag
from spillway_dataplane.kernel import ways
from spillway_dataplane.kernel.rtnetlink import HEADER, IFINFOMSG, RTM_NEWLINK
from spillway_dataplane.way.seen import SeenLink

CARD = SeenLink("eth1", 3, master=9)
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_LINKINFO = 1, 3, 4, 5, 18
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID = 1, 2, 1
UP = 0x10001


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(name: str, ifindex: int, below: int, kind: str, vlan_id: int) -> bytes:
    """RTM_NEWLINK of include/uapi/linux/if_link.h, with what is read of it."""
    data = attribute(IFLA_INFO_DATA, attribute(IFLA_VLAN_ID, struct.pack("=H", vlan_id))) if kind == "vlan" else b""
    body = IFINFOMSG.pack(0, 1, ifindex, UP, 0)
    body += attribute(IFLA_IFNAME, name.encode() + b"\0") + attribute(IFLA_ADDRESS, bytes.fromhex("020000000009"))
    body += attribute(IFLA_MTU, struct.pack("=I", 1496)) + attribute(IFLA_LINK, struct.pack("=I", below))
    body += attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind.encode() + b"\0") + data)
    return HEADER.pack(HEADER.size + len(body), RTM_NEWLINK, 0, 1, 0) + body


LINKS = [
    message("eth0.100", 20, 2, "vlan", 100),
    message("mac0", 21, 3, "macvlan", 0),
    message("eth1.7", 22, 3, "vlan", 7),
    message("eth1.100", 23, 3, "vlan", 100),
    message("bond0.55", 24, 9, "vlan", 55),
]


@pytest.mark.parametrize(
    ("vlan", "device"),
    [
        pytest.param(VlanTag(100), "eth1.100", id="on the card itself"),
        pytest.param(VlanTag(55), "bond0.55", id="on the bond above it"),
        pytest.param(VlanTag(7), "eth1.7", id="by its id"),
    ],
)
def test_the_tags_own_device_decides(monkeypatch: pytest.MonkeyPatch, vlan: VlanTag, device: str) -> None:
    monkeypatch.setattr(ways, "dump", lambda *_: LINKS)
    flow = Flow(destination=ways.LIMITED_BROADCAST, destination_port=1, vlan=vlan)
    (seen,) = ways._devices(CARD, flow)
    assert (seen.name, seen.up, seen.carrier, seen.mtu_bytes, seen.mac.hex()) == (device, True, True, 1496, "020000000009")


def test_without_such_a_device_the_cards_own_routes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "dump", lambda *_: LINKS)
    flow = Flow(destination=ways.LIMITED_BROADCAST, destination_port=1, vlan=VlanTag(8))
    assert list(ways._devices(SeenLink("eth1", 3), flow)) == [SeenLink("eth1", 3)]
