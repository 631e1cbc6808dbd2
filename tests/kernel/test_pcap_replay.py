"""Captures sent again: every frame, once, as it was, when it was."""

from __future__ import annotations

import os
import struct
from array import array
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.source_lab import STOPPED, arrival, open_ring, source, stamped

from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream._ring import send_capture
from spillway_stream.ring import connect

ETHERNET = bytes.fromhex("020000000002") + bytes.fromhex("020000000001") + b"\x88\xb5"  # an EtherType for experiments


def frame(number: int, size: int = 64) -> bytes:
    return (ETHERNET + struct.pack(">I", number)).ljust(size, b"\x5a")


def write_capture(path: Path, frames: list[tuple[int, bytes]]) -> None:
    """frames: (microseconds, bytes)."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for time_us, content in frames:
        seconds, rest_us = divmod(time_us, 1_000_000)
        parts += struct.pack("<4I", 1_700_000_000 + seconds, rest_us, len(content), len(content)), content
    path.write_bytes(b"".join(parts))


def ours(frames: list[bytes]) -> list[bytes]:
    return [each for each in frames if each[12:14] == b"\x88\xb5"]


def test_ten_thousand_frames_arrive_as_they_were(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Of every length that the interface takes, at a given rate: exactly those, in order, byte for byte."""
    sent = [frame(number, 18 + number * 7 % 1497) for number in range(10_000)]
    write_capture(tmp_path / "flood.pcap", [(0, each) for each in sent])
    ring = open_ring(keeper, tmp_path)
    content = {"pcap": {"file": "flood.pcap", "volume": {"configMap": "floods"}}}
    with node.peer_listen() as listener, source(tmp_path, [ring], content, pacing={"packetsPerSecond": 20_000}) as sender:
        found = ours(listener.frames(10_000, timeout_s=20))
        assert sender.wait() == 0, sender.said
    assert found == sent


def test_a_capture_of_jumbo_frames(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Up to the longest that an MTU of 9,000 takes, among short ones."""
    ip("link set spw0 mtu 9000")
    node.peer_run("ip", "link", "set", node.peer, "mtu", "9000")
    sent = [frame(number, 9014 if number % 5 == 0 else 18 + number * 37 % 8997) for number in range(1000)]
    write_capture(tmp_path / "jumbo.pcap", [(0, each) for each in sent])
    ring = open_ring(keeper, tmp_path, frame_bytes=16384)
    content = {"pcap": {"file": "jumbo.pcap", "volume": {"configMap": "floods"}}}
    with node.peer_listen() as listener, source(tmp_path, [ring], content, pacing={"packetsPerSecond": 5_000}) as sender:
        found = ours(listener.frames(1000, timeout_s=20))
        assert sender.wait() == 0, sender.said
    assert found == sent


def test_the_captures_own_pace_times_a_factor(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Forty seconds of capture at eighty times its speed take half a second and not less."""
    write_capture(tmp_path / "slow.pcap", [(number * 1_000_000, frame(number)) for number in range(41)])
    ring = open_ring(keeper, tmp_path)
    with stamped(node) as listener, source(tmp_path, [ring], {"pcap": {"file": "slow.pcap", "speed": 80}}) as sender:
        arrivals = list(islice((each for each in iter(lambda: arrival(listener), None) if ours([each[1]])), 41))
        assert sender.wait() == 0
    assert [content for _, content in arrivals] == [frame(number) for number in range(41)]
    gaps_ns = [after - before for (before, _), (after, _) in pairwise(arrivals)]
    assert sum(gaps_ns) > 0.49e9
    assert median(gaps_ns) == pytest.approx(12.5e6, rel=0.5)


def test_a_loop_goes_round_in_order(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    write_capture(tmp_path / "three.pcap", [(number * 1000, frame(number)) for number in range(3)])
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], {"pcap": {"file": "three.pcap", "loop": True}}) as sender:
        found = ours(listener.frames(30, timeout_s=15))
        assert sender.stop() == STOPPED
    assert found == [frame(number % 3) for number in range(len(found))]


def test_nothing_is_lost_while_the_link_is_down(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """A capture waits for the link, and then goes on behind the last frame that went."""
    sent = [frame(number) for number in range(1500)]
    write_capture(tmp_path / "second.pcap", [(number * 1000, each) for number, each in enumerate(sent)])
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], {"pcap": {"file": "second.pcap"}}) as sender:
        before = ours(listener.frames(200, timeout_s=15, settle_s=0))
        ip("link set spw0 down")
        before += ours(listener.frames(1, timeout_s=0.5))
        ip("link set spw0 up")
        after = ours(listener.frames(1500 - len(before), timeout_s=15))
        assert sender.wait() == 0, sender.said
    found = before + after
    assert len(found) == len(set(found)), "none twice"
    missing = set(sent) - set(found)
    assert len(missing) <= 64, "at most what the kernel had and could not send"
    assert found == [each for each in sent if each not in missing]


