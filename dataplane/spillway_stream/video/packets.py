"""How a picture is cut into packets: the general packing mode of ST 2110-20 (section 6.3), headers by RFC 4175, section 4. Pure.

A packet is an RTP header, the high 16 bits of the sequence number, up to three sample row data (SRD) headers and their pixels:
whole pgroups, as many as fit. Lines are counted within a field, from 0. A field ends with the RTP marker. What the C loop
sends is compared with `packet_bytes`, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillway_stream.video.formats import PictureFormat

UDP_HEADER_BYTES = 8
RTP = struct.Struct(">BBHII")  # V/P/X/CC, M/PT, sequence, timestamp, SSRC
EXTENDED = struct.Struct(">H")  # sequence number, high 16 bits
SRD = struct.Struct(">HHH")  # length; field bit and line; continuation bit and offset
SRD_MOST = 3  # ST 2110-20, 6.2.1: at most three SRD segments in a packet
HEADERS_BYTES = RTP.size + EXTENDED.size
TABLE_ENTRY = struct.Struct("<HBB18s3H3I")  # struct spw_packet in video.c
MARKER, SECOND_FIELD = 1, 2  # flags of an entry
assert TABLE_ENTRY.size == 40


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of pixels of one line. line: within its field. pixel: the first one. at, octets: its bytes in the frame."""

    line: int
    pixel: int
    at: int
    octets: int


@dataclass(frozen=True, slots=True)
class PacketShape:
    """One packet of every frame. marker: it ends its field (or a progressive frame)."""

    segments: tuple[Segment, ...]
    second_field: bool = False
    marker: bool = False

    @property
    def octets(self) -> int:
        """Bytes of the UDP payload."""
        return HEADERS_BYTES + sum(SRD.size + each.octets for each in self.segments)


@dataclass(frozen=True, slots=True)
class RtpState:
    """What differs from frame to frame. sequence: 32 bits, of the frame's first packet. timestamps: of both fields."""

    sequence: int
    timestamps: tuple[int, int]
    ssrc: int
    payload_type: int


def shape_packets(picture: PictureFormat, udp_bytes: int, stride: int | None = None) -> tuple[PacketShape, ...]:
    """Cut a picture. udp_bytes: the most bytes of a datagram, UDP header included. stride: bytes from line to line in memory.

    Raises ValueError if not even one pgroup fits.
    """
    room = udp_bytes - UDP_HEADER_BYTES - HEADERS_BYTES
    if room < SRD.size + picture.group.octets:
        raise ValueError(f"a datagram of {udp_bytes} bytes has no room for a pgroup of {picture.group.octets}")
    step = picture.line_bytes if stride is None else stride
    fields = [range(0, picture.height, 2), range(1, picture.height, 2)] if picture.interlaced else [range(picture.height)]
    return tuple(shape for second, lines in enumerate(fields) for shape in _shape_field(picture, lines, room, step, bool(second)))


def _shape_field(picture: PictureFormat, lines: Sequence[int], room: int, step: int, second: bool) -> Iterator[PacketShape]:
    line, begin = 0, 0
    while line < len(lines):
        left, segments = room, list[Segment]()
        while line < len(lines) and len(segments) < SRD_MOST and (octets := _fitting(picture, begin, left)):
            pixel = begin // picture.group.octets * picture.group.pixels
            segments.append(Segment(line, pixel, lines[line] * step + begin, octets))
            left -= SRD.size + octets
            begin += octets
            if begin == picture.line_bytes:
                line, begin = line + 1, 0
        yield PacketShape(tuple(segments), second, marker=line == len(lines))


def _fitting(picture: PictureFormat, begin: int, left: int) -> int:
    """Bytes of a line from `begin` on that fit behind one more SRD header: whole pgroups; 0 when none does."""
    whole = max(0, left - SRD.size) // picture.group.octets * picture.group.octets
    return min(whole, picture.line_bytes - begin)


def srd_headers(shape: PacketShape) -> bytes:
    """The packet's SRD headers. The continuation bit says that another one follows."""
    last = len(shape.segments) - 1
    return b"".join(
        SRD.pack(each.octets, shape.second_field << 15 | each.line, (place < last) << 15 | each.pixel)
        for place, each in enumerate(shape.segments)
    )


def packet_bytes(shape: PacketShape, place: int, state: RtpState, frame: bytes) -> bytes:
    """The UDP payload of packet `place` (0-based) of a frame. The law that the C loop is held to."""
    sequence = state.sequence + place & 0xFFFFFFFF
    timestamp = state.timestamps[shape.second_field]
    rtp = RTP.pack(0x80, shape.marker << 7 | state.payload_type, sequence & 0xFFFF, timestamp, state.ssrc)
    pixels = b"".join(frame[each.at : each.at + each.octets] for each in shape.segments)
    return rtp + EXTENDED.pack(sequence >> 16) + srd_headers(shape) + pixels


def packet_table(shapes: Sequence[PacketShape]) -> bytes:
    """The shapes as video.c reads them: one struct spw_packet each."""
    return b"".join(_entry(shape) for shape in shapes)


def _entry(shape: PacketShape) -> bytes:
    flags = (MARKER if shape.marker else 0) | (SECOND_FIELD if shape.second_field else 0)
    spare = (0,) * (SRD_MOST - len(shape.segments))
    lengths = tuple(each.octets for each in shape.segments) + spare
    places = tuple(each.at for each in shape.segments) + spare
    return TABLE_ENTRY.pack(shape.octets, len(shape.segments), flags, srd_headers(shape), *lengths, *places)
