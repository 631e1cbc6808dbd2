"""What netlink shows, read as values: interfaces, addresses, stacked devices, default routes."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip, open_descriptors, quieten

from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.rtnetlink import split
from spillway_dataplane.node.observed import DefaultRoute, ObservedInterface


def found(ifname: str) -> ObservedInterface:
    return next(each for each in netlink.interfaces() if each.name == ifname)


def test_a_veth_as_it_is(netns_pair: NetnsPair) -> None:
    """Its peer is not below it, and it has no bus device."""
    ip("address add 10.9.0.1/24 dev spw0")
    assert found("spw0") == ObservedInterface(
        name="spw0",
        ifindex=netns_pair.ifindex,
        kind="veth",
        driver="veth",
        physical=False,
        rx_queues=4,
        addresses=(ip_interface("10.9.0.1/24"),),
    )


def test_interfaces_come_in_name_order(netns_pair: NetnsPair) -> None:
    ip("link add zz type veth peer name aa")
    assert [each.name for each in netlink.interfaces()] == ["aa", "lo", "spw0", "zz"]


def test_one_interface(netns_pair: NetnsPair) -> None:
    assert netlink.interface("spw0") == found("spw0")
    assert netlink.interface("none0") is None


def test_up_carrier_and_mtu(netns_pair: NetnsPair) -> None:
    netns_pair.peer_run("ip", "link", "set", "spw1", "down")
    assert (found("spw0").up, found("spw0").carrier) == (True, False)
    ip("link set spw0 down mtu 2000")
    assert (found("spw0").up, found("spw0").carrier, found("spw0").mtu) == (False, False, 2000)


def test_a_peers_address_is_not_ours(netns_pair: NetnsPair) -> None:
    ip("address add 10.9.0.1 peer 10.9.0.2/32 dev spw0")
    assert found("spw0").addresses == (ip_interface("10.9.0.1/32"),)


def test_addresses_of_both_families_in_order(netns_pair: NetnsPair) -> None:
    Path("/proc/sys/net/ipv6/conf/spw0/disable_ipv6").write_text("0")
    ip("address flush dev spw0")
    for address in ("fd00::2/64", "fd00::1/64", "10.9.0.2/24", "10.9.0.1/24"):
        ip(f"address add {address} dev spw0" + (" nodad" if ":" in address else ""))
    assert [str(each) for each in found("spw0").addresses] == ["10.9.0.1/24", "10.9.0.2/24", "fd00::1/64", "fd00::2/64"]


def test_what_is_enslaved_is_below(netns_pair: NetnsPair) -> None:
    ip("link add br0 type bridge")
    ip("link add left type veth peer name right")
    ip("link set spw0 master br0")
    ip("link set left master br0")
    assert (found("br0").kind, found("br0").lower) == ("bridge", ("left", "spw0"))
    assert found("left").lower == ()


@pytest.mark.parametrize("ifname", ["mac0", "eth0.7"])
def test_a_macvlan_lies_on_its_parent(netns_pair: NetnsPair, ifname: str) -> None:
    ip(f"link add link spw0 name {ifname} type macvlan mode bridge")
    assert (found(ifname).kind, found(ifname).lower) == ("macvlan", ("spw0",))


def route(ifname: str, gateway: str | None) -> DefaultRoute:
    address = None if gateway is None else IPv6Address(gateway) if ":" in gateway else IPv4Address(gateway)
    return DefaultRoute(ifname, address)


@pytest.fixture
def second_card(netns_pair: NetnsPair) -> str:
    """Two cards with addresses of both families: spw0 and alt0."""
    ip("link add alt0 type veth peer name alt1")
    quieten("alt1")
    for number, ifname in enumerate(("spw0", "alt0")):
        Path(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6").write_text("0")
        ip(f"address add 10.9.{number}.1/24 dev {ifname}")
        ip(f"address add fd0{number}::1/64 dev {ifname} nodad")
        ip(f"link set {ifname} up")
    ip("link set alt1 up")
    return "alt0"


def test_no_default_route(netns_pair: NetnsPair) -> None:
    assert netlink.default_routes() == ()


def test_every_leg_of_both_families(second_card: str) -> None:
    ip("route add default metric 100 nexthop via 10.9.0.2 dev spw0 nexthop via 10.9.1.2 dev alt0")
    ip("-6 route add default metric 100 nexthop via fd00::2 dev spw0 nexthop via fd01::2 dev alt0")
    assert netlink.default_routes() == (
        route("alt0", "10.9.1.2"),
        route("spw0", "10.9.0.2"),
        route("alt0", "fd01::2"),
        route("spw0", "fd00::2"),
    )


def test_the_better_metric_first_and_none_twice(second_card: str) -> None:
    ip("route add default via 10.9.1.2 metric 50")
    ip("route add default via 10.9.0.2 metric 10")
    ip("route add default via 10.9.0.2 metric 90")
    assert netlink.default_routes() == (route("spw0", "10.9.0.2"), route("alt0", "10.9.1.2"))


def test_a_route_without_gateway_and_one_through_the_other_family(second_card: str) -> None:
    ip("-4 route add default dev alt0 metric 10")
    ip("-4 route add default via inet6 fd00::9 dev spw0 metric 20")
    assert netlink.default_routes() == (route("alt0", None), route("spw0", "fd00::9"))


def test_other_tables_and_refusing_routes_are_none(second_card: str) -> None:
    ip("route add default dev alt0 table 77")
    ip("route add blackhole default metric 5")
    ip("-6 route add unreachable default metric 5")
    ip("route add 0.0.0.0/1 dev alt0")
    assert netlink.default_routes() == ()


def test_works_in_threads_and_inside_a_running_loop(netns_pair: NetnsPair) -> None:
    """pyroute2's sockets do not; and no descriptor stays open."""
    expected, before = netlink.interfaces(), open_descriptors()
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(netlink.interfaces())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def ask() -> object:
        return netlink.interfaces()

    results.append(asyncio.run(ask()))
    assert results == [expected] * 5
    assert open_descriptors() == before


def test_many_interfaces(netns_pair: NetnsPair) -> None:
    """A dump of several pieces comes whole."""
    batch = "\n".join(f"link add many{number} type veth peer name peer{number}" for number in range(150))
    path = netns_pair.bpffs.parent / "batch"
    path.write_text(batch)
    ip(f"-batch {path}")
    assert len(netlink.interfaces()) == 302


def test_a_damaged_message_ends_the_reading() -> None:
    assert list(split(b"\0" * 16)) == []
    assert list(split(b"\1")) == []