@pytest.mark.parametrize(
    ("mtu", "size", "message"),
    [
        pytest.param(
            1500, 1519, "frame 2 has 1519 bytes, spw0 takes 1518 with its MTU of 1500: it needs an MTU of 1501", id="than the MTU"
        ),
        pytest.param(9000, 2049, "frame 2 has 2049 bytes, the ring's frames take 2048: ring.frameBytes can be 4096", id="2048"),
        pytest.param(9000, 9014, "frame 2 has 9014 bytes, the ring's frames take 2048: ring.frameBytes can be 16384", id="4096"),
        pytest.param(20000, 16385, "frame 2 has 16385 bytes, the ring's frames take 2048: no ring's take more", id="every frame"),
    ],
)  # fmt: skip
def test_frames_that_are_too_large(
    node: NetnsPair, keeper: RingKeeper, tmp_path: Path, mtu: int, size: int, message: str
) -> None:
    ip(f"link set spw0 mtu {mtu}")
    write_capture(tmp_path / "large.pcap", [(0, frame(0)), (1, frame(1, size)), (2, frame(2))])
    ring = open_ring(keeper, tmp_path)
    with source(tmp_path, [ring], {"pcap": {"file": "large.pcap"}}) as sender:
        assert sender.wait() == 3, sender.said
        fault = sender.fault()
    assert fault["reason"] == "NotSupported"
    assert fault["message"].startswith(f"source.pcap.file: large.pcap: {message}")


def test_the_longest_frames_that_an_mtu_takes_arrive(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """One VLAN tag's length above Ethernet's: what a veth drops without a word begins behind it."""
    sent = [frame(number, 1514 + number % 5) for number in range(50)]
    write_capture(tmp_path / "full.pcap", [(0, each) for each in sent])
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], {"pcap": {"file": "full.pcap"}}) as sender:
        found = ours(listener.frames(50, timeout_s=15))
        assert sender.wait() == 0, sender.said
    assert found == sent


def test_a_capture_cut_short_while_it_is_sent(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """The process ends with words, not by SIGBUS."""
    write_capture(tmp_path / "long.pcap", [(0, frame(number, 1400)) for number in range(3000)])
    ring = open_ring(keeper, tmp_path)
    content = {"pcap": {"file": "long.pcap", "loop": True}}
    with node.peer_listen() as listener, source(tmp_path, [ring], content, pacing={"packetsPerSecond": 2000}) as sender:
        assert ours(listener.frames(100, timeout_s=15, settle_s=0))
        os.truncate(tmp_path / "long.pcap", 100_000)
        assert sender.wait() == 4, sender.said
        message = "source.pcap.file: long.pcap was cut short while it was sent, or its disk cannot be read any more"
        assert sender.fault() == {"reason": "Transient", "message": message}


@pytest.mark.parametrize(
    ("at", "lengths", "due", "first", "n"),
    [
        pytest.param([0, 64], [64], None, 0, 1, id="arrays of different lengths"),
        pytest.param([0, 64], [64, 64], [0], 0, 2, id="fewer times than frames"),
        pytest.param([0, 64], [64, 65], None, 0, 2, id="beyond the end of the capture"),
        pytest.param([0, 2**63], [64, 64], None, 0, 2, id="a place that no memory has"),
        pytest.param([0, 0], [64, 5000], None, 0, 2, id="longer than the ring's frames"),
        pytest.param([0, 64], [64, 64], None, 1, 2, id="more frames than there are"),
        pytest.param([0, 64], [64, 64], None, 2**63, 2**63, id="counts that overflow"),
    ],
)
def test_what_would_leave_the_memory_is_refused(
    node: NetnsPair,
    keeper: RingKeeper,
    tmp_path: Path,
    at: list[int],
    lengths: list[int],
    due: list[int] | None,
    first: int,
    n: int,
) -> None:
    """Nothing is sent, and the ring can be used afterwards."""
    due_ns = array("Q", due) if due is not None else None
    with connect(open_ring(keeper, tmp_path), timeout_s=5) as ring:
        with pytest.raises(ValueError, match="do not fit"):
            send_capture(ring, bytes(128), array("Q", at), array("I", lengths), due_ns, first, n, 0, 64)
        send_capture(ring, frame(1) + frame(2), array("Q", [0, 64]), array("I", [64, 64]), None, 0, 2, 0, 64)
        assert ring.stats.packets == 2
