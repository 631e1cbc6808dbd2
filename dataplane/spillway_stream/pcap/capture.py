"""Captures as arrays: where each frame begins, how long it is, when it is due. Pure: bytes in, arrays out.

Classic pcap 2.4 in either byte order with microseconds or nanoseconds (draft-ietf-opsawg-pcap), and pcapng 1.0 and 1.2
(draft-ietf-opsawg-pcapng) with any of its time resolutions. Only Ethernet is replayed, and only frames that were captured whole.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

ETHERNET = 1
SHORTEST = 14  # an Ethernet header
SECOND_NS = 1_000_000_000
STEP_NS = SECOND_NS  # captures of several queues step back a little; further than that, the clock was set
LONGEST_NS = 1 << 62  # 146 years: a schedule's times have 63 bits
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x04\x22\x4d\x18": "lz4"}


class CaptureError(ValueError):
    """The file is no capture, or one that cannot be replayed. The message names the place."""


@dataclass(frozen=True, slots=True)
class Captured:
    """One frame as it stands in the file. at: its first byte. whole: bytes on the wire. time_ns: None if not known."""

    at: int
    size: int
    whole: int
    link: int
    time_ns: int | None


@dataclass(frozen=True, slots=True)
class Capture:
    """All frames, in the file's order. at, due_ns: u64. lengths: u32. due_ns: after the first frame's, never falling."""

    at: array[int]
    lengths: array[int]
    due_ns: array[int]

    def __len__(self) -> int:
        """How many frames."""
        return len(self.at)

    @property
    def longest(self) -> int:
        """The number of the longest frame, from 0."""
        return max(range(len(self)), key=self.lengths.__getitem__)

    @property
    def period_ns(self) -> int:
        """How long one round of a loop takes: to the last frame, and a mean gap more; a second for a single frame."""
        if len(self) == 1:
            return SECOND_NS
        return self.due_ns[-1] + max(1, self.due_ns[-1] // (len(self) - 1))


def read_capture(raw: memoryview) -> Capture:
    """Index a whole file. Raises CaptureError."""
    frames = _pcapng(raw) if bytes(raw[:4]) == b"\x0a\x0d\x0d\x0a" else _classic(raw)
    at, lengths, due, pace = array("Q"), array("I"), array("Q"), _Pace()
    for number, frame in enumerate(frames):
        _check(number, frame)
        at.append(frame.at)
        lengths.append(frame.size)
        due.append(pace.due_ns(frame.time_ns))
    if not at:
        raise CaptureError("the capture has no frame")
    return Capture(at, lengths, due)


class _Pace:
    """From times in the file to times after the first frame's, which never fall."""

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._last_ns = self._shift_ns = 0

    def due_ns(self, time_ns: int | None) -> int:
        """Of the next frame. A step back of the clock is no gap, and what follows keeps its own distances."""
        if time_ns is not None:
            self._first_ns = time_ns if self._first_ns is None else self._first_ns
            due_ns = time_ns - self._first_ns + self._shift_ns
            if due_ns < self._last_ns - STEP_NS:
                self._shift_ns += self._last_ns - due_ns
            self._last_ns = min(LONGEST_NS, max(self._last_ns, due_ns))
        return self._last_ns


def _check(number: int, frame: Captured) -> None:
    if frame.link != ETHERNET:
        raise CaptureError(f"frame {number + 1} has link type {frame.link}: only Ethernet ({ETHERNET}) can be replayed")
    if frame.size != frame.whole:
        raise CaptureError(f"frame {number + 1} was captured with {frame.size} of its {frame.whole} bytes: capture with -s 0")
    if frame.size < SHORTEST:
        raise CaptureError(f"frame {number + 1} has {frame.size} bytes, less than an Ethernet header")


MAGIC_MICRO, MAGIC_NANO = 0xA1B2C3D4, 0xA1B23C4D


def _classic(raw: memoryview) -> Iterator[Captured]:
    order, unit_ns = _classic_kind(raw)
    _check_version("pcap", struct.unpack_from(f"{order}2H", raw, 4), {(2, 4)})
    link = struct.unpack_from(f"{order}I", raw, 20)[0] & 0xFFFF  # above: FCS length and flags
    record, at = struct.Struct(f"{order}4I"), 24
    while at < len(raw):
        seconds, parts, size, whole = _unpack(record, raw, at)
        at += record.size
        _inside(raw, at, size)
        yield Captured(at, size, whole, link, seconds * SECOND_NS + parts * unit_ns)
        at += size


def _classic_kind(raw: memoryview) -> tuple[str, int]:
    """(byte order, nanoseconds of the fraction's unit)."""
    if len(raw) >= 24:
        for order in "<>":
            (magic,) = struct.unpack_from(f"{order}I", raw)
            if magic in (MAGIC_MICRO, MAGIC_NANO):
                return order, 1000 if magic == MAGIC_MICRO else 1
    for magic, program in PACKED.items():
        if bytes(raw[: len(magic)]) == magic:
            raise CaptureError(f"the file is compressed ({program}): unpack it")
    raise CaptureError("the file is neither pcap nor pcapng")


