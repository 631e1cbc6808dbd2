"""Colours as samples: ITU-R BT.709-6, narrow range. Pure, and exact: fractions, rounded once."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from spillway_stream.video.formats import RGB, Pixel, PixelGroup

RED_WEIGHT, BLUE_WEIGHT = Fraction(2126, 10_000), Fraction(722, 10_000)  # BT.709-6, item 3.2
Light = tuple[Fraction, Fraction, Fraction]  # R', G', B', each 0..1

THREE_QUARTERS = Fraction(3, 4)
BARS: tuple[Light, ...] = tuple(
    (red * THREE_QUARTERS, green * THREE_QUARTERS, blue * THREE_QUARTERS) for green in (1, 0) for red in (1, 0) for blue in (1, 0)
)  # white, yellow, cyan, green, magenta, red, blue, black: by falling luma, 75 %, as SMPTE RP 219's upper part
BLACK: Light = (Fraction(0), Fraction(0), Fraction(0))
WHITE: Light = (Fraction(1), Fraction(1), Fraction(1))


def pixel_of(group: PixelGroup, light: Light) -> Pixel:
    """A colour in the group's components: (Cb, Y, Cr) or (R, G, B), narrow range (BT.709-6, item 3.4 to 4.6)."""
    depth = group.depth_bits
    red, green, blue = light
    if group.sampling == RGB:
        return luma_code(red, depth), luma_code(green, depth), luma_code(blue, depth)
    luma = RED_WEIGHT * red + (1 - RED_WEIGHT - BLUE_WEIGHT) * green + BLUE_WEIGHT * blue
    cb, cr = (blue - luma) / (2 * (1 - BLUE_WEIGHT)), (red - luma) / (2 * (1 - RED_WEIGHT))
    return chroma_code(cb, depth), luma_code(luma, depth), chroma_code(cr, depth)


def luma_code(value: Fraction, depth_bits: int) -> int:
    """0..1 as 16..235, scaled to the depth. R', G' and B' too."""
    return _rounded((219 * value + 16) * 2 ** (depth_bits - 8))


def chroma_code(value: Fraction, depth_bits: int) -> int:
    """-0.5..0.5 as 16..240, scaled to the depth."""
    return _rounded((224 * value + 128) * 2 ** (depth_bits - 8))


def _rounded(value: Fraction) -> int:
    """Halves go up (BT.709-6, item 4.5: INT of the value plus 0.5)."""
    return floor(value + Fraction(1, 2))
