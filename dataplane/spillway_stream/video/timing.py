"""When packets of video are due: SMPTE ST 2110-21:2017 (sender types, virtual receiver buffer, network compatibility). Pure.

All times are TAI since the epoch (1970-01-01, ST 2059-1), as fractions of a second or whole nanoseconds. T_FRAME is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import ceil

RTP_CLOCK_HZ = 90_000
BETA = Fraction(11, 10)  # ST 2110-21, 6.6.1: the network drains one tenth faster than the mean rate
NANOSECONDS = 1_000_000_000
STANDARD_UDP_BYTES = 1460  # ST 2110-10, 6.3: of a UDP datagram, its 8-byte header included
STANDARD_IP_BYTES = 1500  # what a Standard datagram may be as an IP packet


class Profile(StrEnum):
    """Sender types, as pacing.profile names them. The value of SDP's TP is in PARAMETER."""

    NARROW = "ST2110-21-Narrow"
    NARROW_LINEAR = "ST2110-21-NarrowLinear"
    WIDE = "ST2110-21-Wide"


PARAMETER = {Profile.NARROW: "2110TPN", Profile.NARROW_LINEAR: "2110TPNL", Profile.WIDE: "2110TPW"}


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """One format's times. frame_s: T_FRAME. packets: N_PACKETS of a whole frame, both fields. height: of the frame, in lines."""

    frame_s: Fraction
    packets: int
    height: int
    interlaced: bool
    profile: Profile

    @property
    def active(self) -> Fraction:
        """R_ACTIVE: the share of a frame's time in which a gapped sender sends (6.3.2)."""
        if self.interlaced and self.height < 576:
            return Fraction(487, 525)
        if self.interlaced and self.height < 1080:
            return Fraction(576, 625)
        return Fraction(1080, 1125)

    @property
    def offset_s(self) -> Fraction:
        """TRO_DEFAULT: from the frame's epoch to its first read, when SDP says no TROFF (6.3.2)."""
        if not self.interlaced:
            return self.frame_s * (Fraction(43, 1125) if self.height >= 1080 else Fraction(28, 750))
        if self.height < 576:
            return self.frame_s * Fraction(20, 525)
        return self.frame_s * (Fraction(26, 625) if self.height < 1080 else Fraction(22, 1125))

    @property
    def spacing_s(self) -> Fraction:
        """TRS: between two reads. Narrow reads in gaps, the linear types evenly over the whole frame (6.3.3, 6.3.4)."""
        share = self.active if self.profile is Profile.NARROW else Fraction(1)
        return self.frame_s * share / self.packets

    @property
    def second_field_s(self) -> Fraction:
        """How much later than its place in an even row the second field is read: a gapped sender's first gap."""
        if self.profile is not Profile.NARROW or not self.interlaced:
            return Fraction(0)
        return self.frame_s * (1 - self.active) / 2

    @property
    def drain_s(self) -> Fraction:
        """T_DRAIN of the network compatibility model: a bucket that loses one packet each T_DRAIN (6.6.1)."""
        return self.frame_s / self.packets / BETA

    @property
    def burst_packets(self) -> int:
        """C_MAX: what the bucket may hold at most (7.1, tables)."""
        if self.profile is Profile.WIDE:
            return max(16, int(self.packets / (21_600 * self.frame_s)))
        share = self.active if self.profile is Profile.NARROW else Fraction(1)
        return max(4, int(self.packets / (43_200 * share * self.frame_s)))

    def buffer_packets(self, ip_bytes: int = STANDARD_IP_BYTES) -> int:
        """VRX_FULL: what a receiver of this type has room for (7.1, tables). ip_bytes: the largest IP packet."""
        if self.profile is Profile.WIDE:
            return max(1500 * 720 // ip_bytes, int(self.packets / (300 * self.frame_s)))
        return max(1500 * 8 // ip_bytes, int(self.packets / (27_000 * self.frame_s)))

    def start_s(self, number: int) -> Fraction:
        """T_VD of frame `number` since the epoch: N x T_FRAME + TR_OFFSET."""
        return number * self.frame_s + self.offset_s

    def read_s(self, number: int, packet: int) -> Fraction:
        """TPR: when packet `packet` (0-based) of frame `number` is read from the receiver's buffer."""
        second = self.second_field_s if 2 * packet >= self.packets else 0
        return self.start_s(number) + packet * self.spacing_s + second


def frame_at(tai_ns: int, frame_s: Fraction) -> int:
    """The number of the first frame whose epoch is not before that time."""
    return -(-Fraction(tai_ns, NANOSECONDS) // frame_s)


def rtp_timestamp(number: int, frame_s: Fraction, *, second_field: bool = False) -> int:
    """The 32-bit media clock at a frame's (or its second field's) sampling instant: 90 kHz since the epoch, rounded down.

    Exact for any frame number: nothing is added up. Source: ST 2110-10, section 7; SDP says mediaclk:direct=0.
    """
    instant = number * frame_s + (frame_s / 2 if second_field else 0)
    return int(instant * RTP_CLOCK_HZ) & 0xFFFFFFFF


def network_peak(times_ns: Iterable[int], timing: FrameTiming) -> Fraction:
    """The greatest C_INST of packets sent at those times: each adds one to a bucket that loses one each T_DRAIN."""
    level, before, peak = Fraction(0), 0, Fraction(0)
    drain_ns = timing.drain_s * NANOSECONDS
    for at in times_ns:
        level = max(Fraction(0), level - (at - before) / drain_ns) + 1
        before, peak = at, max(peak, level)
    return peak


def buffer_extremes(times_ns: Iterable[int], number: int, timing: FrameTiming) -> tuple[int, int]:
    """(lowest, highest) filling of the receiver's buffer while one frame of a linear sender comes in, sent at those times.

    The frames before and after are there and read on time. Lowest: before each packet; below 0, so many were read too early.
    The live figures are compared with it.
    """
    begin_ns, spacing_ns = timing.start_s(number) * NANOSECONDS, timing.spacing_s * NANOSECONDS
    levels = [place - ceil((at - begin_ns) / spacing_ns) for place, at in enumerate(times_ns)]
    return min(levels), max(levels) + 1
