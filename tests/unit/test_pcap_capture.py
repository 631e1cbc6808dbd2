"""Captures of every kind, read frame by frame; broken ones say where."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.pcap.capture import LONGEST_NS, CaptureError, read_capture

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
    assert [due for due, _ in found] == plain_due([at for at, _ in frames])


def plain_due(times: list[int]) -> list[int]:
    """A small step back waits for the clock to come round again; a larger one is cut out of the capture."""
    due, begin = [0], times[0]
    for at in times[1:]:
        if at - begin < due[-1] - 10**9:
            begin = at - due[-1]
        due.append(max(due[-1], at - begin))
    return due


def test_a_clock_that_was_set_back_leaves_no_burst():
    """Ten frames a tenth of a second apart; after the fifth somebody sets the clock an hour back."""
    times = [number * 10**8 - (3600 * 10**9 if number >= 5 else 0) for number in range(10)]
    due = [at for at, _ in read(classic([(at + 3600 * 10**9, bytes(60)) for at in times]))]
    assert due == [0, 1 * 10**8, 2 * 10**8, 3 * 10**8, 4 * 10**8, 4 * 10**8, 5 * 10**8, 6 * 10**8, 7 * 10**8, 8 * 10**8]


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


def test_a_frame_without_a_time_before_all_others():
    """Its successor's time is not counted from 1970."""
    simple = block("<", 3, struct.pack("<I", 60) + b"s" * 60)
    assert read(section("<") + interface("<", 9) + simple + enhanced("<", EPOCH_S * 10**9, b"a" * 60)) == [
        (0, b"s" * 60), (0, b"a" * 60),
    ]  # fmt: skip


def old_packet(order: str, ticks: int, frame: bytes, number: int = 0) -> bytes:
    """A packet block, which enhanced ones have replaced."""
    head = struct.pack(f"{order}2H4I", number, 77, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 2, head + frame + bytes(-len(frame) % 4))


@pytest.mark.parametrize("order", ["<", ">"])
def test_old_packet_blocks_are_not_passed_over(order):
    raw = section(order) + interface(order, 9) + interface(order, 9)
    raw += old_packet(order, 1000, b"a" * 61, 1) + enhanced(order, 1500, b"b" * 60)
    assert read(raw) == [(0, b"a" * 61), (500, b"b" * 60)]


def test_times_that_no_schedule_holds():
    """As many seconds as 64 bits count: read, and never an overflow."""
    raw = section("<") + interface("<", 0) + enhanced("<", 0, b"a" * 60) + enhanced("<", 2**64 - 1, b"b" * 60)
    assert [due for due, _ in read(raw)] == [0, LONGEST_NS]


def test_a_second_section_has_its_own_order_and_interfaces():
    raw = pcapng(FRAMES[:1]) + section(">") + interface(">", 9) + enhanced(">", EPOCH_S * 10**9 + 77, b"z" * 60)
    assert read(raw) == [FRAMES[0], (77, b"z" * 60)]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "neither pcap nor pcapng", id="empty"),
        pytest.param(b"\x7fELF" + bytes(60), "neither pcap nor pcapng", id="a program"),
        pytest.param(classic([]), "no frame", id="no frame"),
        pytest.param(b"\x1f\x8b\x08" + bytes(60), r"compressed \(gzip\): unpack it", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(60), r"compressed \(zstd\): unpack it", id="zstd"),
        pytest.param(classic(FRAMES)[:4] + b"\x01\x00\x02\x00" + classic(FRAMES)[8:], "pcap of version 1.2", id="archaic"),
        pytest.param(classic(FRAMES)[:6] + b"\x05" + classic(FRAMES)[7:], "pcap of version 2.5", id="of tomorrow"),
        pytest.param(
            block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)), "pcapng of version 2.0", id="ng of tomorrow"
        ),
        pytest.param(pcapng(FRAMES)[:-4] + b"\x10\0\0\0", "another length at its end", id="lengths that contradict each other"),
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
