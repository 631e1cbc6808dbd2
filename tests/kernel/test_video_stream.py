"""A video source packet by packet: its clock, its two legs, its faults, and what it does when the interface changes."""

from __future__ import annotations

import os
import time
import urllib.request
from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
from tests.depacketizer import Depacketizer
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_lab import until
from tests.kernel.source_lab import FLOW, PORT, STOPPED, arrival, open_ring, source, stamped, video

from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingStatus
from spillway_dataplane.way.state import RingState
from spillway_stream.clocks import word_of
from spillway_stream.video.formats import PictureFormat, pixel_group
from spillway_stream.video.patterns import FrameCounter
from spillway_stream.video.timing import rtp_timestamp

SMALL = PictureFormat(240, 60, pixel_group("YCbCr-4:2:2", 10))
RATE = "60000/1001"
FRAME_S = Fraction(1001, 60000)
UDP_AT, PAYLOAD_AT = 34, 42
NO_CORE = f"core 4095 is none that this pod may use; it may use {', '.join(map(str, sorted(os.sched_getaffinity(0))))}"


def payloads(frames: list[bytes], port: int = PORT) -> list[bytes]:
    """Of UDP packets to that port."""
    ours = (frame for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 17)
    return [frame[PAYLOAD_AT:] for frame in ours if int.from_bytes(frame[UDP_AT + 2 : UDP_AT + 4]) == port]


def whole_fields(packets: list[bytes]) -> list[bytes]:
    """From behind the first marker to the last one: what was under way when listening began and ended is left out."""
    marks = [place for place, packet in enumerate(packets) if packet[1] & 0x80]
    assert len(marks) > 1, f"{len(packets)} packets, {len(marks)} markers"
    return packets[marks[0] + 1 : marks[-1] + 1]


def received(packets: list[bytes], picture: PictureFormat) -> Depacketizer:
    group = picture.group
    receiver = Depacketizer(picture.width, picture.height, group.octets, group.pixels, picture.interlaced)
    for packet in whole_fields(packets):
        receiver.take(packet)
    return receiver


def numbers_of(receiver: Depacketizer, about: int) -> list[int]:
    """The frames' numbers since the epoch, by their timestamps; `about`: a number near them."""
    near = {rtp_timestamp(number, FRAME_S): number for number in range(about - 2000, about + 2000)}
    return [near[stamp] for stamp in receiver.timestamps]


def test_frames_are_numbered_and_stamped_by_the_epoch(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """The burnt-in number, the RTP timestamp and CLOCK_TAI agree for each frame; a fractional rate drifts by nothing."""
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], video(SMALL, RATE, pattern="FrameCounter")) as sender:
        frames = listener.frames(500, timeout_s=15)
        assert sender.stop() == STOPPED
    receiver = received(payloads(frames), SMALL)
    now = int(Fraction(time.clock_gettime_ns(time.CLOCK_TAI), 10**9) / FRAME_S)
    numbers = numbers_of(receiver, now)
    assert numbers == sorted(set(numbers)) and now - 1900 < numbers[0] <= numbers[-1] <= now
    counter = FrameCounter(SMALL)
    assert len(receiver.frames) == len(numbers) > 10
    for number, frame in zip(numbers, receiver.frames, strict=True):
        assert frame == bytes(counter.frame(0, number)[0])


