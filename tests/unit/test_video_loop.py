"""The C loop's packets against the law in Python, byte for byte; and that it refuses what would leave its memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream._ring import send_picture, write_packet
from spillway_stream.video.formats import DEPTHS, SAMPLINGS, PictureFormat, pixel_group
from spillway_stream.video.packets import TABLE_ENTRY, RtpState, packet_bytes, packet_table, shape_packets


def written(table: bytes, place: int, pixels: bytes, state: RtpState, *, offset: int = 0, room: int = 1500) -> bytes:
    memory = bytearray(room)
    raw = (state.sequence, *state.timestamps, state.ssrc, state.payload_type)
    octets = write_packet(memory, table, place, pixels, offset, raw)
    assert not any(memory[octets:]), "nothing behind the packet"
    return bytes(memory[:octets])


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(SAMPLINGS),
    st.sampled_from(DEPTHS),
    st.integers(1, 30),
    st.integers(1, 6),
    st.booleans(),
    st.integers(80, 400),
    st.integers(0, 2**32 - 1),
)
def test_c_writes_what_python_says(sampling, depth, groups, lines, interlaced, udp_bytes, sequence):
    group = pixel_group(sampling, depth)
    picture = PictureFormat(groups * group.pixels, 2 * lines, group, interlaced)
    frame = random.Random(sequence).randbytes(picture.frame_bytes)
    state = RtpState(sequence, (sequence ^ 0xFFFF, 7), 0xDEADBEEF, 96 + sequence % 32)
    shapes = shape_packets(picture, udp_bytes)
    table = packet_table(shapes)
    for place, shape in enumerate(shapes):
        assert written(table, place, b"xyz" + frame, state, offset=3) == packet_bytes(shape, place, state, frame)


PICTURE = PictureFormat(64, 4, pixel_group("YCbCr-4:2:2", 8))
TABLE = packet_table(shape_packets(PICTURE, 200))
STATE = RtpState(0, (0, 0), 0, 96)


@pytest.mark.parametrize(
    ("table", "pixels", "room"),
    [
        pytest.param(TABLE, bytes(PICTURE.frame_bytes - 1), 1500, id="a picture one byte short"),
        pytest.param(TABLE, bytes(PICTURE.frame_bytes), 100, id="a frame too small for its packets"),
        pytest.param(TABLE[:-1], bytes(PICTURE.frame_bytes), 1500, id="a table cut short"),
        pytest.param(TABLE_ENTRY.pack(38, 4, 0, b"", 1, 1, 1, 0, 0, 0), bytes(100), 1500, id="four segments"),
        pytest.param(TABLE_ENTRY.pack(14, 1, 0, b"", 5000, 0, 0, 0, 0, 0), bytes(9000), 1500, id="longer than it says"),
        pytest.param(
            TABLE_ENTRY.pack(25, 1, 0, b"", 5, 0, 0, 0xFFFFFFFF, 0, 0), bytes(100), 1500, id="pixels four gigabytes away"
        ),
    ],
)
def test_what_would_leave_the_memory_is_refused(table, pixels, room):
    with pytest.raises(ValueError, match=r"table|does not fit"):
        written(table, 0, pixels, STATE, room=room)


def test_only_rings_are_rings():
    with pytest.raises(TypeError, match="a ring is wanted"):
        send_picture((object(),), TABLE, bytes(256), 0, (0, 0, 0, 0, 96), (0, 0, 1.0, 1.0, 0, 1), 1, (0.0, 0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one ring or two"):
        send_picture((), TABLE, bytes(256), 0, (0, 0, 0, 0, 96), (0, 0, 1.0, 1.0, 0, 1), 1, (0.0, 0))
    with pytest.raises(ValueError, match="above 0"):
        send_picture((), TABLE, bytes(256), 0, (0, 0, 0, 0, 96), (0, 0, 0.0, 1.0, 0, 1), 1, (0.0, 0))
