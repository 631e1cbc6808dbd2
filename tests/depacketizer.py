"""A receiver of RFC 4175 written from the RFC alone: payloads in, frames out. Shares nothing with the sender."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Depacketizer:
    """group_octets, group_pixels: of the pgroup. `frames` holds each finished frame, its lines from top to bottom.

    Raises AssertionError where a packet breaks the RFC or a sequence number is missing.
    """

    width: int
    height: int
    group_octets: int
    group_pixels: int
    interlaced: bool = False
    payload_type: int = 96
    frames: list[bytes] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    sequence: int | None = None
    ssrc: int | None = None
    _picture: bytearray = field(default_factory=bytearray)
    _covered: int = 0
    _stamp: int | None = None

    @property
    def line_bytes(self) -> int:
        return self.width * self.group_octets // self.group_pixels

    def take(self, payload: bytes) -> None:
        """One UDP payload."""
        assert payload[0] == 0x80, "version 2, no padding, no extension, no CSRC"
        assert payload[1] & 0x7F == self.payload_type
        number = int.from_bytes(payload[12:14]) << 16 | int.from_bytes(payload[2:4])
        assert self.sequence is None or number == (self.sequence + 1) & 0xFFFFFFFF, f"{number} after {self.sequence}"
        self.sequence = number
        self._check_source(payload)
        self._place(payload, *self._headers(payload))
        if payload[1] & 0x80:
            self._end_field()

    def _check_source(self, payload: bytes) -> None:
        stamp, ssrc = int.from_bytes(payload[4:8]), int.from_bytes(payload[8:12])
        assert self.ssrc in (None, ssrc)
        assert self._stamp in (None, stamp), "one timestamp a field"
        self.ssrc, self._stamp = ssrc, stamp

    def _headers(self, payload: bytes) -> tuple[list[tuple[int, int, int, int]], int]:
        found, at, more = [], 14, True
        while more:
            length, line, offset = (int.from_bytes(payload[at + k : at + k + 2]) for k in (0, 2, 4))
            more = bool(offset & 0x8000)
            found.append((length, line >> 15, line & 0x7FFF, offset & 0x7FFF))
            at += 6
        assert len(found) <= 3
        return found, at

    def _place(self, payload: bytes, headers: list[tuple[int, int, int, int]], at: int) -> None:
        self._picture = self._picture or bytearray(self.line_bytes * self.height)
        for length, second, line, offset in headers:
            assert length > 0 and length % self.group_octets == 0 and offset % self.group_pixels == 0
            assert self.interlaced or not second
            row = 2 * line + second if self.interlaced else line
            begin = offset * self.group_octets // self.group_pixels
            assert row < self.height and begin + length <= self.line_bytes
            place = row * self.line_bytes + begin
            self._picture[place : place + length] = payload[at : at + length]
            self._covered += length
            at += length
        assert at == len(payload), "nothing behind the pixels"

    def _end_field(self) -> None:
        assert self._stamp is not None
        self.timestamps.append(self._stamp)
        self._stamp = None
        if self.interlaced and len(self.timestamps) % 2:
            assert 2 * self._covered == len(self._picture)
            return
        assert self._covered == len(self._picture), "each pixel once"
        self.frames.append(bytes(self._picture))
        self._picture, self._covered = bytearray(), 0
