"""Packets that the ring library sends are the ones that were asked for: count, order, addresses, lengths, checksums, payload."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_server import header_page, ring_node
from tests.kernel.ring_wire import Seen, address, ones_sum, wire

from spillway_crds.streams import Flow, VlanTag
from spillway_stream import FrameTooLong, Misuse, Rtp, connect

PLAIN = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)
FLOWS = [
    pytest.param(PLAIN, id="ipv4"),
    pytest.param(replace(PLAIN, dscp=46, ttl=3), id="ipv4-dscp-ttl"),
    pytest.param(replace(PLAIN, vlan=VlanTag(77, 5)), id="ipv4-vlan"),
    pytest.param(Flow(address("239.1.2.3"), 20000, address("10.1.0.1"), 20000, ttl=8), id="ipv4-multicast"),
    pytest.param(Flow(address("2001:db8::2"), 5004, address("2001:db8::1"), 5006), id="ipv6"),
    pytest.param(Flow(address("2001:db8::2"), 5004, address("2001:db8::1"), 5006, dscp=10, vlan=VlanTag(4094)), id="ipv6-vlan"),
    pytest.param(Flow(address("ff3e::8000:1"), 5004, address("2001:db8::1"), 5006, ttl=5), id="ipv6-multicast"),
]
MANY = 3000


def assert_flow(seen: Seen, flow: Flow, pair: NetnsPair) -> None:
    assert (seen.source, seen.destination) == (flow.source, flow.destination)
    assert (seen.source_port, seen.destination_port) == (flow.source_port, flow.destination_port)
    assert (seen.ttl, seen.traffic_class >> 2, seen.source_mac) == (flow.ttl, flow.dscp, pair.mac)
    assert seen.vlan == (None if flow.vlan is None else flow.vlan.priority << 13 | flow.vlan.id)


@pytest.mark.parametrize("flow", FLOWS)
def test_every_packet_of_a_flow_arrives_once_in_order(netns_pair: NetnsPair, tmp_path: Path, flow: Flow) -> None:
    """Sizes are random, odd ones too; the number in the payload counts up without a gap."""
    chance = random.Random(1)
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, flow)) as node, wire(netns_pair) as far:
        with connect(node.path, timeout_s=5) as ring:
            sizes = [chance.randint(4, ring.facts.payload_bytes) for _ in range(MANY)]
            bodies = [struct.pack(">I", number) + chance.randbytes(size - 4) for number, size in enumerate(sizes)]
            for start in range(0, MANY, 100):
                block = ring.reserve(100)
                for frame, body in zip(range(block.start, block.stop), bodies[start : start + 100], strict=True):
                    ring.payload[frame, : len(body)] = np.frombuffer(body, dtype=np.uint8)
                    ring.lengths[frame] = len(body)
                assert ring.send() == 100
            seen = far.packets(MANY)
            assert ring.drain() == 0
            assert ring.reserve(256) == slice(0, 256)  # every frame is free again
            stats = ring.stats
        for each, body in zip(seen, bodies, strict=True):
            assert_flow(each, flow, netns_pair)
            assert each.payload == body
        assert (stats.packets, stats.completed, stats.invalid) == (MANY, MANY, 0)
        assert node.report() is not None


def test_a_checksum_over_ipv4_when_asked(netns_pair: NetnsPair, tmp_path: Path) -> None:
    with (
        ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN)) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, udp_checksum=True) as ring,
    ):
        block = ring.reserve(50)
        ring.payload[block] = np.arange(50, dtype=np.uint8)[:, None]
        ring.send(size=701)
        assert all(seen.udp_check for seen in far.packets(50))


@pytest.mark.parametrize("flow", [FLOWS[0], FLOWS[4]])
def test_a_udp_checksum_of_nought_is_written_as_ffff(netns_pair: NetnsPair, tmp_path: Path, flow: Flow) -> None:
    """0 says that there is none (RFC 768), and over IPv6 such packets are thrown away. Lengths even and odd."""
    page = header_page(netns_pair, flow)
    with (
        ring_node(netns_pair, tmp_path, page) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, udp_checksum=True) as ring,
    ):
        for size in (2, 3, 1000, 1001):
            block, at = ring.reserve(1), (size - 2) & ~1
            body = bytearray(b"\x5a" * size)
            body[at : at + 2] = b"\0\0"
            others = ones_sum(page.pseudo_sum.to_bytes(2) + (2 * (8 + size)).to_bytes(2) + body)
            body[at : at + 2] = (0xFFFF - others).to_bytes(2)  # the word that makes the sum of all 0xffff
            ring.payload[block, :size] = np.frombuffer(body, dtype=np.uint8)
            ring.send(size=size)
        assert [seen.udp_check for seen in far.packets(4)] == [0xFFFF] * 4


def test_fragmentable_packets_have_identifications_of_their_own(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """RFC 6864: without DF, no identification comes twice soon."""
    page = header_page(netns_pair, PLAIN)
    header = bytearray(page.header)
    header[20] = 0  # DF off
    words = struct.unpack(">10H", header[14:24] + b"\0\0" + header[26:34])
    header[24:26] = struct.pack(">H", 0xFFFF ^ (sum(words) % 0xFFFF or 0xFFFF))
    with (
        ring_node(netns_pair, tmp_path, replace(page, header=bytes(header))) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5) as ring,
    ):
        for _ in range(20):
            ring.reserve(100)
            ring.send(size=30)
        assert len({seen.ident for seen in far.packets(2000)}) == 2000


@pytest.mark.parametrize("extension", [b"", bytes.fromhex("bede0001 10aa0000")], ids=["plain", "extension"])
def test_rtp_headers_count_on(netns_pair: NetnsPair, tmp_path: Path, extension: bytes) -> None:
    """Sequence numbers cross 65,535, the marker is on the last packet of a send, the timestamp is the one given."""
    rtp = Rtp(payload_type=112, ssrc=0xDEADBEEF, sequence=65500, extension=extension)
    with (
        ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN)) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, rtp=rtp, udp_checksum=True) as ring,
    ):
        for picture in range(4):
            ring.reserve(90)
            ring.send(size=200, timestamp=(picture * 1_500_000_000) % 2**32, marker=True)
        seen = far.packets(360)
    for number, each in enumerate(seen):
        first, kind, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", each.payload)
        assert (first, kind & 127, ssrc) == (0x90 if extension else 0x80, 112, 0xDEADBEEF)
        assert (sequence, timestamp) == ((65500 + number) % 65536, number // 90 * 1_500_000_000 % 2**32)
        assert bool(kind & 128) == (number % 90 == 89)
        assert each.payload[12 : 12 + len(extension)] == extension
        assert len(each.payload) == 12 + len(extension) + 200


def test_rtp_numbers_are_used_up_only_by_packets_that_go(netns_pair: NetnsPair, tmp_path: Path) -> None:
    with (
        ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN)) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, rtp=Rtp(sequence=1)) as ring,
    ):
        block = ring.reserve(10)
        ring.lengths[block] = 100
        ring.lengths[block.stop - 1] = 1461  # with RTP, 1,460 bytes fit
        with pytest.raises(FrameTooLong):
            ring.send()
        assert ring.send(9) == 9
        assert [int.from_bytes(seen.payload[2:4]) for seen in far.packets(9)] == list(range(1, 10))


def test_raw_frames_leave_as_they_are(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """And the library's header is back in place in a frame that is used for a packet afterwards."""
    bodies = [random.Random(number).randbytes(12) + b"\x88\xb5" + bytes(number) for number in range(0, 900, 3)]
    with (
        ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN), frames=512) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5) as ring,
    ):
        for start in range(0, len(bodies), 100):
            block = ring.reserve(100)
            for frame, body in zip(range(block.start, block.stop), bodies[start : start + 100], strict=True):
                ring.frames[frame, : len(body)] = np.frombuffer(body, dtype=np.uint8)
                ring.lengths[frame] = len(body)
            ring.send(raw=True)
        assert far.raw(len(bodies)) == bodies
        for _ in range(8):
            ring.reserve(64)
            ring.send(size=8)
        assert len(far.packets(512)) == 512


