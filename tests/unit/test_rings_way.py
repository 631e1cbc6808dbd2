"""A stream's header from what was seen of its way, and the reason where there is none: as a table, and against the RFCs."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.streams import Flow, VlanTag
from spillway_dataplane.stream.pages import page_of
from spillway_dataplane.way.header import header_of, multicast_mac, ones_sum
from spillway_dataplane.way.plan import NextHop, Way, plan_way
from spillway_dataplane.way.seen import RouteKind, SeenLink, SeenNeighbour, SeenRoute, SeenWay
from spillway_dataplane.way.state import RingState
from spillway_stream.pages import LinkState, decode_page, encode_page

CARD, HOP = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FLOW = Flow(destination=ip_address("10.0.0.9"), destination_port=5004)
GROUP = Flow(destination=ip_address("239.129.2.3"), destination_port=5004)
LINK = SeenLink("eth1", 3, mac=CARD)
ROUTE = SeenRoute(source=ip_address("10.0.0.7"))
SEEN = SeenWay(LINK, LINK, ROUTE, SeenNeighbour(HOP))
GATEWAY = replace(ROUTE, gateway=ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    ("flow", "seen", "state", "reason"),
    [
        pytest.param(FLOW, SEEN, RingState.READY, "", id="all is known"),
        pytest.param(FLOW, SeenWay(), RingState.GONE, "there is no interface eth1 on this node", id="no interface"),
        pytest.param(FLOW, SeenWay(replace(LINK, up=False)), RingState.LINK_DOWN, "eth1 is set down", id="down"),
        pytest.param(FLOW, SeenWay(replace(LINK, carrier=False)), RingState.LINK_DOWN, "eth1 has no carrier", id="no carrier"),
        pytest.param(FLOW, SeenWay(LINK, LINK), RingState.NO_ROUTE, "no route to 10.0.0.9 through eth1", id="no route"),
        pytest.param(
            FLOW,
            SeenWay(LINK, replace(LINK, name="eth1.7")),
            RingState.NO_ROUTE,
            "no route to 10.0.0.9 through eth1 (eth1.7)",
            id="no route through the VLAN's device",
        ),
        pytest.param(
            FLOW,
            replace(SEEN, route=replace(ROUTE, kind=RouteKind.LOCAL)),
            RingState.NO_ROUTE,
            "10.0.0.9 is an address of this node itself",
            id="to itself",
        ),
        pytest.param(
            FLOW,
            replace(SEEN, route=SeenRoute()),
            RingState.NO_ROUTE,
            "eth1 has no IPv4 address to send from: give it one, or the flow a sourceAddress",
            id="no address",
        ),
        pytest.param(
            FLOW,
            replace(SEEN, neighbour=SeenNeighbour()),
            RingState.UNRESOLVED,
            "10.0.0.9 is asked for its MAC address on eth1",
            id="asked for",
        ),
        pytest.param(
            FLOW,
            replace(SEEN, route=GATEWAY, neighbour=SeenNeighbour(failed=True)),
            RingState.UNRESOLVED,
            "10.0.0.1, the next hop to 10.0.0.9, does not answer on eth1: its MAC address is asked for again and again",
            id="no answer",
        ),
        pytest.param(GROUP, replace(SEEN, neighbour=None), RingState.READY, "", id="a group needs no neighbour"),
        pytest.param(
            replace(FLOW, source=ip_address("10.0.0.66")),
            replace(SEEN, local=False),
            RingState.READY,
            "sends from 10.0.0.66, which is no address of this node",
            id="a foreign source is said",
        ),
    ],
)
def test_state_and_reason(flow: Flow, seen: SeenWay, state: RingState, reason: str) -> None:
    way = plan_way("eth1", flow, seen)
    assert (way.state, way.reason, way.header is not None) == (state, reason, state is RingState.READY)


def test_the_smallest_mtu_on_the_way_counts() -> None:
    seen = replace(SEEN, device=replace(LINK, mtu_bytes=1496), route=replace(ROUTE, mtu_bytes=1300))
    assert plan_way("eth1", FLOW, seen).mtu_bytes == 1300
    assert plan_way("eth1", FLOW, replace(seen, route=ROUTE)).mtu_bytes == 1496


def test_the_gateway_is_kept_resolved_and_groups_are_not() -> None:
    way = plan_way("eth1", FLOW, replace(SEEN, route=GATEWAY))
    assert way.next_hop == NextHop(3, ip_address("10.0.0.1"))
    assert plan_way("eth1", GROUP, replace(SEEN, route=GATEWAY)).next_hop is None


def test_a_broadcast_goes_to_everybody() -> None:
    way = plan_way("eth1", FLOW, replace(SEEN, route=replace(ROUTE, kind=RouteKind.BROADCAST), neighbour=None))
    assert (way.state, way.next_hop_mac) == (RingState.READY, b"\xff" * 6)


@pytest.mark.parametrize(
    ("group", "mac"),
    [
        ("224.0.0.1", "01005e000001"),
        ("239.129.2.3", "01005e010203"),  # RFC 1112: the bit above the low 23 is lost
        ("ff02::1", "333300000001"),
        ("ff0e::1234:abcd", "33331234abcd"),
    ],
)
def test_group_addresses_on_ethernet(group: str, mac: str) -> None:
    assert multicast_mac(ip_address(group)).hex() == mac


def test_every_octet_over_ipv4() -> None:
    flow = replace(FLOW, ttl=16, dscp=46, vlan=VlanTag(100, 5))
    made = header_of(flow, source_mac=CARD, target_mac=HOP, source=ip_address("10.0.0.7"))
    assert (made.ip_offset, made.udp_offset, made.family, len(made.octets)) == (18, 38, 4, 46)
    assert made.octets[:18].hex() == "020000000002" + "020000000001" + "8100a064" + "0800"
    assert made.octets[18:28].hex() == "45b8" + "0000" + "0000" + "4000" + "1011"
    assert made.octets[30:].hex() == "0a000007" + "0a000009" + "138c138c" + "00000000"


def test_every_octet_over_ipv6() -> None:
    flow = Flow(destination=ip_address("fd00::9"), destination_port=6000, ttl=9, dscp=46)
    made = header_of(flow, source_mac=CARD, target_mac=HOP, source=ip_address("fd00::7"))
    assert (made.ip_offset, made.udp_offset, made.family, len(made.octets)) == (14, 54, 6, 62)
    assert made.octets[:22].hex() == "020000000002" + "020000000001" + "86dd" + "6b800000" + "00001109"
    assert made.octets[22:54] == ip_address("fd00::7").packed + ip_address("fd00::9").packed
    assert made.octets[54:].hex() == "138c1770" + "00000000"


ports = st.integers(1, 65535)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports, st.integers(1, 255), st.integers(0, 63))
def test_the_ipv4_checksum_holds(source, destination, from_port, to_port, ttl, dscp) -> None:
    """RFC 791: with its checksum, a header sums to all ones."""
    flow = Flow(destination, to_port, source, from_port, ttl, dscp)
    made = header_of(flow, source_mac=CARD, target_mac=HOP, source=source)
    assert ones_sum(made.octets[14:34]) == 0xFFFF


@given(
    st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(st.ip_addresses(v=v), st.ip_addresses(v=v))),
    ports,
    st.binary(max_size=64),
)
def test_the_pseudo_sum_begins_a_udp_checksum(addresses, port, payload) -> None:
    """RFC 768: pseudo header, header and payload, summed the long way."""
    source, destination = addresses
    made = header_of(Flow(destination, port, source), source_mac=CARD, target_mac=HOP, source=source)
    padded, length = payload + bytes(len(payload) % 2), 8 + len(payload)
    pseudo = source.packed + destination.packed + struct.pack(">HH", 17, length)
    header = struct.pack(">HHH", 5004, port, length)
    whole = ones_sum(pseudo + header + padded)
    parts = ones_sum(struct.pack(">HHH", made.pseudo_sum, length, length) + padded)
    assert whole % 0xFFFF == parts % 0xFFFF


def test_a_way_as_the_holder_reads_it() -> None:
    page = page_of(plan_way("eth1", FLOW, SEEN))
    assert decode_page(encode_page(page, 4)) == (4, page)
    assert (page.state, page.mtu, page.ip_offset, page.udp_offset, len(page.header)) == (LinkState.READY, 1500, 14, 34, 42)


@pytest.mark.parametrize("state", list(RingState))
def test_every_state_has_its_number(state: RingState) -> None:
    assert page_of(Way(state, "why")).state.name == state.name
