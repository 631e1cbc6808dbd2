"""Pictures that nobody has to bring: colour bars, a moving ramp, a frame counter.

Bars and ramp have one line for all lines (stride 0), so the sender reads a few kilobytes that stay in the core's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from spillway_stream.video import glyphs
from spillway_stream.video.colours import BARS, BLACK, WHITE, Light, luma_code, pixel_of
from spillway_stream.video.formats import RGB, PictureFormat, Pixel, pack_line

COUNTER_DIGITS = 8
CELL_COLUMNS, CELL_ROWS = glyphs.COLUMNS + 1, glyphs.ROWS + 2  # a free column on the left, a free row above and below


class Pictures(Protocol):
    """Where frames come from."""

    @property
    def stride(self) -> int:
        """Bytes from line to line, 0 when one line serves all."""

    def frame(self, index: int, number: int) -> tuple[memoryview, int] | None:
        """Memory and the offset of the frame's first line in it, unchanged until the next call; None: there are no more.

        index: of frames sent, from 0. number: of the frame since the epoch.
        """


@dataclass(frozen=True, slots=True)
class ColorBars:
    """Eight bars of 75 %, from white to black."""

    row: memoryview
    stride: int = 0

    def frame(self, index: int, number: int) -> tuple[memoryview, int]:
        """Always the same."""
        return self.row, 0


def color_bars(picture: PictureFormat) -> ColorBars:
    """Bars of equal width; where the width is no multiple of eight, some are a pixel wider."""
    return ColorBars(memoryview(bars_line(picture)))


def bars_line(picture: PictureFormat) -> bytes:
    """One line of the bars."""
    colours = [pixel_of(picture.group, light) for light in BARS]
    return pack_line(picture.group, [colours[x * len(BARS) // picture.width] for x in range(picture.width)])


@dataclass(frozen=True, slots=True)
class Ramp:
    """From black to white, one pgroup further left with each frame. rows: the line twice, to be read from any pgroup on."""

    rows: memoryview
    group_octets: int
    stride: int = 0

    def frame(self, index: int, number: int) -> tuple[memoryview, int]:
        """Every sender of one epoch shows the same picture at the same time."""
        groups = len(self.rows) // 2 // self.group_octets
        return self.rows, number % groups * self.group_octets


def ramp(picture: PictureFormat) -> Ramp:
    """Grey of the full narrow range over the width."""
    steps = max(1, picture.width - 1)
    line = pack_line(picture.group, [_grey(picture, Fraction(x, steps)) for x in range(picture.width)])
    return Ramp(memoryview(line * 2), picture.group.octets)


def _grey(picture: PictureFormat, light: Fraction) -> Pixel:
    group = picture.group
    code, middle = luma_code(light, group.depth_bits), 1 << group.depth_bits - 1
    return (code, code, code) if group.sampling == RGB else (middle, code, middle)


class FrameCounter:
    """Colour bars with the frame's number since the epoch burnt in, its last eight digits, white on black, in the middle."""

    def __init__(self, picture: PictureFormat) -> None:
        self.stride = picture.line_bytes
        self._memory = bytearray(bars_line(picture) * picture.height)
        self._scale = counter_scale(picture)
        self._top = (picture.height - CELL_ROWS * self._scale) // 2
        groups = (picture.width - COUNTER_DIGITS * CELL_COLUMNS * self._scale) // 2 // picture.group.pixels
        self._left_bytes = groups * picture.group.octets
        self._cells = _digit_rows(picture, self._scale)

    def frame(self, index: int, number: int) -> tuple[memoryview, int]:
        """Rewrites the counter's lines in place."""
        digits = [int(each) for each in f"{number % 10**COUNTER_DIGITS:0{COUNTER_DIGITS}}"]
        for row in range(CELL_ROWS):
            line = b"".join(self._cells[digit][row] for digit in digits)
            for repeat in range(self._scale):
                at = (self._top + row * self._scale + repeat) * self.stride + self._left_bytes
                self._memory[at : at + len(line)] = line
        return memoryview(self._memory), 0


def counter_scale(picture: PictureFormat) -> int:
    """Pixels of one dot of a digit: whole pgroups, the counter half as wide as the picture. 0: the picture is too small."""
    step = picture.group.pixels
    wanted = picture.width // (2 * COUNTER_DIGITS * CELL_COLUMNS)
    most = min(picture.width // (COUNTER_DIGITS * CELL_COLUMNS), picture.height // CELL_ROWS)
    return min(max(wanted, step), most) // step * step


def _digit_rows(picture: PictureFormat, scale: int) -> list[list[bytes]]:
    """For each digit and each row of its cell: the row's bytes."""
    dots = {mark: _dot(picture, light, scale) for mark, light in (("#", WHITE), (".", BLACK))}
    free = "." * glyphs.COLUMNS
    return [[b"".join(dots[mark] for mark in f".{row}") for row in (free, *digit, free)] for digit in glyphs.DIGITS]


def _dot(picture: PictureFormat, light: Light, scale: int) -> bytes:
    return pack_line(picture.group, [pixel_of(picture.group, light)] * scale)
