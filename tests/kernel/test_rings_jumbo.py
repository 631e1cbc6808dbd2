"""Rings of frames longer than a page, as the node keeps them: sizes, restarts, and holders that never end a packet."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_client import HeldRing, hold
from tests.kernel.ring_lab import keeping, make_node, make_order, numbered, numbers, until
from tests.kernel.ring_steps import wait_until
from tests.kernel.ring_wire import Wire, wire

from spillway_crds.errors import NotSupported
from spillway_crds.streams import BindMode, RingSize
from spillway_dataplane.kernel.if_xdp import XDP_PKT_CONTD
from spillway_dataplane.kernel.xsk_bind import takes_several_buffers
from spillway_dataplane.stream import binding
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from spillway_dataplane.way.state import RingState
from spillway_stream import Ring, connect
from spillway_stream.pages import LinkState

JUMBO = RingSize(descriptors=64, frame_bytes=16384, batch=8)
SLOTS, CHUNK = 64, 4096
SIZE = 8900
Descriptors = list[tuple[int, int, int]]


@pytest.fixture
def node(netns_pair: NetnsPair) -> NetnsPair:
    ip("link set spw0 mtu 9000")
    netns_pair.peer_run("ip", "link", "set", netns_pair.peer, "mtu", "9000")
    return make_node(netns_pair)


@pytest.fixture
def order(keeper: RingKeeper, tmp_path: Path) -> RingOrder:
    made = make_order(tmp_path, size=JUMBO)
    keeper.open(made)
    return made


def opened(order: RingOrder) -> Ring:
    return connect(str(order.directory / "ring.sock"), timeout_s=10)


def send_numbers(ring: Ring, first: int, count: int) -> None:
    """Long packets, each full of its number."""
    for start in range(first, first + count, 8):
        block = ring.reserve(8)
        for frame, number in zip(range(block.start, block.stop), range(start, start + 8), strict=True):
            ring.payload[frame, :SIZE] = number % 251
        assert ring.send(size=SIZE) == 8


def assert_numbers(far: Wire, count: int) -> None:
    found = [frame for frame in far.raw(count) if len(frame) > 1000]  # the peer says ICMP's "port unreachable" to some
    assert [len(each) for each in found] == [42 + SIZE] * count
    assert [each[42:] for each in found] == [bytes([number % 251]) * SIZE for number in range(count)]


def test_long_frames_are_fewer_and_no_more_memory(keeper: RingKeeper, order: RingOrder) -> None:
    status = until(keeper, state=RingState.READY)
    assert (status.frames, status.umem_bytes) == (2 * SLOTS // 4, 2 * SLOTS * CHUNK)
    held = hold(order.directory)
    assert (held.offer.frame_bytes, held.offer.frames, held.offer.tx_descriptors) == (16384, 32, SLOTS)
    assert held.offer.completion_descriptors == 2 * SLOTS


def test_a_restarted_driver_knows_the_ring_again(node: NetnsPair, tmp_path: Path) -> None:
    order = make_order(tmp_path, size=JUMBO)
    with wire(node) as far, keeping() as first:
        first.open(order)
        with opened(order) as ring:
            send_numbers(ring, 0, 80)
            first.stop()
            send_numbers(ring, 80, 80)
            with keeping() as second:
                second.open(order)
                wait_until("the ring is back", lambda: ring.stats.resumed == 1)
                until(second, state=RingState.READY, holder=f"process {os.getpid()} of uid 0")
                send_numbers(ring, 160, 80)
                assert ring.drain() == 0
        assert_numbers(far, 240)


# ---- packets without an end -------------------------------------------------------------------------------------------------


def begun(count: int) -> Descriptors:
    """So many chunks of a packet that never ends."""
    return [(number % 32 * CHUNK, CHUNK, XDP_PKT_CONTD) for number in range(count)]


REFUSED: Descriptors = [(1 << 40, 64, 0)]
UNENDED = [
    pytest.param([begun(1)], id="one chunk"),
    pytest.param([begun(3)], id="a packet's most but the last"),
    pytest.param([[(0, 60, 0)] * (SLOTS - 2), begun(2)], id="at the ring's end"),
    pytest.param([[(0, 60, 0)] * (SLOTS - 1), begun(3)], id="around the ring's end"),
    pytest.param([begun(SLOTS)], id="a whole ring of them"),
    pytest.param([begun(SLOTS)] * 20, id="ring after ring of them"),
    pytest.param([REFUSED * 2, begun(2)], id="behind refused ones"),
    pytest.param([begun(2) + REFUSED + begun(1)], id="around a refused one"),
    pytest.param(
        [[(0, CHUNK + 1, XDP_PKT_CONTD)], [(0, 0, XDP_PKT_CONTD)], [(0, 64, 6)], begun(1)], id="refused ones of all kinds"
    ),
]


def spoil(held: HeldRing, rounds: list[Descriptors]) -> None:
    for descriptors in rounds:
        held.put_described(descriptors)
        for _ in range(8):
            held.kick()
            held.reap()


@pytest.mark.parametrize("rounds", UNENDED)
def test_the_next_holder_is_spared_a_packet_without_an_end(
    keeper: RingKeeper, order: RingOrder, node: NetnsPair, rounds: list[Descriptors]
) -> None:
    """The kernel keeps its beginning for whatever comes next on this ring; the next holder's packets are nevertheless its own."""
    held = hold(order.directory)
    held.until(LinkState.READY)
    spoil(held, rounds)
    held.close()
    with wire(node) as far:
        began = time.monotonic()
        with opened(order) as ring:
            assert time.monotonic() - began < 1
            send_numbers(ring, 0, 160)
            assert (ring.drain(), ring.stats.completed, ring.stats.invalid) == (0, 160, 0)
        assert_numbers(far, 160)


