"""SPILLWAY_SOURCE as values; the package's docstring has the JSON. Pure: text in, values out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath

from spillway_stream.source.faults import InvalidIntent
from spillway_stream.source.strict import Reader
from spillway_stream.video.formats import DEPTHS, SAMPLINGS
from spillway_stream.video.timing import Profile

PATTERNS = ("ColorBars", "Ramp", "FrameCounter")
OF_THE_SDP = ("colorimetry", "transferCharacteristicSystem", "range", "pixelAspectRatio")
MAX_RATE = 1 << 40
SLOWEST, FASTEST = 1, 1000  # frames a second
MAX_PIXELS = 32767  # ST 2110-20: a sample row's offset and number have 15 bits


class VolumeKind(StrEnum):
    """What can be mounted at `files`, by Kubernetes' names."""

    CLAIM = "PersistentVolumeClaim"
    CONFIG_MAP = "ConfigMap"


@dataclass(frozen=True, slots=True)
class Volume:
    """What is mounted at `files`; without Kubernetes, any folder. As a string: in words, for messages."""

    kind: VolumeKind | None = None
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.kind else "the volume"


ANY_VOLUME = Volume()


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """A picture's format and where pictures come from: exactly one of pattern and file. Fields as in the BypassStream."""

    width_pixels: int
    height_pixels: int
    exact_frame_rate: Fraction
    sampling: str = "YCbCr-4:2:2"
    depth_bits: int = 10
    interlaced: bool = False
    pattern: str = ""
    file: str = ""
    loop: bool = True
    payload_type: int = 96
    legs: int = 0
    volume: Volume = ANY_VOLUME


@dataclass(frozen=True, slots=True)
class PcapSpec:
    """Replay a capture. speed: factor on the capture's own pace."""

    file: str
    loop: bool = False
    speed: Fraction = Fraction(1)
    volume: Volume = ANY_VOLUME


@dataclass(frozen=True, slots=True)
class PacingSpec:
    """At most one of the three."""

    packets_per_second: int | None = None
    bits_per_second: int | None = None
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """source: "PTP" or "System". ptp_domain: of source PTP."""

    source: str = "System"
    ptp_domain: int = 127


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """All that the process is told. rings: at least one path."""

    stream: str
    content: VideoSpec | PcapSpec
    rings: tuple[str, ...]
    uid: str = ""
    pacing: PacingSpec = field(default_factory=PacingSpec)
    clock: ClockSpec = field(default_factory=ClockSpec)
    files: Path = Path("/media")
    cpu: int | None = None
    metrics_port: int = 0


def decode(text: str, default_ring: str) -> SourceSpec:
    """Read SPILLWAY_SOURCE. default_ring: what SPILLWAY_RING says. Raises InvalidIntent with the path of the first fault."""
    try:
        top = Reader(json.loads(text), "")
    except ValueError as error:
        raise InvalidIntent("SPILLWAY_SOURCE", f"is no JSON: {error}") from None
    content = _content(top.child("source"))
    spec = SourceSpec(
        stream=top.take(str, "stream"),
        content=content,
        rings=_rings(top, default_ring),
        uid=top.take(str, "uid", ""),
        pacing=_pacing(top.child("pacing")),
        clock=_clock(top.child("clock")),
        files=Path(top.take(str, "files", "/media")),
        cpu=top.number("cpu", 0, 4095) if top.has("cpu") else None,
        metrics_port=top.number("metricsPort", 0, 65535, 0),
    )
    top.skip("cpu")
    top.done()
    _check_rings(spec)
    return spec


def _content(reader: Reader) -> VideoSpec | PcapSpec:
    kinds = [name for name in ("video", "pcap") if reader.has(name)]
    if len(kinds) != 1:
        raise InvalidIntent(reader.path, "exactly one of video and pcap has to be given")
    content = _video(reader.child("video")) if kinds == ["video"] else _pcap(reader.child("pcap"))
    reader.done()
    return content


