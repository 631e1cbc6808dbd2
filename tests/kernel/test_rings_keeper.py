"""Rings on real queues: opened by mode, handed to one holder after the other, known again after a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_client import HeldRing, hold

from spillway_crds.streams import BindMode, Flow, RingParameters, RingSize
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder, RingState, RingStatus
from spillway_stream.pages import LinkState
from spillway_stream.wire import Bind

FLOW = Flow(destination=ip_address("10.9.0.2"), destination_port=5004)
SMALL = RingSize(descriptors=256)


@pytest.fixture
def node(netns_pair: NetnsPair) -> NetnsPair:
    ip("address add 10.9.0.1/24 dev spw0")
    netns_pair.peer_run("ip", "address", "add", "10.9.0.2/24", "dev", "spw1")
    return netns_pair


@pytest.fixture
def keeper(node: NetnsPair) -> Iterator[RingKeeper]:
    made = RingKeeper(patience_s=0.5)
    yield made
    for status in made.statuses():
        made.close(status.key)
    made.stop()


@pytest.fixture
def order(tmp_path: Path) -> RingOrder:
    return make_order(tmp_path, 1)


def make_order(
    tmp_path: Path, queue: int, *, name: str = "cam", mode: BindMode = BindMode.PREFER, flow: Flow = FLOW
) -> RingOrder:
    directory = tmp / ("claims-of-a-path-longer-than-an-address-of-a-unix-socket-can-be" * 2) / name
    directory.mkdir(parents=True, exist_ok=True)
    return RingOrder(f"{name}/ring", directory, "spw0", queue, RingParameters(flow, mode, ring=SMALL), f"studio/{name}")


def seen(keeper: RingKeeper) -> RingStatus:
    (status,) = keeper.statuses()
    return status


def until(keeper: RingKeeper, **wanted: object) -> RingStatus:
    deadline = time.monotonic() + 8
    while True:
        status = seen(keeper)
        if all(getattr(status, name) == value for name, value in wanted.items()):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.01)


def payloads(frames: list[bytes]) -> list[bytes]:
    return [frame[42:] for frame in frames if frame[12:14] == b"\x08\x00"]


def numbered(held: HeldRing, first: int, count: int) -> list[bytes]:
    return [held.packet(number.to_bytes(4, "big") * 10) for number in range(first, first + count)]


def test_a_ring_from_order_to_wire(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    status = keeper.open(order)
    assert (status.bind_mode, status.bind_note.split(": ")[:2]) == (BindMode.COPY, ["no zero copy", "bind"])
    assert "EOPNOTSUPP" in status.bind_note
    held = hold(order.directory)
    assert (held.offer.queue, held.offer.bind, held.offer.frames, held.offer.stream) == (1, Bind.COPY, 512, "studio/cam")
    held.until(LinkState.READY)
    with node.peer_listen() as listener:
        held.send(numbered(held, 0, 1000))
        assert payloads(listener.frames(1000)) == [number.to_bytes(4, "big") * 10 for number in range(1000)]
    status = until(keeper, holder=f"process {os.getpid()} of uid 0")
    assert (status.state, status.completed, status.mac) == (RingState.READY, True, node.mac.hex(":"))
    assert (status.source, status.next_hop, status.next_hop_mac) == ("10.9.0.1", "10.9.0.2", node.peer_mac.hex(":"))
    held.close()
    until(keeper, holder="")