def test_jumbo_frames_as_far_as_frame_and_mtu_allow(netns_pair: NetnsPair, tmp_path: Path) -> None:
    ip(f"link set {netns_pair.ifname} mtu 4082")
    netns_pair.peer_run("ip", "link", "set", netns_pair.peer, "mtu", "4082")
    page = header_page(netns_pair, PLAIN, mtu=4082)
    with (
        ring_node(netns_pair, tmp_path, page, frames=64, frame_bytes=4096, batch=16) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5) as ring,
    ):
        assert ring.facts.payload_bytes == 4054
        ring.reserve(32)
        ring.send(size=4054)
        assert {len(seen.payload) for seen in far.packets(32)} == {4054}


def test_a_frame_larger_than_the_mtu_is_refused_by_name(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """Its whole batch stays; what was reserved can still be sent when it is mended. The MTU may change on the way."""
    page = header_page(netns_pair, PLAIN)
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        block = ring.reserve(10)
        ring.lengths[block] = 1472
        ring.lengths[block.start + 7] = 1473
        with pytest.raises(FrameTooLong) as caught:
            ring.send()
        assert (caught.value.index, caught.value.size_bytes, caught.value.limit_bytes) == (block.start + 7, 1473, 1472)
        assert (caught.value.sent, far.raw(0)) == (0, [])
        ring.lengths[block.start + 7] = 1472
        assert ring.send() == 10
        node.show(replace(page, mtu=1000))
        with pytest.raises(FrameTooLong) as caught:
            ring.reserve(1)
            ring.send(size=1400)
        assert caught.value.limit_bytes == 972 == ring.facts.payload_bytes
        assert len(far.packets(10)) == 10


def test_arguments_that_make_no_sense(netns_pair: NetnsPair, tmp_path: Path) -> None:
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN), frames=64, batch=32) as node:
        with connect(node.path, timeout_s=5) as ring:
            for count in (0, 33):
                with pytest.raises(Misuse):
                    ring.reserve(count)
            ring.reserve(4)
            with pytest.raises(Misuse):
                ring.send(5)
        with pytest.raises(Misuse):
            ring.reserve(1)
        with pytest.raises(ValueError, match="closed"):
            _ = ring.frames
        for wrong in (
            {"rtp": Rtp(payload_type=128)},
            {"rtp": Rtp(extension=b"abc")},
            {"rtp": Rtp(extension=bytes.fromhex("bede0002 10aa0000"))},
            {"rtp": Rtp(extension=bytes(4 * 17))},
            {"packets_per_second": 1, "bits_per_second": 1},
        ):
            with pytest.raises(Misuse):
                connect(node.path, timeout_s=5, **wrong)  # type: ignore[arg-type]


