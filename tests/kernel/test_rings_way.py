"""Headers follow what happens to their way while packets are counted at the far end: neighbours, routes, links, MTU, devices."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip, mac_of, namespace_path
from tests.kernel.ring_client import HeldRing, ask, hold, refusal
from tests.kernel.ring_lab import keeping, make_order, numbered, numbers, until

from spillway_crds.streams import Flow, VlanTag
from spillway_dataplane.stream import follower
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from spillway_dataplane.way.header import ones_sum
from spillway_dataplane.way.seen import SeenWay
from spillway_dataplane.way.state import RingState
from spillway_stream.pages import LinkState, Page

OTHER_MAC = bytes.fromhex("020000000042")
FAR = Flow(destination=ip_address("192.0.2.9"), destination_port=5004)


def held(keeper: RingKeeper, order: RingOrder, state: LinkState = LinkState.READY) -> HeldRing:
    keeper.open(order)
    made = hold(order.directory)
    made.until(state)
    return made


def until_page(ring: HeldRing, wanted: Callable[[Page], bool], timeout_s: float = 12.0) -> Page:
    deadline = time.monotonic() + timeout_s
    while not wanted(page := ring.page()):
        assert time.monotonic() < deadline, page
        time.sleep(0.005)
    return page


def enable_ipv6(node: NetnsPair) -> None:
    Path("/proc/sys/net/ipv6/conf/spw0/disable_ipv6").write_text("0")
    node.peer_run("sysctl", "-qw", "net.ipv6.conf.spw1.disable_ipv6=0")


def arp_reply(mac: bytes, address: str, node: NetnsPair) -> bytes:
    """Whoever has the address says so to everybody: what a router does that takes over."""
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2) + mac + socket.inet_aton(address) + b"\xff" * 6 + socket.inet_aton(address)
    return b"\xff" * 6 + mac + b"\x08\x06" + body


# ---- next hop -------------------------------------------------------------------------------------------------------------


def test_a_next_hop_that_announces_another_mac(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    Path("/proc/sys/net/ipv4/conf/spw0/arp_accept").write_text("1")
    ring = held(keeper, make_order(tmp_path))
    Path("/proc/sys/net/ipv4/neigh/spw0/locktime").write_text("0")
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        node.send([arp_reply(OTHER_MAC, "10.9.0.2", node)])
        until_page(ring, lambda page: page.header[:6] == OTHER_MAC)
        ring.send(numbered(ring, 100, 100))
        frames = [frame for frame in listener.frames(200) if numbers([frame])]
    assert numbers(frames) == list(range(200))
    assert [frame[:6] for frame in frames] == [node.peer_mac] * 100 + [OTHER_MAC] * 100
    until(keeper, next_hop_mac=OTHER_MAC.hex(":"))


def test_a_next_hop_that_changed_its_mac_in_silence(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """As when a card is exchanged: the kernel asks again because the stream counts as using it, then the header follows."""
    neigh = Path("/proc/sys/net/ipv4/neigh/spw0")
    for name, value in {"base_reachable_time_ms": 200, "delay_first_probe_time": 1, "retrans_time_ms": 100}.items():
        (neigh / name).write_text(str(value))
    ring = held(keeper, make_order(tmp_path))
    node.peer_run("ip", "link", "set", "spw1", "address", OTHER_MAC.hex(":"))
    until_page(ring, lambda page: page.header[:6] == OTHER_MAC)
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        assert numbers([frame for frame in listener.frames(100) if frame[:6] == OTHER_MAC]) == list(range(100))


@pytest.mark.parametrize("state", ["permanent", "noarp"])
def test_what_an_administrator_wrote_down_stays(keeper: RingKeeper, tmp_path: Path, node: NetnsPair, state: str) -> None:
    """To keep a neighbour resolved must not make it an ordinary one."""
    ip(f"neigh replace 10.9.0.2 lladdr {OTHER_MAC.hex(':')} dev spw0 nud {state}")
    ring = held(keeper, make_order(tmp_path))
    time.sleep(1.5)
    assert ip("neigh show nud all 10.9.0.2").split()[3:] == ["lladdr", OTHER_MAC.hex(":"), state.upper()]
    assert ring.page().header[:6] == OTHER_MAC


def test_a_next_hop_that_is_not_there_yet(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """It is asked for as long as it takes."""
    node.peer_run("ip", "address", "del", "10.9.0.2/24", "dev", "spw1")
    ring = held(keeper, make_order(tmp_path), LinkState.UNRESOLVED)
    assert ring.page().reason == "10.9.0.2 is asked for its MAC address on spw0"
    page = until_page(ring, lambda page: "does not answer" in page.reason)
    assert page.reason == "10.9.0.2 does not answer on spw0: its MAC address is asked for again and again"
    assert page.header == b""
    node.peer_run("ip", "address", "add", "10.9.0.2/24", "dev", "spw1")
    assert ring.until(LinkState.READY).header[:6] == node.peer_mac


# ---- routes ---------------------------------------------------------------------------------------------------------------


def test_a_route_that_comes_changes_and_goes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    node.peer_run("ip", "address", "add", "10.9.0.3/24", "dev", "spw1")
    ring = held(keeper, make_order(tmp_path, flow=FAR), LinkState.NO_ROUTE)
    assert ring.page().reason == "no route to 192.0.2.9 through spw0"
    ip("route add 192.0.2.0/24 via 10.9.0.2 mtu 1300")
    assert ring.until(LinkState.READY).mtu == 1300
    until(keeper, next_hop="10.9.0.2")
    ip("neigh replace 10.9.0.3 lladdr 02:00:00:00:00:42 dev spw0 nud permanent")
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 50))
        ip("route change 192.0.2.0/24 via 10.9.0.3")
        page = until_page(ring, lambda page: page.header[:6] == OTHER_MAC)
        ring.send(numbered(ring, 50, 50))
        assert numbers(listener.frames(100)) == list(range(100))
    assert page.mtu == 1500
    ip("route del 192.0.2.0/24")
    ring.until(LinkState.NO_ROUTE)


def test_routes_through_other_interfaces_do_not_count(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ip("link add alt0 type veth peer name alt1")
    ip("address add 10.8.0.1/24 dev alt0")
    ip("link set alt0 up")
    ip("link set alt1 up")
    ip("route add 192.0.2.0/24 via 10.8.0.2")
    held(keeper, make_order(tmp_path, flow=FAR), LinkState.NO_ROUTE)


def test_a_next_hop_object_that_changes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """Routes that point to it see no event of their own."""
    for number in (2, 3):
        ip(f"neigh replace 10.9.0.{number} lladdr 02:00:00:00:00:0{number} dev spw0 nud permanent")
    ip("nexthop add id 7 via 10.9.0.2 dev spw0")
    ip("route add 192.0.2.0/24 nhid 7")
    ring = held(keeper, make_order(tmp_path, flow=FAR))
    assert ring.page().header[:6].hex() == "020000000002"
    ip("nexthop replace id 7 via 10.9.0.3 dev spw0")
    until_page(ring, lambda page: page.header[:6].hex() == "020000000003")


@pytest.mark.parametrize("rule", ["dport 5004", "sport 5004 ipproto udp", "dsfield 0x08"])
def test_rules_by_ports_and_dscp_count(keeper: RingKeeper, tmp_path: Path, node: NetnsPair, rule: str) -> None:
    for number in (2, 3):
        ip(f"neigh replace 10.9.0.{number} lladdr 02:00:00:00:00:0{number} dev spw0 nud permanent")
    ip("route add 192.0.2.0/24 via 10.9.0.2")
    ip("route add 192.0.2.0/24 via 10.9.0.3 table 100")
    flow = Flow(destination=ip_address("192.0.2.9"), destination_port=5004, dscp=2)
    ring = held(keeper, make_order(tmp_path, flow=flow))
    assert ring.page().header[:6].hex() == "020000000002"
    ip(f"rule add {rule} lookup 100")
    until_page(ring, lambda page: page.header[:6].hex() == "020000000003")
    ip(f"rule del {rule} lookup 100")
    until_page(ring, lambda page: page.header[:6].hex() == "020000000002")


def test_a_source_address_that_changes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ring = held(keeper, make_order(tmp_path))
    assert ring.page().header[26:30] == socket.inet_aton("10.9.0.1")
    ip("address del 10.9.0.1/24 dev spw0")
    assert ring.until(LinkState.NO_ROUTE).reason == "no route to 10.9.0.2 through spw0"
    ip("address add 10.9.0.5/24 dev spw0")
    assert ring.until(LinkState.READY).header[26:30] == socket.inet_aton("10.9.0.5")


# ---- links ----------------------------------------------------------------------------------------------------------------


def test_a_link_that_goes_down_and_comes_up(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ring = held(keeper, make_order(tmp_path))
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        ip("link set spw0 down")
        assert ring.until(LinkState.LINK_DOWN).reason == "spw0 is set down"
        ip("link set spw0 up")
        ring.until(LinkState.READY)
        ring.send(numbered(ring, 100, 100))
        assert numbers(listener.frames(200)) == list(range(200))


def test_a_carrier_that_goes_and_comes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ring = held(keeper, make_order(tmp_path))
    node.peer_run("ip", "link", "set", "spw1", "down")
    assert ring.until(LinkState.LINK_DOWN).reason == "spw0 has no carrier"
    node.peer_run("ip", "link", "set", "spw1", "up")
    ring.until(LinkState.READY)


def test_an_mtu_that_changes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ring = held(keeper, make_order(tmp_path))
    assert ring.page().mtu == 1500
    ip("link set spw0 mtu 1400")
    until_page(ring, lambda page: page.mtu == 1400)
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 10))
        assert numbers(listener.frames(10)) == list(range(10))


def test_a_card_whose_mac_changes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ring = held(keeper, make_order(tmp_path))
    ip(f"link set spw0 address {OTHER_MAC.hex(':')}")
    until_page(ring, lambda page: page.header[6:12] == OTHER_MAC)
    until(keeper, mac=OTHER_MAC.hex(":"))


def test_an_interface_that_leaves_and_comes_back(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """The kernel unbinds the socket for good: its holder is told, and gets another ring when the interface is there again."""
    order = make_order(tmp_path)
    ring = held(keeper, order)
    ip(f"link set spw0 netns {namespace_path(node.peer_net)}")
    # first that it left, and then what opening the ring anew says
    reasons = ("the interface spw0 left the node", "open ring: there is no interface spw0 on this node now")
    assert ring.until(LinkState.GONE).reason in reasons
    waiting = ask(order.directory)
    assert until(keeper, state=RingState.GONE, bind_mode=None).reason in reasons
    node.peer_run("ip", "link", "set", "spw0", "netns", namespace_path(node.net))
    ip("link set spw0 up")
    ip("address add 10.9.0.1/24 dev spw0")
    heir = HeldRing.taken(waiting)
    heir.until(LinkState.READY)
    with node.peer_listen() as listener:
        heir.send(numbered(heir, 0, 100))
        assert numbers(listener.frames(100)) == list(range(100))


def leave_and_come_back(node: NetnsPair) -> None:
    ip(f"link set spw0 netns {namespace_path(node.peer_net)}")
    node.peer_run("ip", "link", "set", "spw0", "netns", namespace_path(node.net))
    ip("link set spw0 up")
    ip("address add 10.9.0.1/24 dev spw0")


def test_an_interface_that_was_away_between_two_looks(
    keeper: RingKeeper, tmp_path: Path, node: NetnsPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its old number again, so only the socket itself can tell."""
    order = make_order(tmp_path)
    ring = held(keeper, order)
    monkeypatch.setattr(follower, "SETTLE_S", 0.7)
    before = node.ifindex
    leave_and_come_back(node)
    assert node.ifindex == before
    assert refusal(ring.connection)[0] == errno.ESTALE
    ring.close()
    heir = hold(order.directory)
    heir.until(LinkState.READY)
    with node.peer_listen() as listener:
        heir.send(numbered(heir, 0, 100))
        assert numbers(listener.frames(100)) == list(range(100))