def test_another_ring_goes_on_beside_packets_without_an_end(
    keeper: RingKeeper, order: RingOrder, node: NetnsPair, tmp_path: Path
) -> None:
    other = make_order(tmp_path, 2, name="neighbour")
    keeper.open(other)
    held, neighbour = hold(order.directory), hold(other.directory)
    held.until(LinkState.READY)
    neighbour.until(LinkState.READY)
    with node.peer_listen() as listener:
        for start in range(0, 1000, 50):
            spoil(held, [begun(SLOTS - 1)])
            neighbour.send(numbered(neighbour, start, 50))
        assert numbers(listener.frames(1000)) == list(range(1000))


# ---- where it cannot be had -------------------------------------------------------------------------------------------------


def test_this_kernel_takes_several_buffers() -> None:
    assert takes_several_buffers()


def test_a_kernel_that_takes_one_buffer_says_so(
    keeper: RingKeeper, node: NetnsPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And rings of shorter frames are to be had there."""
    monkeypatch.setattr(binding, "takes_several_buffers", lambda: False)
    with pytest.raises(NotSupported, match=r"frameBytes 16384 on spw0 queue 1: .* 6\.6 and later do: frameBytes can be 4096"):
        keeper.open(make_order(tmp_path, size=JUMBO))
    keeper.open(make_order(tmp_path))


@pytest.mark.parametrize(
    ("segments", "named"),
    [
        (1, "at most one buffer a packet, frameBytes 16384 needs 4"),
        (2, "at most 2 buffers a packet"),
        (4, "EOPNOTSUPP"),
        (None, "EOPNOTSUPP"),
    ],
)
def test_a_card_that_takes_fewer_buffers_in_zero_copy(
    keeper: RingKeeper, node: NetnsPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: int | None, named: str
) -> None:
    """It is said with the number, before the card is tried; who prefers zero copy gets a copy and the same reason."""
    monkeypatch.setattr(binding, "zero_copy_segments", lambda _: segments)
    with keeping(refusal=lambda *_: None) as mine:
        with pytest.raises(NotSupported, match=named):
            mine.open(make_order(tmp_path, mode=BindMode.ZERO_COPY, size=JUMBO))
        status = mine.open(make_order(tmp_path, mode=BindMode.PREFER, size=JUMBO))
        assert status.bind_mode is BindMode.COPY
        assert named in status.bind_note