def _video(reader: Reader) -> VideoSpec:
    reader.choice("standard", ("ST2110-20",), "ST2110-20")
    spec = VideoSpec(
        width_pixels=reader.number("widthPixels", 1, MAX_PIXELS),
        height_pixels=reader.number("heightPixels", 1, MAX_PIXELS),
        exact_frame_rate=reader.fraction("exactFrameRate"),
        sampling=reader.choice("sampling", SAMPLINGS, "YCbCr-4:2:2"),
        depth_bits=reader.take(int, "depthBits", 10),
        interlaced=reader.take(bool, "interlaced", False),
        pattern=reader.choice("pattern", ("", *PATTERNS), ""),
        file=_file(reader, ""),
        loop=reader.take(bool, "loop", True),
        payload_type=reader.number("payloadType", 96, 127, 96),
        legs=len(reader.raw_list("legs")),
        volume=_volume(reader),
    )
    reader.skip(*OF_THE_SDP)
    reader.done()
    _check_video(spec, reader)
    return spec


def _check_video(spec: VideoSpec, reader: Reader) -> None:
    if spec.depth_bits not in DEPTHS:
        raise InvalidIntent(reader.at("depthBits"), f"{spec.depth_bits} is none of {', '.join(map(str, DEPTHS))}")
    if not SLOWEST <= spec.exact_frame_rate <= FASTEST:
        raise InvalidIntent(reader.at("exactFrameRate"), f"{spec.exact_frame_rate} is not in {SLOWEST}..{FASTEST}")
    if bool(spec.pattern) == bool(spec.file):
        raise InvalidIntent(reader.path, "exactly one of pattern and file has to be given")


def _pcap(reader: Reader) -> PcapSpec:
    spec = PcapSpec(_file(reader), reader.take(bool, "loop", False), reader.fraction("speed", Fraction(1)), _volume(reader))
    reader.done()
    return spec


def _file(reader: Reader, *default: str) -> str:
    """A relative path that stays inside the volume."""
    file = reader.take(str, "file", *default)
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise InvalidIntent(reader.at("file"), f"{file!r} leaves the volume")
    return file


def _volume(reader: Reader) -> Volume:
    volume = reader.child("volume")
    claim, config_map = volume.take(str, "persistentVolumeClaim", ""), volume.take(str, "configMap", "")
    volume.done()
    if claim:
        return Volume(VolumeKind.CLAIM, claim)
    return Volume(VolumeKind.CONFIG_MAP, config_map) if config_map else ANY_VOLUME


def _rings(top: Reader, default_ring: str) -> tuple[str, ...]:
    rings = top.raw_list("rings") or [default_ring]
    if not all(isinstance(each, str) and each for each in rings):
        raise InvalidIntent("rings", "neither rings nor SPILLWAY_RING names a ring's socket")
    return tuple(rings)


def _check_rings(spec: SourceSpec) -> None:
    wanted = 1 + (spec.content.legs if isinstance(spec.content, VideoSpec) else 0)
    if len(spec.rings) != wanted:
        raise InvalidIntent("rings", f"{len(spec.rings)} given, {wanted} needed: one for the stream and one for each leg")


def _pacing(reader: Reader) -> PacingSpec:
    pacing = PacingSpec(
        reader.number("packetsPerSecond", 1, MAX_RATE) if reader.has("packetsPerSecond") else None,
        reader.number("bitsPerSecond", 1, MAX_RATE) if reader.has("bitsPerSecond") else None,
        Profile(reader.choice("profile", tuple(Profile))) if reader.has("profile") else None,
    )
    reader.skip("packetsPerSecond", "bitsPerSecond", "profile")
    reader.done()
    if sum(each is not None for each in (pacing.packets_per_second, pacing.bits_per_second, pacing.profile)) > 1:
        raise InvalidIntent(reader.path, "at most one of packetsPerSecond, bitsPerSecond and profile")
    return pacing


def _clock(reader: Reader) -> ClockSpec:
    clock = ClockSpec(reader.choice("source", ("PTP", "System"), "System"), reader.number("ptpDomain", 0, 127, 127))
    reader.done()
    return clock