def test_an_interface_that_was_away_while_nobody_looked(node: NetnsPair, tmp_path: Path) -> None:
    """A restarted driver does not adopt a socket that lost its device."""
    order, before = make_order(tmp_path), RingKeeper()
    before.open(order)
    ring = hold(order.directory)
    before.stop()
    leave_and_come_back(node)
    with keeping() as keeper:
        keeper.open(order)
        assert refusal(ring.resume(order.directory))[0] == errno.ESTALE
        heir = hold(order.directory)
        heir.until(LinkState.READY)


# ---- what a frame begins with ---------------------------------------------------------------------------------------------


def test_ipv6(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    enable_ipv6(node)
    ip("-6 address add fd00::1/64 dev spw0 nodad")
    node.peer_run("ip", "-6", "address", "add", "fd00::2/64", "dev", "spw1", "nodad")
    ring = held(keeper, make_order(tmp_path, flow=Flow(destination=ip_address("fd00::2"), destination_port=5004, dscp=46)))
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        frames = [frame for frame in listener.frames(100) if numbers([frame], 62)]
    assert numbers(frames, 62) == list(range(100))
    assert (frames[0][:6], frames[0][12:16].hex(), frames[0][22:38]) == (node.peer_mac, "86dd6b80", ip_address("fd00::1").packed)


@pytest.mark.parametrize(("group", "mac"), [("239.129.2.3", "01005e010203"), ("ff0e::1:2", "333300010002")])
def test_groups_need_no_route_and_no_neighbour(keeper: RingKeeper, tmp_path: Path, node: NetnsPair, group: str, mac: str) -> None:
    enable_ipv6(node)
    ip("-6 address add fd00::1/64 dev spw0 nodad")
    flow = Flow(destination=ip_address(group), destination_port=5004, ttl=16)
    ring = held(keeper, make_order(tmp_path, flow=flow))
    assert ring.page().header[:6].hex() == mac
    payload_at = len(ring.page().header)
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        assert numbers(listener.frames(100), payload_at) == list(range(100))


def test_a_vlan_tag_by_the_cards_own_routes(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """This kernel has no VLAN devices; their part is in tests/unit/test_rings_vlan.py. The far end takes the tag off again."""
    flow = Flow(destination=ip_address("10.9.0.2"), destination_port=5004, vlan=VlanTag(100, 5))
    ring = held(keeper, make_order(tmp_path, flow=flow))
    assert ring.page().header[12:18].hex() == "8100a0640800"
    assert ones_sum(ring.page().header[18:38]) == 0xFFFF
    with node.peer_listen() as listener:
        ring.send(numbered(ring, 0, 100))
        assert numbers(listener.frames(100)) == list(range(100))


def test_a_bonds_addresses_and_routes_count_for_its_cards(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    ip("link add br0 type bridge")
    ip("address flush dev spw0")
    ip("link set spw0 master br0")
    ip("link set br0 up")
    ip("address add 10.9.0.1/24 dev br0")
    ring = held(keeper, make_order(tmp_path))
    assert ring.page().header[6:12] == mac_of("br0")


def test_a_source_that_the_node_has_not_is_said(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    flow = Flow(destination=ip_address("10.9.0.2"), destination_port=5004, source=ip_address("10.9.0.77"))
    ring = held(keeper, make_order(tmp_path, flow=flow))
    assert ring.page().reason == "sends from 10.9.0.77, which is no address of this node"
    assert ring.page().header[26:30] == socket.inet_aton("10.9.0.77")


# ---- when the kernel cannot be asked --------------------------------------------------------------------------------------


def test_a_look_that_fails_is_made_again(
    keeper: RingKeeper, tmp_path: Path, node: NetnsPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left for a question, say: what was told stays meanwhile, and the change is told late, not never."""
    ring, observe, failures = held(keeper, make_order(tmp_path)), follower.observe_way, []

    def fail(*_: object) -> SeenWay:
        failures.append(1)
        raise OSError(errno.EMFILE, "no descriptors")

    monkeypatch.setattr(follower, "observe_way", fail)
    ip("link set spw0 mtu 1400")
    deadline = time.monotonic() + 5
    while len(failures) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (ring.page().state, ring.page().mtu) == (LinkState.READY, 1500)
    monkeypatch.setattr(follower, "observe_way", observe)
    until_page(ring, lambda page: page.mtu == 1400)


def test_an_ipv6_next_hop_is_asked_for(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    enable_ipv6(node)
    ip("-6 address add fd00::1/64 dev spw0 nodad")
    ip("-6 route add 2001:db8::/32 via fd00::2 dev spw0")
    flow = Flow(destination=ip_address("2001:db8::9"), destination_port=5004)
    ring = held(keeper, make_order(tmp_path, flow=flow), LinkState.UNRESOLVED)
    assert ring.page().reason.startswith("fd00::2, the next hop to 2001:db8::9, ")
    node.peer_run("ip", "-6", "address", "add", "fd00::2/64", "dev", "spw1", "nodad")
    assert ring.until(LinkState.READY).header[:6] == node.peer_mac


# ---- many events ----------------------------------------------------------------------------------------------------------


def test_a_storm_of_foreign_neighbours_and_routes_leaves_the_page_alone(
    keeper: RingKeeper, tmp_path: Path, node: NetnsPair
) -> None:
    ring = held(keeper, make_order(tmp_path))
    before = ring.page_memory[:]
    lines = [f"route add 172.16.{number // 250}.{number % 250}/32 via 10.9.0.2" for number in range(500)]
    lines += [f"neigh replace 10.9.0.{number} lladdr 02:00:00:00:01:{number:02x} dev spw0" for number in range(10, 200)]
    batch = tmp_path / "batch"
    batch.write_text("\n".join(lines))
    ip(f"-batch {batch}")
    time.sleep(0.5)
    assert ring.page_memory[:] == before
    ip("link set spw0 mtu 1400")
    until_page(ring, lambda page: page.mtu == 1400)


def test_a_page_is_never_read_in_halves(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    """Two headers that differ everywhere, changing all the time; each that a reader takes as whole is one of the two."""
    ring = held(keeper, make_order(tmp_path))
    whole = set()
    batch = tmp_path / "batch"
    macs = ("02:11:11:11:11:11", "02:22:22:22:22:22")
    batch.write_text("\n".join(f"neigh replace 10.9.0.2 lladdr {macs[turn % 2]} dev spw0 nud permanent" for turn in range(400)))
    for _ in range(4):
        ip(f"-batch {batch}")
        for _ in range(200):
            whole.add(ring.page().header[:6].hex(":"))
    assert whole <= {*macs, node.peer_mac.hex(":")}
