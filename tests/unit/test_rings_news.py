"""Which of the kernel's news may change a stream's header, from messages as the kernel writes them."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_dataplane.kernel.rtnetlink import HEADER, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, RTMSG
from spillway_dataplane.kernel.waynews import RTM_DELNEIGH, RTM_NEWNEIGH, InUse, _concerns

USED = InUse(frozenset({7}), frozenset({ip_address("192.0.2.9"), ip_address("fd00::9")}))


def message(kind: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body


def neighbour(ifindex: int) -> bytes:
    return struct.pack("=BxxxiHBB", socket.AF_INET, ifindex, 2, 0, 1)


def route(prefix: IPv4Network | IPv6Network) -> bytes:
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    packed = prefix.network_address.packed
    table = struct.pack("=HHI", 8, 15, 254)
    target = struct.pack("=HH", 4 + len(packed), 1) + packed if prefix.prefixlen else b""
    return RTMSG.pack(family, prefix.prefixlen, 0, 0, 254, 4, 0, 1, 0) + table + target


@pytest.mark.parametrize(
    ("kind", "body", "concerns"),
    [
        pytest.param(RTM_NEWLINK, bytes(16), True, id="any link"),
        pytest.param(RTM_NEWADDR, bytes(8), True, id="any address"),
        pytest.param(RTM_NEWNEIGH, neighbour(7), True, id="a neighbour on a device in use"),
        pytest.param(RTM_DELNEIGH, neighbour(8), False, id="a neighbour elsewhere"),
        pytest.param(RTM_NEWROUTE, route(ip_network("192.0.2.0/24")), True, id="a route to a destination"),
        pytest.param(RTM_DELROUTE, route(ip_network("192.0.2.9/32")), True, id="its own route goes"),
        pytest.param(RTM_NEWROUTE, route(ip_network("0.0.0.0/0")), True, id="the default route"),
        pytest.param(RTM_NEWROUTE, route(ip_network("192.0.3.0/24")), False, id="a route beside it"),
        pytest.param(RTM_NEWROUTE, route(ip_network("fd00::/64")), True, id="IPv6"),
        pytest.param(RTM_NEWROUTE, route(ip_network("fd01::/64")), False, id="IPv6, beside it"),
        pytest.param(RTM_NEWROUTE, b"", True, id="a message cut short: look"),
    ],
)
def test_what_concerns_streams(kind: int, body: bytes, concerns: bool) -> None:
    assert _concerns(message(kind, body), USED) is concerns


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_a_route_concerns_exactly_whom_it_holds(destination, address, bits) -> None:
    prefix = ip_network((address, bits), strict=False)
    used = InUse(destinations=frozenset({destination}))
    assert _concerns(message(RTM_NEWROUTE, route(prefix)), used) is (destination in prefix)
