"""Captures of every kind, read frame by frame; broken ones say where."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.pcap.capture import CaptureError, read_capture

EPOCH_S = 1_700_000_000
Frames = list[tuple[int, bytes]]  # nanoseconds after EPOCH_S, bytes


def classic(frames: Frames, order: str = "<", *, nano: bool = False, link: int = 1) -> bytes:
    unit_ns = 1 if nano else 1000
    raw = struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    for time_ns, frame in frames:
        seconds, rest = divmod(EPOCH_S * 10**9 + time_ns, 10**9)
        raw += struct.pack(f"{order}4I", seconds, rest // unit_ns, len(frame), len(frame)) + frame
    return raw


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(f"{order}2I", kind, size) + body + struct.pack(f"{order}I", size)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, resolution: int | None = None, *, link: int = 1, offset_s: int = 0) -> bytes:
    options = option(order, 2, b"eth0")
    options += option(order, 9, bytes([resolution])) if resolution is not None else b""
    options += option(order, 14, struct.pack(f"{order}q", offset_s)) if offset_s else b""
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, 0) + options + struct.pack(f"{order}HH", 0, 0))


def enhanced(order: str, ticks: int, frame: bytes, number: int = 0) -> bytes:
    head = struct.pack(f"{order}5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 6, head + frame + bytes(-len(frame) % 4) + option(order, 2, b"\0\0\0\1"))


def pcapng(frames: Frames, order: str = "<", resolution: int = 9) -> bytes:
    ticks = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    raw = section(order) + interface(order, resolution)
    return raw + b"".join(enhanced(order, (EPOCH_S * 10**9 + at) * ticks // 10**9, frame) for at, frame in frames)


def read(raw: bytes) -> Frames:
    capture = read_capture(memoryview(raw))
    places = zip(capture.due_ns, capture.at, capture.lengths, strict=True)
    return [(due, raw[at : at + size]) for due, at, size in places]


FRAMES: Frames = [(0, b"a" * 60), (1_500_000, b"b" * 1514), (1_500_000, b"c" * 14), (2_000_000_000, b"d" * 61)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "writer",
    [
        pytest.param(classic, id="pcap, microseconds"),
        pytest.param(lambda frames, order: classic(frames, order, nano=True), id="pcap, nanoseconds"),
        pytest.param(pcapng, id="pcapng, nanoseconds"),
        pytest.param(lambda frames, order: pcapng(frames, order, 6), id="pcapng, microseconds"),
        pytest.param(lambda frames, order: pcapng(frames, order, 0x80 | 30), id="pcapng, powers of two"),
    ],
)
def test_every_format_reads_alike(writer, order):
    found = read(writer(FRAMES, order))
    assert [frame for _, frame in found] == [frame for _, frame in FRAMES]
    assert [due for due, _ in found] == pytest.approx([due for due, _ in FRAMES], abs=2)


@settings(deadline=None)  # a loaded machine is no fault
@given(st.lists(st.tuples(st.integers(0, 10**10), st.binary(min_size=14, max_size=80)), min_size=1, max_size=12), st.booleans())
def test_nothing_is_lost_and_time_never_falls(frames, ng):
    found = read(pcapng(frames) if ng else classic(frames, nano=True))
    assert [frame for _, frame in found] == [frame for _, frame in frames]
    highest = frames[0][0]
    for (due, _), (at, _) in zip(found, frames, strict=True):
        highest = max(highest, at)
        assert due == highest - frames[0][0]


@settings(deadline=None)  # a loaded machine is no fault
@given(st.binary(max_size=200), st.booleans())
def test_rubbish_is_refused_and_nothing_else_happens(rubbish, ng):
    """Whatever stands in a file: frames, or CaptureError."""
    raw = (section("<") if ng else classic([])) + rubbish
    try:
        assert read(raw)
    except CaptureError as error:
        assert str(error)


def test_microseconds_where_no_resolution_is_given_and_an_offset():
    raw = section("<") + interface("<") + interface("<", 9, offset_s=EPOCH_S)
    raw += enhanced("<", EPOCH_S * 10**6, b"a" * 60) + enhanced("<", 5_000, b"b" * 60, number=1)
    assert [due for due, _ in read(raw)] == [0, 5_000]


def test_a_simple_block_goes_right_behind_the_one_before():
    raw = pcapng([(0, b"a" * 60), (500, b"b" * 60)]) + block("<", 3, struct.pack("<I", 60) + b"c" * 60)
    assert read(raw)[-1] == (500, b"c" * 60)


def test_a_second_section_has_its_own_order_and_interfaces():
    raw = pcapng(FRAMES[:1]) + section(">") + interface(">", 9) + enhanced(">", EPOCH_S * 10**9 + 77, b"z" * 60)
    assert read(raw) == [FRAMES[0], (77, b"z" * 60)]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "neither pcap nor pcapng", id="empty"),
        pytest.param(b"\x7fELF" + bytes(60), "neither pcap nor pcapng", id="a program"),
        pytest.param(classic([]), "no frame", id="no frame"),
        pytest.param(classic(FRAMES)[:-10], "10 bytes before its last frame", id="cut in a frame"),
        pytest.param(classic(FRAMES[:1]) + b"\0" * 7, "in the middle of a header", id="cut in a header"),
        pytest.param(classic(FRAMES, link=113), "frame 1 has link type 113", id="Linux cooked"),
        pytest.param(classic([(0, b"short")]), "frame 1 has 5 bytes", id="no Ethernet header"),
        pytest.param(section("<") + interface("<", link=101) + enhanced("<", 1, b"a" * 60), "link type 101", id="raw IP"),
        pytest.param(section("<") + enhanced("<", 1, b"a" * 60), "of interface 0, which", id="no interface"),
        pytest.param(section("<") + struct.pack("<2I", 6, 8), "says that it has 8 bytes", id="a block that is too small"),
        pytest.param(pcapng(FRAMES)[:-8], "before its last frame", id="a cut block"),
    ],
)
def test_broken_captures_say_where(raw, message):
    with pytest.raises(CaptureError, match=message):
        read(raw)


def test_a_frame_that_was_not_captured_whole():
    raw = bytearray(classic([(0, b"a" * 60), (1, b"b" * 96)]))
    raw[-96 - 4 : -96] = struct.pack("<I", 1514)
    with pytest.raises(CaptureError, match="frame 2 was captured with 96 of its 1514 bytes"):
        read(bytes(raw))


def test_a_loop_keeps_the_mean_gap_between_its_rounds():
    capture = read_capture(memoryview(classic([(0, b"a" * 60), (1_000_000, b"b" * 60), (2_000_000, b"c" * 60)])))
    assert capture.period_ns == 3_000_000
    assert read_capture(memoryview(classic(FRAMES[:1]))).period_ns == 10**9
    assert capture.longest == 0
