"""Detours of a running stream: default routes, an IPv6 router, a next hop that falls silent, an interface under another name."""

from __future__ import annotations

import time
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_lab import make_order, until
from tests.kernel.ring_sender import SIZE, Sender, arrived, in_order, sending
from tests.kernel.ring_wire import Wire, wire

from spillway_crds.streams import Flow
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.way.state import RingState
from spillway_stream import Gone, Lost, connect


def goes_on(keeper: RingKeeper, sender: Sender, **wanted: object) -> None:
    until(keeper, state=RingState.READY, **wanted)
    sender.until(sender.sent + 1000)


def test_default_routes_that_change_go_and_give_way(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """Another gateway, none, one with a better metric, a more special route that leads nowhere: every packet sent arrives."""
    node.peer_run("ip", "address", "add", "10.9.0.3/24", "dev", "spw1")
    ip("route add default via 10.9.0.2 metric 50")
    order = make_order(tmp_path, flow=Flow(ip_address("198.51.100.7"), 5004))
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            ip("route replace default via 10.9.0.3 metric 50")
            goes_on(keeper, sender, next_hop="10.9.0.3")
            ip("route del default")
            assert until(keeper, state=RingState.NO_ROUTE).reason == "no route to 198.51.100.7 through spw0"
            ip("route add default via 10.9.0.2 metric 50")
            goes_on(keeper, sender, next_hop="10.9.0.2")
            ip("route add default via 10.9.0.3 metric 10")
            goes_on(keeper, sender, next_hop="10.9.0.3")
            ip("route add blackhole 198.51.100.0/24")
            until(keeper, state=RingState.NO_ROUTE)
            ip("route del blackhole 198.51.100.0/24")
            goes_on(keeper, sender, next_hop="10.9.0.3")
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)
    assert sender.refusals > 0


def arrived_ipv6(far: Wire, count: int) -> list[int]:
    frames = [each for each in far.raw(count) if len(each) == 62 + SIZE and each[12:14] == b"\x86\xdd"]
    return [int.from_bytes(each[62:66], "big") for each in frames]


def test_an_ipv6_router_and_a_source_that_change(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    Path("/proc/sys/net/ipv6/conf/spw0/disable_ipv6").write_text("0")
    node.peer_run("sysctl", "-qw", "net.ipv6.conf.spw1.disable_ipv6=0")
    ip("-6 address add fd00::1/64 dev spw0 nodad")
    for number in (2, 3):
        node.peer_run("ip", "-6", "address", "add", f"fd00::{number}/64", "dev", "spw1", "nodad")
    ip("-6 route add default via fd00::2 dev spw0")
    order = make_order(tmp_path, flow=Flow(ip_address("2001:db8::7"), 5004))
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            ip("-6 route replace default via fd00::3 dev spw0")
            goes_on(keeper, sender, next_hop="fd00::3", source="fd00::1")
            ip("-6 route add 2001:db8::/32 via fd00::2 dev spw0")
            goes_on(keeper, sender, next_hop="fd00::2")
            ip("-6 address add fd00::77/64 dev spw0 nodad")
            ip("-6 address del fd00::1/64 dev spw0")
            goes_on(keeper, sender, source="fd00::77")
            count = sender.finish()
        assert arrived_ipv6(far, count) == in_order(count)


def test_a_next_hop_that_falls_silent_and_comes_back(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """FAILED, then reachable again; deleted and flushed by hand: refused meanwhile, and on the wire all that was sent."""
    neighbours = Path("/proc/sys/net/ipv4/neigh/spw0")
    for name, value in {"base_reachable_time_ms": 200, "delay_first_probe_time": 1, "retrans_time_ms": 100}.items():
        (neighbours / name).write_text(str(value))
    order = make_order(tmp_path)
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            node.peer_run("ip", "address", "del", "10.9.0.2/24", "dev", "spw1")
            until(keeper, state=RingState.UNRESOLVED, timeout_s=20)
            node.peer_run("ip", "address", "add", "10.9.0.2/24", "dev", "spw1")
            goes_on(keeper, sender)
            ip("neigh del 10.9.0.2 dev spw0")
            goes_on(keeper, sender)
            ip("neigh flush dev spw0")
            goes_on(keeper, sender)
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)
    assert sender.refusals > 0


def test_an_interface_under_another_name_is_gone_until_it_has_its_own(
    keeper: RingKeeper, node: NetnsPair, tmp_path: Path
) -> None:
    """The stream asked for a name. Whoever holds the ring is told, and gets another one under the old name."""
    order = make_order(tmp_path)
    keeper.open(order)
    with wire(node) as far:
        with connect(str(order.directory / "ring.sock"), timeout_s=10) as ring:
            ring.reserve(10)
            assert ring.send(size=SIZE) == 10
            ip("link set spw0 name other0")
            until(keeper, state=RingState.GONE)
            deadline = time.monotonic() + 10
            with pytest.raises(Lost):
                while time.monotonic() < deadline:
                    with suppress(Gone):  # what the page says until the connection ends
                        ring.reserve(1)
                        ring.send(size=SIZE)
                    time.sleep(0.01)
        ip("link set other0 name spw0")
        until(keeper, state=RingState.READY)
        with sending(order.directory) as sender:
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)][-count:] == in_order(count)