def test_views_outlive_the_ring(netns_pair: NetnsPair, tmp_path: Path) -> None:
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN)) as node, connect(node.path, timeout_s=5) as ring:
        frames, lengths = ring.frames, ring.lengths
        frames[3, 100] = 42
    del ring
    assert (frames[3, 100], lengths[0], frames.shape) == (42, 0, (512, 2048))


def test_one_system_call_for_a_batch(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """Unpaced, at most one kick for 32 packets, whatever the kernel's own budget for one call is."""
    with (
        ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN), frames=1024) as node,
        connect(node.path, timeout_s=5) as ring,
    ):
        for _ in range(200):
            ring.reserve(64)
            ring.send(size=100)
        stats = ring.stats
    assert (stats.packets, stats.batches) == (12800, 200)
    assert stats.kicks <= stats.packets / 32


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from spillway_stream import connect
with connect(sys.argv[1], timeout_s=10) as ring:
    block = ring.reserve(10)
    octets, head = ring.frames.cast("B"), ring.facts.header_bytes
    for frame in range(block.start, block.stop):
        at = frame * ring.facts.frame_bytes + head
        octets[at : at + 5] = b"plain"
        ring.lengths[frame] = 5
    ring.send()
    assert ring.drain() == 0 and ring.payload is None
"""


def test_numpy_is_a_choice(netns_pair: NetnsPair, tmp_path: Path) -> None:
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, PLAIN)) as node, wire(netns_pair) as far:
        subprocess.run([sys.executable, "-c", WITHOUT_NUMPY, node.path], check=True)
        assert [seen.payload for seen in far.packets(10)] == [b"plain"] * 10
