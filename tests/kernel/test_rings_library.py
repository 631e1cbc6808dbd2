"""The library's application on a real keeper's ring: what happens to it in mid-stream, counted packet by packet."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_lab import keeping, make_order, until
from tests.kernel.ring_sender import Sender, arrived, driver, in_order, sending
from tests.kernel.ring_wire import wire

from spillway_crds.streams import Flow, RingSize
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.way.state import RingState
from spillway_stream import FrameTooLong, connect

# ---- the node's driver ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["killed", "stopped"])
def test_the_driver_goes_and_another_comes(node: NetnsPair, tmp_path: Path, ending: str) -> None:
    """Also an upgrade: every packet arrives once and in order, and the new driver has the ring and its counts again."""
    with wire(node) as far:
        with driver(tmp_path) as first, sending(tmp_path / "cam") as sender:
            if ending == "killed":
                first.kill()
            else:
                assert first.stdin is not None
                first.stdin.close()
            first.wait(5)
            sender.until(sender.sent + 5000)
            with keeping() as keeper:
                keeper.open(make_order(tmp_path))
                until(keeper, state=RingState.READY, holder=f"process {os.getpid()} of uid 0")
                sender.until(sender.sent + 5000)
                deadline = time.monotonic() + 5
                while until(keeper).counters.packets < 12_000:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert sender.resumed == 1
                count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)


def test_a_driver_that_dies_again_and_again(node: NetnsPair, tmp_path: Path) -> None:
    with wire(node) as far, ExitStack() as drivers:
        process = drivers.enter_context(driver(tmp_path))
        with sending(tmp_path / "cam") as sender:
            for turn in (1, 2):
                process.kill()
                process.wait(5)
                process = drivers.enter_context(driver(tmp_path))
                sender.until_resumed(turn)
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)


# ---- the way --------------------------------------------------------------------------------------------------------------


def changed(keeper: RingKeeper, sender: Sender, **wanted: object) -> None:
    until(keeper, **wanted)
    sender.until(sender.sent + 2000)


def test_next_hops_and_routes_that_change(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """No packet is lost or doubled; each change is a clean cut."""
    for number in (2, 3, 4):
        ip(f"neigh replace 10.9.0.{number} lladdr 02:00:00:00:00:0{number} dev spw0 nud permanent")
    ip("route add 192.0.2.0/24 via 10.9.0.2")
    order = make_order(tmp_path, flow=Flow(ip_address("192.0.2.9"), 5004))
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            ip("route change 192.0.2.0/24 via 10.9.0.3")
            changed(keeper, sender, next_hop_mac="02:00:00:00:00:03")
            ip("neigh replace 10.9.0.3 lladdr 02:00:00:00:00:33 dev spw0 nud permanent")
            changed(keeper, sender, next_hop_mac="02:00:00:00:00:33")
            ip("route add 192.0.2.9/32 via 10.9.0.4")
            changed(keeper, sender, next_hop="10.9.0.4")
            count = sender.finish()
        found = arrived(far, count)
    assert [number for number, _ in found] == in_order(count)
    cuts = [mac for at, (_, mac) in enumerate(found) if at == 0 or mac != found[at - 1][1]]
    assert [mac.hex()[-2:] for mac in cuts] == ["02", "03", "33", "04"]
    assert sender.refusals == 0


def test_a_route_that_is_away_for_a_while(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """Packets are refused meanwhile, with the reason; those that were sent have all arrived."""
    ip("route add 192.0.2.0/24 via 10.9.0.2")
    order = make_order(tmp_path, flow=Flow(ip_address("192.0.2.9"), 5004))
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            ip("route del 192.0.2.0/24")
            until(keeper, state=RingState.NO_ROUTE)
            time.sleep(0.1)
            held = sender.sent
            time.sleep(0.2)
            assert (sender.sent, sender.refusals > 0) == (held, True)
            ip("route add 192.0.2.0/24 via 10.9.0.2")
            sender.until(held + 2000)
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)


def test_a_link_that_goes_down_and_comes_up_under_a_stream(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """The stream goes on by itself. What was with the card when the link went is lost: at most what the ring holds."""
    order = make_order(tmp_path)
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            ip("link set spw0 down")
            until(keeper, state=RingState.LINK_DOWN)
            ip("link set spw0 up")
            changed(keeper, sender, state=RingState.READY)
            count = sender.finish()
        numbers = [number for number, _ in arrived(far, count - 512)]
    assert numbers == sorted(set(numbers))
    assert count - 512 <= len(numbers) <= count
    assert numbers[-1] == count - 1


def test_an_mtu_that_shrinks_under_a_stream(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    order = make_order(tmp_path)
    keeper.open(order)
    with wire(node) as far:
        with sending(order.directory) as sender:
            for mtu in (1000, 600, 1500):
                ip(f"link set spw0 mtu {mtu}")
                changed(keeper, sender, mtu_bytes=mtu)
            count = sender.finish()
        assert [number for number, _ in arrived(far, count)] == in_order(count)


@pytest.mark.parametrize(("size", "mtu"), [(RingSize(256), 1500), (RingSize(256, 16384), 9000)], ids=["short", "long"])
def test_packets_above_an_mtu_that_shrank(keeper: RingKeeper, node: NetnsPair, tmp_path: Path, size: RingSize, mtu: int) -> None:
    """Refused with size and limit, nothing of their batch leaves; the ring goes on, and they do when the MTU is back."""
    node.peer_run("ip", "link", "set", node.peer, "mtu", str(mtu))
    ip(f"link set spw0 mtu {mtu}")
    order = make_order(tmp_path, size=size)
    keeper.open(order)
    until(keeper, state=RingState.READY)
    with wire(node) as far, connect(str(order.directory / "ring.sock"), timeout_s=5) as ring:
        most = mtu - 28
        for shrunk in (1000, 1280):
            ring.reserve(16)
            assert ring.send(size=most) == 16
            ip(f"link set spw0 mtu {shrunk}")
            until(keeper, mtu_bytes=shrunk)
            ring.reserve(16)
            with pytest.raises(FrameTooLong, match=f"has {most} bytes, the link takes {shrunk - 28}") as caught:
                ring.send(size=most)
            assert (caught.value.size_bytes, caught.value.limit_bytes, caught.value.sent) == (most, shrunk - 28, 0)
            assert ring.send(8, size=shrunk - 28) == 8
            ip(f"link set spw0 mtu {mtu}")
            until(keeper, mtu_bytes=mtu)
            assert ring.send(size=most) == 8
        assert ring.drain() == 0
        sizes = [len(frame) - 14 for frame in far.raw(64) if frame[23] == 17 and frame[12:14] == b"\x08\x00"]
    assert sizes == [mtu] * 16 + [1000] * 8 + [mtu] * 24 + [1280] * 8 + [mtu] * 8


def test_an_application_that_is_replaced(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """As in a rolling update: the second waits, then has the same ring, and nothing of the first's is lost."""
    order = make_order(tmp_path)
    keeper.open(order)
    with wire(node) as far, sending(order.directory) as first:
        heirs: list[Sender] = []
        thread = threading.Thread(target=lambda: heirs.append(Sender(order.directory)))
        thread.start()
        until(keeper, waiting=1)
        first.until(first.sent + 2000)
        count = first.finish()
        thread.join(10)
        (heir,) = heirs
        heir.until(2000)
        more = heir.finish()
        assert [number for number, _ in arrived(far, count + more)] == in_order(count) + in_order(more)
