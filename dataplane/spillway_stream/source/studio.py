"""From a VideoSpec to what the sending loop needs: the picture's packets, their schedule, and where pictures come from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from spillway_stream.source.clips import Clip
from spillway_stream.source.faults import InvalidIntent, NotSupported
from spillway_stream.source.spec import PacingSpec, VideoSpec
from spillway_stream.video.formats import PictureFormat, fault_of, pixel_group
from spillway_stream.video.packets import UDP_HEADER_BYTES, PacketShape, packet_table, shape_packets
from spillway_stream.video.patterns import FrameCounter, Pictures, color_bars, counter_scale, ramp
from spillway_stream.video.timing import NANOSECONDS, STANDARD_UDP_BYTES, FrameTiming, Profile

LEAD_NS = 500_000  # a software sender is ahead of the receiver's reads by so much, or by half of the receiver's buffer


@dataclass(frozen=True, slots=True)
class Plan:
    """One stream's packets and times. table: for the C loop. lead_ns: how long before its read each packet leaves."""

    shapes: tuple[PacketShape, ...]
    table: bytes
    timing: FrameTiming
    lead_ns: int
    batch: int


def picture_of(spec: VideoSpec) -> PictureFormat:
    """Raises InvalidIntent for a picture that cannot be packed."""
    group = pixel_group(spec.sampling, spec.depth_bits)
    picture = PictureFormat(spec.width_pixels, spec.height_pixels, group, spec.interlaced)
    if fault := fault_of(picture):
        raise InvalidIntent(f"source.video.{fault[0]}", fault[1])
    return picture


def pictures_of(spec: VideoSpec, picture: PictureFormat, files: Path) -> Pictures:
    """Where the frames come from. Raises InvalidIntent or Transient for a file that cannot be sent."""
    if spec.file:
        return Clip(files / spec.file, picture, loop=spec.loop, volume=spec.volume)
    if spec.pattern == "ColorBars":
        return color_bars(picture)
    if spec.pattern == "Ramp":
        return ramp(picture)
    if not counter_scale(picture):
        raise InvalidIntent("source.video.pattern", f"{picture.width}x{picture.height} has no room for eight digits")
    return FrameCounter(picture)


def profile_of(pacing: PacingSpec) -> Profile:
    """The sender type: Wide unless something else is asked.

    Raises NotSupported for the narrow types: they bind each packet to a few microseconds, which only a card that launches
    packets at a time can keep. Raises InvalidIntent for a rate: a picture has its own.
    """
    if pacing.packets_per_second or pacing.bits_per_second:
        raise InvalidIntent("pacing", "a picture's rate follows from its format: only profile can be given")
    if pacing.profile in (Profile.NARROW, Profile.NARROW_LINEAR):
        raise NotSupported(f"{pacing.profile} needs launch time in the card, which rings do not offer: {Profile.WIDE} is kept")
    return pacing.profile or Profile.WIDE


def plan_stream(spec: VideoSpec, picture: PictureFormat, stride: int, profile: Profile, *, payload_bytes: int, most: int) -> Plan:
    """payload_bytes: the most that a datagram holds at the present MTU. most: packets that the ring hands over at once.

    Raises NotSupported if not even a pgroup fits.
    """
    try:
        shapes = shape_packets(picture, min(STANDARD_UDP_BYTES, payload_bytes + UDP_HEADER_BYTES), stride)
    except ValueError as error:
        raise NotSupported(f"the interface's MTU is too small for video: {error}") from error
    timing = FrameTiming(1 / spec.exact_frame_rate, len(shapes), picture.height, picture.interlaced, profile)
    half_ns = int(timing.buffer_packets() * timing.spacing_s * NANOSECONDS / 2)
    early = int(
        LEAD_NS / (timing.spacing_s * NANOSECONDS)
    )  # a small picture's packets are far apart: none leaves long before its time
    batch = max(1, min(most, timing.burst_packets // 2, early))  # half of what the network allows: room to catch up
    return Plan(shapes, packet_table(shapes), timing, min(LEAD_NS, half_ns), batch)


def ssrc_of(uid: str) -> int:
    """One SSRC for a stream, over restarts and on both legs; any, where the stream has no uid."""
    seed = hashlib.sha256(uid.encode()).digest() if uid else os.urandom(4)
    return int.from_bytes(seed[:4])