def _check_version(kind: str, version: tuple[int, ...], known: set[tuple[int, int]]) -> None:
    if version not in known:
        raise CaptureError(f"the file is {kind} of version {version[0]}.{version[1]}, which nobody has described")


SECTION, INTERFACE, PACKET, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDER = 0x1A2B3C4D
TIME_RESOLUTION, TIME_OFFSET = 9, 14  # options of an interface


@dataclass(frozen=True, slots=True)
class _Interface:
    """ticks: of its clock in a second. offset_s: to be added. snap: the most bytes of a frame; 0: all."""

    link: int
    snap: int
    ticks: int = 1_000_000
    offset_s: int = 0

    def time_ns(self, ticks: int) -> int:
        return ticks * SECOND_NS // self.ticks + self.offset_s * SECOND_NS


def _pcapng(raw: memoryview) -> Iterator[Captured]:
    order, interfaces = "<", list[_Interface]()
    for at, kind, body, order in _blocks(raw):
        if kind == SECTION:
            _check_version("pcapng", _unpack(struct.Struct(f"{order}2H"), body, 4), {(1, 0), (1, 2)})
            interfaces = []
        elif kind == INTERFACE:
            interfaces.append(_interface(body, order))
        elif kind == ENHANCED:
            yield _stamped(at, body, struct.Struct(f"{order}5I"), interfaces)
        elif kind == PACKET:
            yield _stamped(at, body, struct.Struct(f"{order}2H4I"), interfaces)
        elif kind == SIMPLE:
            yield _simple(at, body, order, interfaces)


def _blocks(raw: memoryview) -> Iterator[tuple[int, int, memoryview, str]]:
    """(where the body begins, type, body, byte order) of each block; a section's first block sets the order."""
    at, order = 0, "<"
    while at < len(raw):
        if bytes(raw[at : at + 4]) == b"\x0a\x0d\x0d\x0a":
            order = _section_order(raw, at)
        kind, size = _unpack(struct.Struct(f"{order}2I"), raw, at)
        if size < 12 or size % 4:
            raise CaptureError(f"a block at byte {at} says that it has {size} bytes")
        _inside(raw, at, size)
        if _unpack(struct.Struct(f"{order}I"), raw, at + size - 4)[0] != size:
            raise CaptureError(f"a block at byte {at} has another length at its end than at its beginning")
        yield at + 8, kind, raw[at + 8 : at + size - 4], order
        at += size


def _section_order(raw: memoryview, at: int) -> str:
    for order in "<>":
        if _unpack(struct.Struct(f"{order}I"), raw, at + 8)[0] == BYTE_ORDER:
            return order
    raise CaptureError(f"the section at byte {at} has no byte order")


def _interface(body: memoryview, order: str) -> _Interface:
    link, _, snap = _unpack(struct.Struct(f"{order}HHI"), body, 0)
    ticks, offset_s = 1_000_000, 0
    for code, value in _options(body[8:], order):
        if code == TIME_RESOLUTION and len(value):
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == TIME_OFFSET and len(value) == 8:
            (offset_s,) = struct.unpack(f"{order}q", value)
    return _Interface(link, snap, ticks, offset_s)


def _options(raw: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + 4 <= len(raw):
        code, size = struct.unpack_from(f"{order}HH", raw, at)
        if code == 0:
            return
        yield code, raw[at + 4 : at + 4 + size]
        at += 4 + -(-size // 4) * 4


def _stamped(at: int, body: memoryview, layout: struct.Struct, interfaces: list[_Interface]) -> Captured:
    """layout: of the 20 bytes before the frame. The old packet block counts drops in two of the four bytes of the interface."""
    number, *_, high, low, size, whole = _unpack(layout, body, 0)
    if number >= len(interfaces):
        raise CaptureError(f"the frame at byte {at} is of interface {number}, which the file does not describe")
    _inside(body, 20, size)
    one = interfaces[number]
    return Captured(at + 20, size, whole, one.link, one.time_ns(high << 32 | low))


def _simple(at: int, body: memoryview, order: str, interfaces: list[_Interface]) -> Captured:
    """A frame without a time: it goes right behind the one before."""
    (whole,) = _unpack(struct.Struct(f"{order}I"), body, 0)
    if not interfaces:
        raise CaptureError(f"the frame at byte {at} has no interface")
    size = min(whole, interfaces[0].snap or whole)
    _inside(body, 4, size)
    return Captured(at + 4, size, whole, interfaces[0].link, None)


def _unpack(layout: struct.Struct, raw: memoryview, at: int) -> tuple[int, ...]:
    try:
        return layout.unpack_from(raw, at)
    except struct.error:
        raise CaptureError(f"the file ends at byte {len(raw)}, in the middle of a header") from None


def _inside(raw: memoryview, at: int, size: int) -> None:
    if size > len(raw) - at:
        raise CaptureError(f"the file ends {size - (len(raw) - at)} bytes before its last frame does")
