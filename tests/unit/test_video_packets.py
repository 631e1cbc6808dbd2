"""Pictures cut into packets and put together again by a receiver written from the RFC."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.depacketizer import Depacketizer

from spillway_stream.video.formats import DEPTHS, SAMPLINGS, PictureFormat, pixel_group
from spillway_stream.video.packets import RtpState, packet_bytes, packet_table, shape_packets, srd_headers

STATE = RtpState(sequence=0xFFFF_FFF0, timestamps=(1000, 2800), ssrc=0x5B111, payload_type=96)


def receiver_of(picture: PictureFormat) -> Depacketizer:
    group = picture.group
    return Depacketizer(picture.width, picture.height, group.octets, group.pixels, picture.interlaced)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SAMPLINGS),
    st.sampled_from(DEPTHS),
    st.integers(1, 40),
    st.integers(1, 9),
    st.booleans(),
    st.integers(80, 300),
)
def test_each_pixel_arrives_once(sampling, depth, groups, lines, interlaced, udp_bytes):
    """For every format, size and room: the frame that was cut is the frame that arrives, in datagrams no larger than asked."""
    group = pixel_group(sampling, depth)
    picture = PictureFormat(groups * group.pixels, 2 * lines, group, interlaced)
    frame = random.Random(7).randbytes(picture.frame_bytes)
    shapes = shape_packets(picture, udp_bytes)
    receiver = receiver_of(picture)
    for place, shape in enumerate(shapes):
        payload = packet_bytes(shape, place, STATE, frame)
        assert len(payload) == shape.octets <= udp_bytes - 8
        receiver.take(payload)
    assert receiver.frames == [frame]
    assert receiver.timestamps == ([1000, 2800] if interlaced else [1000])


@pytest.mark.parametrize(
    ("width", "height", "sampling", "depth", "packets"),
    [
        pytest.param(1920, 1080, "YCbCr-4:2:2", 10, 3629, id="1080p 10 bit"),
        pytest.param(3840, 2160, "YCbCr-4:2:2", 10, 14509, id="2160p 10 bit"),
    ],
)
def test_packets_of_a_frame(width, height, sampling, depth, packets):
    """As few packets as a standard datagram allows: 1460 bytes, 22 of them headers of UDP, RTP and the sequence number."""
    picture = PictureFormat(width, height, pixel_group(sampling, depth))
    shapes = shape_packets(picture, 1460)
    assert len(shapes) == packets
    assert all(len(shape.segments) <= 3 for shape in shapes)
    assert len(packet_table(shapes)) == 40 * packets


def test_a_packet_byte_for_byte():
    """RFC 4175, section 4: two rows in one packet, the first with the continuation bit, the second field with its bit."""
    picture = PictureFormat(4, 4, pixel_group("YCbCr-4:2:2", 8), interlaced=True)
    (first, second) = shape_packets(picture, 1460)
    frame = bytes(range(32))
    assert packet_bytes(second, 1, RtpState(0x1_FFFF, (5, 6), 7, 100), frame).hex() == (
        "80e40000" "00000006" "00000007" "0002"
        "000880008000" "000880010000"
        "08090a0b0c0d0e0f" "18191a1b1c1d1e1f"
    )  # fmt: skip
    assert first.marker and second.marker
    assert srd_headers(first).hex() == "000800008000000800010000"


def test_pixel_offsets_count_pixels():
    """The offset of a row's continuation is in pixels, not in octets."""
    shapes = shape_packets(PictureFormat(8, 1, pixel_group("YCbCr-4:2:2", 10)), 8 + 14 + 6 + 10)
    assert [shape.segments[0].pixel for shape in shapes] == [0, 4]


def test_one_row_serves_every_line():
    """Stride 0: all lines are read from the same memory, and the headers still count them."""
    picture = PictureFormat(2, 6, pixel_group("YCbCr-4:2:2", 8), interlaced=True)
    shapes = shape_packets(picture, 1460, stride=0)
    receiver = receiver_of(picture)
    for place, shape in enumerate(shapes):
        receiver.take(packet_bytes(shape, place, STATE, b"abcd"))
    assert receiver.frames == [b"abcd" * 6]


def test_a_datagram_too_small_for_a_pgroup_is_refused():
    with pytest.raises(ValueError, match="no room for a pgroup of 15"):
        shape_packets(PictureFormat(4, 1, pixel_group("RGB", 10)), 42)
