"""A BypassStream as values, and the parameters that its ResourceClaim carries to the node. What they mean: docs/streams.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address

from spillway_crds.filters import NodeSelector

Address = IPv4Address | IPv6Address
MAX_BUFFER_BYTES = 4096  # of AF_XDP: no more than a page, and pages have 4,096 bytes at least


class BindMode(StrEnum):
    """ZERO_COPY refuses everything else; PREFER takes what the kernel gives; COPY never asks for zero copy."""

    ZERO_COPY = "ZeroCopy"
    PREFER = "Prefer"
    COPY = "Copy"


class ClockSource(StrEnum):
    """PTP: the card's or the system's clock that PTP steers. SYSTEM: CLOCK_TAI of the node as it is."""

    PTP = "PTP"
    SYSTEM = "System"


class SenderProfile(StrEnum):
    """The sender types of SMPTE ST 2110-21."""

    NARROW = "ST2110-21-Narrow"
    NARROW_LINEAR = "ST2110-21-NarrowLinear"
    WIDE = "ST2110-21-Wide"


@dataclass(frozen=True, slots=True)
class VlanTag:
    """An 802.1Q tag that every frame of a stream carries. id: 1..4094. priority: 0..7."""

    id: int
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a stream's packets come from and go to. Both addresses are of one family; source None: the interface's own.

    Ports in host byte order. dscp: 0..63. ttl: hop limit over IPv6.
    """

    destination: Address
    destination_port: int
    source: Address | None = None
    source_port: int = 5004
    ttl: int = 64
    dscp: int = 0
    vlan: VlanTag | None = None


@dataclass(frozen=True, slots=True)
class Pacing:
    """At most one of the three; none: as fast as the application sends."""

    packets_per_second: int | None = None
    bits_per_second: int | None = None  # of IP packets: header and payload, as ST 2110-21 counts
    profile: SenderProfile | None = None


@dataclass(frozen=True, slots=True)
class RingSize:
    """descriptors: slots of the TX ring, a power of two. frame_bytes: 2048, 4096, 8192 or 16384.

    batch: the most packets that one system call hands over, also when a late sender catches up.
    """

    descriptors: int = 4096
    frame_bytes: int = 2048
    batch: int = 64

    @property
    def descriptors_per_frame(self) -> int:
        """The most slots that one packet takes: the kernel knows no buffer above 4,096 bytes, so a longer one is in several."""
        return -(-self.frame_bytes // MAX_BUFFER_BYTES)

    @property
    def frames(self) -> int:
        """Frames of the ring: as many as its slots can hold, and as many again. Long frames are fewer, not more memory."""
        return 2 * self.descriptors // self.descriptors_per_frame


@dataclass(frozen=True, slots=True)
class RingParameters:
    """What a node has to know of a ring before the claim's pod starts: the opaque configuration of its ResourceClaim."""

    flow: Flow
    bind_mode: BindMode = BindMode.PREFER
    pacing: Pacing = field(default_factory=Pacing)
    ring: RingSize = field(default_factory=RingSize)
    clock: ClockSource = ClockSource.SYSTEM  # PTP: the container gets a PTP clock to read


@dataclass(frozen=True, slots=True)
class PcapSource:
    """Replay a capture. file: path in the volume. loop: begin again at its end. speed: factor on the capture's own pace."""

    file: str
    volume: FileVolume
    loop: bool = False
    speed: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class FileVolume:
    """Where a file comes from, in the stream's own namespace: exactly one name is given."""

    config_map: str = ""
    claim: str = ""  # a PersistentVolumeClaim


@dataclass(frozen=True, slots=True)
class Leg:
    """The second path of a stream that goes out twice (SMPTE ST 2022-7)."""

    interface: str
    flow: Flow
    tx_queue: int | None = None


@dataclass(frozen=True, slots=True)
class VideoLook:
    """What a receiver has to know to show samples as they are meant, in the words of ST 2110-20. No packet changes by it."""

    colorimetry: str = "BT709"
    transfer: str = "SDR"
    range: str = "NARROW"
    pixel_aspect: str = "1:1"


@dataclass(frozen=True, slots=True)
class VideoSource:
    """Uncompressed video by SMPTE ST 2110-20 (RFC 4175). Either a pattern or a raw file.

    sampling: "YCbCr-4:2:2", "YCbCr-4:4:4" or "RGB". payload_type: RTP's, 96..127. look: what the samples mean.
    """

    width_pixels: int
    height_pixels: int
    exact_frame_rate: Fraction
    sampling: str = "YCbCr-4:2:2"
    depth_bits: int = 10
    interlaced: bool = False
    pattern: str = ""  # ColorBars, Ramp or FrameCounter
    file: str = ""
    volume: FileVolume | None = None
    loop: bool = True
    payload_type: int = 96
    legs: tuple[Leg, ...] = ()
    look: VideoLook = VideoLook()


@dataclass(frozen=True, slots=True)
class ApplicationSource:
    """Pods build packets in the shared frames themselves."""


Source = ApplicationSource | VideoSource | PcapSource


@dataclass(frozen=True, slots=True)
class StreamClock:
    """What video frames are aligned to. ptp_domain: 0..127, of source PTP."""

    source: ClockSource = ClockSource.SYSTEM
    ptp_domain: int = 127


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A BypassStream's spec. tx_queue None: any that may be granted. node_selector, cpu: of built-in sources only."""

    interface: str
    parameters: RingParameters
    source: Source = field(default_factory=ApplicationSource)
    tx_queue: int | None = None
    node_selector: NodeSelector | None = None
    clock: StreamClock = field(default_factory=StreamClock)
    cpu: int | None = None


@dataclass(frozen=True, slots=True)
class BypassStream:
    """A BypassStream with what of its metadata matters. created: RFC 3339."""

    namespace: str
    name: str
    spec: StreamSpec
    uid: str = ""
    generation: int = 0
    created: str = ""