def test_no_packet_leaves_early(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Each frame's first packet arrives not before N x T_FRAME + TR_OFFSET less half a millisecond, at best within 1 ms of it."""
    ring = open_ring(keeper, tmp_path)
    with stamped(node) as listener, source(tmp_path, [ring], video(SMALL, RATE, pattern="Ramp")) as sender:
        arrivals = [arrival(listener) for _ in range(400)]
        assert sender.stop() == STOPPED
    ours = [(at_ns, payload) for at_ns, frame in arrivals for payload in payloads([frame])]
    firsts = [after for before, after in pairwise(ours) if before[1][1] & 0x80]
    late_ns = [at_ns - due_ns(payload, at_ns) for at_ns, payload in firsts]
    assert len(late_ns) > 5
    assert -50_000 < min(late_ns) < 1_000_000  # arrivals are told in CLOCK_REALTIME, read a little after CLOCK_TAI


def due_ns(payload: bytes, about_ns: int) -> int:
    """When the frame with this timestamp is due to be sent, half a millisecond before its first packet is read."""
    about = int(Fraction(about_ns, 10**9) / FRAME_S)
    near = {rtp_timestamp(number, FRAME_S): number for number in range(about - 60, about + 60)}
    number = near[int.from_bytes(payload[4:8])]
    return int((number * FRAME_S + FRAME_S * Fraction(28, 750) - Fraction(1, 2000)) * 10**9)


def test_two_legs_carry_the_same_stream(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """ST 2022-7: packet for packet the same RTP, to two destinations through two queues."""
    second = replace(FLOW, destination=ip_address("239.20.0.1"), destination_port=PORT + 2)
    rings = [open_ring(keeper, tmp_path), open_ring(keeper, tmp_path, 2, name="cam2", flow=second)]
    content = video(SMALL, RATE, pattern="Ramp", legs=[{}])
    with node.peer_listen() as listener, source(tmp_path, rings, content) as sender:
        frames = listener.frames(300, timeout_s=15)
        assert sender.stop() == STOPPED
    first, other = payloads(frames), payloads(frames, PORT + 2)
    assert len(first) > 100
    assert first[: len(other)] == other[: len(first)]


def test_a_leg_that_goes_leaves_the_other_alone(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """The second path's next hop vanishes: its packets are refused, the first path has every frame as before."""
    ip(f"neighbour replace 10.9.0.3 dev spw0 lladdr {node.peer_mac.hex(':')} nud permanent")
    second = replace(FLOW, destination=ip_address("10.9.0.3"), destination_port=PORT + 2)
    rings = [open_ring(keeper, tmp_path), open_ring(keeper, tmp_path, 2, name="cam2", flow=second)]
    with source(tmp_path, rings, video(SMALL, RATE, pattern="Ramp", legs=[{}])) as sender:
        with node.peer_listen() as listener:
            both = listener.frames(200, timeout_s=15)
        ip("neighbour del 10.9.0.3 dev spw0")
        until(keeper, key="cam2/ring", state=RingState.UNRESOLVED)
        with node.peer_listen() as listener:
            alone = listener.frames(200, timeout_s=15)
        assert sender.stop() == STOPPED
    assert payloads(both) and payloads(both, PORT + 2)
    assert not payloads(alone, PORT + 2)
    assert received(payloads(alone), SMALL).frames


def test_a_smaller_mtu_makes_smaller_packets(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    ring = open_ring(keeper, tmp_path)
    with source(tmp_path, [ring], video(SMALL, RATE, pattern="ColorBars")) as sender:
        with node.peer_listen() as listener:
            assert max(map(len, payloads(listener.frames(100, timeout_s=15)))) > 1400
        ip("link set spw0 mtu 800")
        time.sleep(0.5)
        with node.peer_listen() as listener:
            small = payloads(listener.frames(200, timeout_s=15))
        assert sender.stop() == STOPPED
    assert 700 < max(map(len, small)) <= 800 - 28
    assert received(small, SMALL).frames


def test_it_tells_how_it_does(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    ring = open_ring(keeper, tmp_path)
    with source(tmp_path, [ring], video(SMALL, RATE, pattern="ColorBars"), metricsPort=9467) as sender:
        with node.peer_listen() as listener:
            listener.frames(300, timeout_s=15)
        status = told(keeper)
        text = page("metrics")
        assert page("readyz") == "sending\n"
        assert sender.stop() == STOPPED
    assert 0 < status.peaks.cinst_packets <= 16
    word = word_of(status.peaks.clock)
    assert word is not None and word.synchronized == ('clock_synchronized{stream="studio/cam"} 1' in text)
    figures = {line.split("{")[0]: float(line.split()[-1]) for line in text.splitlines() if not line.startswith("#")}
    assert figures["spillway_source_frames_total"] > 10
    assert figures["spillway_source_packets_total"] >= 300
    assert 0 < figures["spillway_source_cinst_peak_packets"] <= figures["spillway_source_cinst_limit_packets"] == 16
    assert 0 < figures["spillway_source_vrx_peak_packets"] <= figures["spillway_source_vrx_limit_packets"] == 720


def told(keeper: RingKeeper) -> RingStatus:
    """What the node knows of the ring, once the source has told it, which it does each second."""
    deadline = time.monotonic() + 10
    while not (status := keeper.statuses()[0]).counters.video_frames:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def page(name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:9467/{name}", timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("content", "fields", "exit_code", "reason", "message"),
    [
        pytest.param(
            video(SMALL, file="clip.raw"), {}, 2, "InvalidIntent",
            "source.video.file: clip.raw has 1000 bytes, 0 frames and 1000 bytes more;"
            " a frame of 240x60 YCbCr-4:2:2 with 10 bit has 36000",
            id="a file of another size",
        ),
        pytest.param(
            video(SMALL, pattern="ColorBars"), {"pacing": {"profile": "ST2110-21-Narrow"}}, 3, "NotSupported",
            "ST2110-21-Narrow needs launch time in the card, which rings do not offer: ST2110-21-Wide is kept",
            id="narrow",
        ),
        pytest.param(
            video(SMALL, pattern="ColorBars"), {"cpu": 4095}, 3, "NotSupported", NO_CORE,
            id="a core",
        ),
        pytest.param(
            {"pcap": {"file": "clip.raw"}}, {}, 2, "InvalidIntent",
            "source.pcap.file: clip.raw: the file is neither pcap nor pcapng", id="no capture",
        ),
    ],
)  # fmt: skip
def test_faults_are_said_where_kubernetes_shows_them(
    node: NetnsPair, keeper: RingKeeper, tmp_path: Path, content: dict[str, object], fields: dict[str, object],
    exit_code: int, reason: str, message: str,
) -> None:  # fmt: skip
    (tmp_path / "clip.raw").write_bytes(b"\x7f" * 1000)
    ring = open_ring(keeper, tmp_path)
    with source(tmp_path, [ring], content, **fields) as sender:
        assert sender.wait() == exit_code, sender.said
        assert sender.fault() == {"reason": reason, "message": message}


def test_a_clip_cut_short_while_a_frame_is_sent(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """A frame takes a second here, so the file is cut in the middle of one: words, not SIGBUS."""
    picture = PictureFormat(240, 600, SMALL.group)
    (tmp_path / "clip.raw").write_bytes(b"\x7f" * (4 * picture.frame_bytes))
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], video(picture, "1", file="clip.raw")) as sender:
        assert listener.frames(50, timeout_s=15, settle_s=0)
        os.truncate(tmp_path / "clip.raw", 10_000)
        assert sender.wait() == 4, sender.said
        message = "source.video.file: clip.raw was cut short while it was sent, or its disk cannot be read any more"
        assert sender.fault() == {"reason": "Transient", "message": message}


def test_a_clip_that_is_not_looped_ends(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Exit code 0, and every packet of its three frames went out."""
    clip = [bytes([each]) * SMALL.frame_bytes for each in (1, 2, 3)]
    (tmp_path / "clip.raw").write_bytes(b"".join(clip))
    ring = open_ring(keeper, tmp_path)
    with node.peer_listen() as listener, source(tmp_path, [ring], video(SMALL, file="clip.raw", loop=False)) as sender:
        assert sender.wait() == 0, sender.said
        packets = payloads(listener.frames(78, timeout_s=1))
    group = SMALL.group
    receiver = Depacketizer(SMALL.width, SMALL.height, group.octets, group.pixels)
    for packet in packets:
        receiver.take(packet)
    assert receiver.frames == clip
