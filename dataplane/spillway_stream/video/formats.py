"""What bytes a sampled picture is on the wire: pgroups. Source: SMPTE ST 2110-20:2017, section 6.2; RFC 4175, section 4.3.

A pgroup is the smallest number of neighbouring pixels of one line that fill whole octets. Samples stand in it most significant
bit first, without gaps. A packet holds whole pgroups only. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

YCBCR_422, YCBCR_444, RGB = "YCbCr-4:2:2", "YCbCr-4:4:4", "RGB"
SAMPLINGS = (YCBCR_422, YCBCR_444, RGB)
DEPTHS = (8, 10, 12)
MAX_FRAME_BYTES = 1 << 28  # 8K with 12 bit 4:4:4 has 149 MB
PIXELS = {  # (sampling, depth) -> pixels of a pgroup
    (YCBCR_422, 8): 2, (YCBCR_422, 10): 2, (YCBCR_422, 12): 2,
    (YCBCR_444, 8): 1, (YCBCR_444, 10): 4, (YCBCR_444, 12): 2,
    (RGB, 8): 1, (RGB, 10): 4, (RGB, 12): 2,
}  # fmt: skip

Pixel = tuple[int, int, int]  # (Cb, Y, Cr) or (R, G, B), each 0..2^depth - 1


@dataclass(frozen=True, slots=True)
class PixelGroup:
    """pixels: across. octets: of the whole group. samples: of the whole group, in wire order."""

    sampling: str
    depth_bits: int
    pixels: int
    samples: int

    @property
    def octets(self) -> int:
        """Bytes of one group."""
        return self.samples * self.depth_bits // 8


def pixel_group(sampling: str, depth_bits: int) -> PixelGroup:
    """Raises KeyError for what ST 2110-20 has and we do not."""
    pixels = PIXELS[sampling, depth_bits]
    samples = 2 * pixels if sampling == YCBCR_422 else 3 * pixels
    return PixelGroup(sampling, depth_bits, pixels, samples)


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A picture's geometry. width must be a multiple of the group's pixels, height of 2 when interlaced: see `fault_of`."""

    width: int
    height: int
    group: PixelGroup
    interlaced: bool = False

    @property
    def line_bytes(self) -> int:
        """Bytes of one line."""
        return self.width // self.group.pixels * self.group.octets

    @property
    def frame_bytes(self) -> int:
        """Bytes of a whole frame, both fields; also of a frame in a raw file: its lines from top to bottom."""
        return self.line_bytes * self.height


def fault_of(picture: PictureFormat) -> tuple[str, str] | None:
    """Why such a picture cannot be sent: (field of VideoSource, reason). None: it can."""
    group = picture.group
    if picture.width % group.pixels:
        each = f"{group.sampling} with {group.depth_bits} bit"
        return "widthPixels", f"{picture.width} is no multiple of {group.pixels}, the pixels that {each} packs into whole octets"
    if picture.interlaced and picture.height % 2:
        return "heightPixels", f"{picture.height} lines cannot be two equal fields"
    if picture.frame_bytes > MAX_FRAME_BYTES:
        return "heightPixels", f"a frame of {picture.frame_bytes} bytes is larger than {MAX_FRAME_BYTES}"
    return None


def pack_line(group: PixelGroup, pixels: Sequence[Pixel]) -> bytes:
    """One line's bytes on the wire. 4:2:2 takes Cb and Cr of each pair's first pixel (co-sited)."""
    return pack_samples(group.depth_bits, samples_of(group, pixels))


def samples_of(group: PixelGroup, pixels: Sequence[Pixel]) -> list[int]:
    """A line's samples in wire order: Cb Y0 Cr Y1, or Cb Y Cr, or R G B (ST 2110-20, table 1)."""
    if group.sampling != YCBCR_422:
        return [sample for pixel in pixels for sample in pixel]
    pairs = zip(pixels[::2], pixels[1::2], strict=True)
    return [sample for (cb, y0, cr), (_, y1, _) in pairs for sample in (cb, y0, cr, y1)]


def pack_samples(depth_bits: int, samples: Iterable[int]) -> bytes:
    """Samples behind each other, most significant bit first. Raises OverflowError if they do not fill whole octets."""
    word = bits = 0
    for sample in samples:
        word, bits = word << depth_bits | sample, bits + depth_bits
    if bits % 8:
        raise OverflowError(f"{bits} bits are no whole octets")
    return word.to_bytes(bits // 8)


def unpack_samples(depth_bits: int, raw: bytes) -> list[int]:
    """The samples that `pack_samples` packed."""
    word, bits, mask = int.from_bytes(raw), 8 * len(raw), (1 << depth_bits) - 1
    return [word >> shift & mask for shift in range(bits - depth_bits, -1, -depth_bits)]
