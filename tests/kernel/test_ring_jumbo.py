"""Frames longer than a page: packets in several descriptors arrive whole, each once, and come back as one."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_server import RingNode, header_page, ring_node
from tests.kernel.ring_steps import wait_until
from tests.kernel.ring_wire import Wire, address, wire

from spillway_crds.streams import Flow, VlanTag
from spillway_dataplane.kernel.if_xdp import SOL_XDP, XDP_MAX_TX_SKB_BUDGET
from spillway_stream import BadOffer, FrameTooLong, Ring, Rtp, connect

PLAIN = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)
SIX = Flow(address("2001:db8::2"), 5004, address("2001:db8::1"), 5006, vlan=VlanTag(77, 5))
CHUNK = 4096
MTU = 9000
MANY = 600


def set_mtu(pair: NetnsPair, mtu: int) -> None:
    ip(f"link set {pair.ifname} mtu {mtu}")
    pair.peer_run("ip", "link", "set", pair.peer, "mtu", str(mtu))


@contextmanager
def jumbo(
    pair: NetnsPair, directory: Path, *, frame_bytes: int = 16384, mtu: int = MTU, flow: Flow = PLAIN, batch: int = 16
) -> Iterator[tuple[RingNode, Wire]]:
    set_mtu(pair, mtu)
    page = header_page(pair, flow, mtu=mtu)
    with ring_node(pair, directory, page, frames=64, frame_bytes=frame_bytes, batch=batch) as node, wire(pair) as far:
        yield node, far


def send_bodies(ring: Ring, bodies: list[bytes], *, raw: bool = False, at_once: int = 32) -> None:
    for start in range(0, len(bodies), at_once):
        some = bodies[start : start + at_once]
        block = ring.reserve(len(some))
        for frame, body in zip(range(block.start, block.stop), some, strict=True):
            (ring.frames if raw else ring.payload)[frame, : len(body)] = np.frombuffer(body, dtype=np.uint8)
            ring.lengths[frame] = len(body)
        assert ring.send(raw=raw) == len(some)


@pytest.mark.parametrize("flow", [PLAIN, SIX], ids=["ipv4", "ipv6-vlan"])
@pytest.mark.parametrize("frame_bytes", [8192, 16384])
def test_long_packets_among_short_ones(netns_pair: NetnsPair, tmp_path: Path, frame_bytes: int, flow: Flow) -> None:
    """Every third one as long as MTU and frame allow; the ring turns over many times, and all of its frames are free again."""
    chance = random.Random(2)
    with jumbo(netns_pair, tmp_path, frame_bytes=frame_bytes, flow=flow) as (node, far):
        with connect(node.path, timeout_s=5) as ring:
            headers, most = ring.facts.header_bytes, ring.facts.payload_bytes
            assert most == min(MTU - headers + (14 if flow is PLAIN else 18), frame_bytes - headers)
            sizes = [most if number % 3 == 0 else chance.randint(4, most) for number in range(MANY)]
            bodies = [struct.pack(">I", number) + chance.randbytes(size - 4) for number, size in enumerate(sizes)]
            send_bodies(ring, bodies)
            seen = far.packets(MANY)
            assert ring.drain() == 0
            assert ring.reserve(32) == slice(0, 32)
            stats = ring.stats
        assert [each.payload for each in seen] == bodies
        assert (stats.packets, stats.completed, stats.invalid) == (MANY, MANY, 0)
        assert stats.bytes == sum(sizes) + MANY * headers
        assert node.opened.indices().tx_consumer == sum(-(-(size + headers) // CHUNK) for size in sizes)


@pytest.mark.parametrize(
    "size", [60, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1, 4 * CHUNK]
)
def test_sizes_around_the_borders_of_chunks(netns_pair: NetnsPair, tmp_path: Path, size: int) -> None:
    """A chunk that is begun is a descriptor, and no more of them."""
    bodies = [
        random.Random(number).randbytes(12) + b"\x88\xb5" + random.Random(-number).randbytes(size - 14) for number in range(40)
    ]
    with jumbo(netns_pair, tmp_path, mtu=4 * CHUNK) as (node, far), connect(node.path, timeout_s=5) as ring:
        send_bodies(ring, bodies, raw=True)
        assert far.raw(len(bodies)) == bodies
        assert (ring.drain(), ring.stats.completed, ring.stats.invalid) == (0, 40, 0)
        assert node.opened.indices().tx_consumer == 40 * -(-size // CHUNK)


def test_rtp_with_an_extension_in_long_packets(netns_pair: NetnsPair, tmp_path: Path) -> None:
    extension = bytes.fromhex("bede0001 10aa0000")
    rtp = Rtp(payload_type=112, ssrc=0xDEADBEEF, sequence=65500, extension=extension)
    with jumbo(netns_pair, tmp_path) as (node, far), connect(node.path, timeout_s=5, rtp=rtp, udp_checksum=True) as ring:
        most = ring.facts.payload_bytes
        assert most == MTU - 28 - 12 - len(extension)
        for picture in range(4):
            block = ring.reserve(20)
            ring.payload[block, :most] = picture
            ring.send(size=most, timestamp=picture, marker=True)
        seen = far.packets(80)
    for number, each in enumerate(seen):
        first, kind, sequence, timestamp, _ = struct.unpack_from(">BBHII", each.payload)
        assert (first, kind & 127, bool(kind & 128)) == (0x90, 112, number % 20 == 19)
        assert (sequence, timestamp) == ((65500 + number) % 65536, number // 20)
        assert each.payload[12:] == extension + bytes([number // 20]) * most


@pytest.mark.parametrize(("frame_bytes", "most"), [(8192, 8192 - 42), (16384, MTU - 28)], ids=["the frame", "the MTU"])
def test_a_byte_too_long_is_refused_by_name(netns_pair: NetnsPair, tmp_path: Path, frame_bytes: int, most: int) -> None:
    """Its batch stays, the descriptors that were prepared for it are given back, and what was mended goes."""
    with jumbo(netns_pair, tmp_path, frame_bytes=frame_bytes) as (node, far), connect(node.path, timeout_s=5) as ring:
        for _ in range(20):
            block = ring.reserve(16)
            ring.lengths[block] = most
            ring.lengths[block.start + 9] = most + 1
            with pytest.raises(FrameTooLong) as caught:
                ring.send()
            assert (caught.value.size_bytes, caught.value.limit_bytes, caught.value.sent) == (most + 1, most, 0)
        ring.lengths[block.start + 9] = most
        assert ring.send() == 16
        assert {len(each.payload) for each in far.packets(16)} == {most}


def test_the_largest_batch_leaves_the_slots_of_a_packet(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """Sixty-four slots for packets of four: 15 of them, so that the kernel can go back over one."""
    set_mtu(netns_pair, MTU)
    page = header_page(netns_pair, PLAIN, mtu=MTU)
    with ring_node(netns_pair, tmp_path, page, frames=32, frame_bytes=16384, batch=16) as node, wire(netns_pair) as far:
        with connect(node.path, timeout_s=5) as ring:
            assert ring.facts.batch == 15
            for _ in range(20):
                ring.reserve(16)
                assert ring.send(size=8000) == 16
        assert len(far.packets(320)) == 320
        node.offer = replace(node.offer, batch=17)
        with pytest.raises(BadOffer, match="batch"):
            connect(node.path, timeout_s=5)


@pytest.mark.parametrize("frame_bytes", [1024, 3000, 12288, 32768, 0])
def test_frames_of_other_sizes_are_no_ring(netns_pair: NetnsPair, tmp_path: Path, frame_bytes: int) -> None:
    with jumbo(netns_pair, tmp_path) as (node, _):
        node.offer = replace(node.offer, frame_bytes=frame_bytes)
        with pytest.raises(BadOffer, match="frame_bytes"):
            connect(node.path, timeout_s=5)


@pytest.mark.parametrize("budget", [32, 33, 34])
def test_calls_that_end_within_a_packet(netns_pair: NetnsPair, tmp_path: Path, budget: int) -> None:
    """A call takes so many descriptors and leaves the rest of a packet to the next one; every packet is whole."""
    with jumbo(netns_pair, tmp_path) as (node, far), connect(node.path, timeout_s=5) as ring:
        node.opened._socket.setsockopt(SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget)
        bodies = [struct.pack(">I", number) * (2225 if number % 4 else 300) for number in range(640)]
        send_bodies(ring, bodies)
        assert [each.payload for each in far.packets(640)] == bodies
        assert (ring.drain(), ring.stats.completed, ring.stats.invalid) == (0, 640, 0)
        assert ring.stats.kicks > ring.stats.batches


HOLDER = """
import sys
from spillway_stream import connect
ring = connect(sys.argv[1], timeout_s=10)
while True:
    ring.reserve(32)
    ring.send(size=8900)
    print(ring.stats.packets, flush=True)
"""


@pytest.mark.parametrize("turn", range(3))
def test_a_holder_killed_with_long_packets_in_flight(netns_pair: NetnsPair, tmp_path: Path, turn: int) -> None:
    """Whatever it left, the next one has every frame and each of its packets arrives whole."""
    with jumbo(netns_pair, tmp_path) as (node, far):
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, node.path], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        for _ in range(20 + turn):
            holder.stdout.readline()
        holder.kill()
        holder.communicate()
        wait_until("the holder's seat is free", lambda: node.holder is None)
        with connect(node.path, timeout_s=10) as ring:
            bodies = [struct.pack(">I", number) * 1234 for number in range(320)]
            send_bodies(ring, bodies)
            assert (ring.drain(), ring.stats.completed, ring.stats.invalid) == (0, 320, 0)
        found = [frame for frame in far.raw(320) if len(frame) != 42 + 8900]
        assert [frame[42:] for frame in found] == bodies
