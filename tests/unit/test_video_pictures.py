"""Patterns sample by sample, and raw files."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.source.clips import Clip
from spillway_stream.source.faults import InvalidIntent, Transient
from spillway_stream.video.colours import BARS, WHITE, pixel_of
from spillway_stream.video.formats import DEPTHS, SAMPLINGS, PictureFormat, pixel_group, unpack_samples
from spillway_stream.video.glyphs import DIGITS
from spillway_stream.video.patterns import CELL_COLUMNS, COUNTER_DIGITS, FrameCounter, color_bars, counter_scale, ramp

HD10 = PictureFormat(1920, 1080, pixel_group("YCbCr-4:2:2", 10))


@pytest.mark.parametrize(
    ("bar", "luma", "cb", "cr"),
    [
        pytest.param(0, 721, 512, 512, id="white"),
        pytest.param(1, 674, 176, 543, id="yellow"),
        pytest.param(2, 581, 589, 176, id="cyan"),
        pytest.param(3, 534, 253, 207, id="green"),
        pytest.param(4, 251, 771, 817, id="magenta"),
        pytest.param(5, 204, 435, 848, id="red"),
        pytest.param(6, 111, 848, 481, id="blue"),
        pytest.param(7, 64, 512, 512, id="black"),
    ],
)
def test_bars_have_the_values_of_rp_219(bar, luma, cb, cr):
    """75 % bars in ten bits: SMPTE RP 219-1, table 1."""
    assert pixel_of(HD10.group, BARS[bar]) == (cb, luma, cr)


@pytest.mark.parametrize(("depth", "peak"), [(8, 235), (10, 940), (12, 3760)])
def test_white_is_narrow_range(depth, peak):
    middle = 1 << depth - 1
    assert pixel_of(pixel_group("RGB", depth), WHITE) == (peak, peak, peak)
    assert pixel_of(pixel_group("YCbCr-4:4:4", depth), WHITE) == (middle, peak, middle)


def test_bars_on_a_line():
    """Each of eight bars is 240 pixels wide in HD: 120 pairs, all alike."""
    row, at = color_bars(HD10).frame(0, 0)
    samples = unpack_samples(10, bytes(row[at:]))
    for bar, light in enumerate(BARS):
        cb, luma, cr = pixel_of(HD10.group, light)
        assert samples[bar * 480 : bar * 480 + 480] == [cb, luma, cr, luma] * 120


@settings(deadline=None)  # a loaded machine is no fault
@given(st.sampled_from(SAMPLINGS), st.sampled_from(DEPTHS), st.integers(8, 40), st.integers(0, 10**12))
def test_the_ramp_moves_one_group_a_frame_and_comes_round(sampling, depth, groups, number):
    group = pixel_group(sampling, depth)
    picture = PictureFormat(groups * group.pixels, 4, group)
    moving = ramp(picture)
    lines = []
    for step in (0, 1, groups):
        rows, at = moving.frame(0, number + step)
        lines.append(bytes(rows[at : at + picture.line_bytes]))
    assert all(len(line) == picture.line_bytes for line in lines)
    assert lines[1] == lines[0][group.octets :] + lines[0][: group.octets]
    assert lines[2] == lines[0]


def test_the_ramp_goes_from_black_to_white():
    rows, _ = ramp(HD10).frame(0, 0)
    luma = unpack_samples(10, bytes(rows[: HD10.line_bytes]))[1::2]
    assert (luma[0], luma[-1]) == (64, 940)
    assert luma == sorted(luma)


def digits_seen(picture: PictureFormat, memory: bytes) -> str:
    """Read the counter off the picture: bright dots against the ten drawn digits."""
    scale, group = counter_scale(picture), picture.group
    left = (picture.width - COUNTER_DIGITS * CELL_COLUMNS * scale) // 2 // group.pixels * group.pixels
    top = (picture.height - 9 * scale) // 2
    seen = ""
    for place in range(COUNTER_DIGITS):
        drawn = []
        for row in range(7):
            at = (top + (row + 1) * scale) * picture.line_bytes
            luma = unpack_samples(group.depth_bits, memory[at : at + picture.line_bytes])[
                1 :: 2 if "2:2" in group.sampling else 3
            ]
            first = left + (place * CELL_COLUMNS + 1) * scale
            drawn.append("".join("#" if luma[first + dot * scale] > 1 << group.depth_bits - 1 else "." for dot in range(5)))
        seen += str(DIGITS.index(tuple(drawn)))
    return seen


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(HD10, id="HD"),
        pytest.param(PictureFormat(192, 108, pixel_group("YCbCr-4:4:4", 8)), id="small"),
        pytest.param(PictureFormat(400, 40, pixel_group("RGB", 10)), id="flat"),
    ],
)
def test_the_counter_can_be_read(picture):
    counter = FrameCounter(picture)
    for number in (0, 1234567890, 99999999):
        memory, at = counter.frame(0, number)
        assert at == 0 and len(memory) == picture.frame_bytes
        assert digits_seen(picture, bytes(memory)) == f"{number % 10**8:08}"


def test_the_counter_needs_room():
    assert counter_scale(PictureFormat(40, 1080, pixel_group("YCbCr-4:2:2", 10))) == 0
    assert counter_scale(PictureFormat(1920, 8, pixel_group("YCbCr-4:2:2", 10))) == 0
    assert counter_scale(HD10) == 20


SMALL = PictureFormat(16, 4, pixel_group("YCbCr-4:2:2", 8))


def test_a_clip_once_and_looped(tmp_path):
    frames = [bytes([each]) * SMALL.frame_bytes for each in range(3)]
    path = tmp_path / "clip.raw"
    path.write_bytes(b"".join(frames))
    once, looped = Clip(path, SMALL, loop=False), Clip(path, SMALL, loop=True)
    seen = [looped.frame(index, 0) for index in range(7)]
    assert [bytes(memory) for memory, _ in seen] == [frames[index % 3] for index in range(7)]
    assert once.frame(2, 0) is not None
    assert once.frame(3, 0) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "clip.raw has 0 bytes, 0 frames and 0 bytes more; a frame of 16x4 YCbCr-4:2:2 with 8 bit", id="empty"),
        pytest.param(bytes(300), "300 bytes, 2 frames and 44 bytes more; .* has 128", id="another size"),
    ],
)
def test_a_clip_of_another_size_says_what_was_expected(tmp_path, content, message):
    (tmp_path / "clip.raw").write_bytes(content)
    with pytest.raises(InvalidIntent, match=message) as refused:
        Clip(tmp_path / "clip.raw", SMALL, loop=True)
    assert refused.value.path == "source.video.file"


def test_a_clip_that_is_not_there(tmp_path):
    with pytest.raises(InvalidIntent, match=r"there is no clip\.raw"):
        Clip(tmp_path / "clip.raw", SMALL, loop=True)


def test_a_clip_cut_short_while_it_is_sent(tmp_path):
    path = tmp_path / "clip.raw"
    path.write_bytes(bytes(2 * SMALL.frame_bytes))
    clip = Clip(path, SMALL, loop=True)
    assert clip.frame(0, 0) is not None
    path.write_bytes(b"short")
    with pytest.raises(Transient, match="changed its size"):
        clip.frame(1, 0)


def test_bars_that_do_not_divide_the_width():
    picture = PictureFormat(30, 2, pixel_group("RGB", 8))
    row, _ = color_bars(picture).frame(0, 0)
    assert len(row) == picture.line_bytes
    assert Fraction(row[0], 1) > row[-1]
