"""What a node is to keep of a transmit ring and what it says of it, as values. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from spillway_crds.streams import BindMode, RingParameters
from spillway_dataplane.way.state import RingState


@dataclass(frozen=True, slots=True)
class RingOrder:
    """A ring to keep.

    key: stable and unique on this node, as `<claim uid>/<request>`.
    directory: of this ring alone; it exists. `ring.sock` and `page` are made in it, and applications see it read-only.
    queue: TX queue, 0-based. label: whose ring it is, `namespace/name`, for messages to people.
    """

    key: str
    directory: Path
    interface: str
    queue: int
    parameters: RingParameters
    label: str


@dataclass(frozen=True, slots=True)
class RingCounters:
    """What the applications that held this ring counted, summed since it was first opened. They may lie of their own.

    ring_empty, invalid: as the kernel told them. late: packets over 1 ms behind their schedule, late_outside_holes those that
    no hole explains; holes: times the host took the core away from the pacer for over 200 us. refused: packets left out
    for the link's state. starved: times when fewer frames were free than asked for.
    """

    packets: int = 0
    bytes: int = 0
    batches: int = 0
    kicks: int = 0
    ring_empty: int = 0
    late: int = 0
    late_outside_holes: int = 0
    holes: int = 0
    invalid: int = 0
    refused: int = 0
    starved: int = 0
    video_frames: int = 0


@dataclass(frozen=True, slots=True)
class RingPeaks:
    """What the present holder measured: the worst so far, and the machine's steal time since it began.

    vrx_packets, cinst_packets: of a video source, ST 2110-21. clock: what it found of its clock, spillway_stream.clocks.
    ptp: the number of the PTP clock that it read, and one; clock_to_tai_ns, clock_to_utc_ns: how far it is ahead of those,
    of either sign. core: of a built-in source, its number and one; core_by: spillway_stream.cores.
    """

    latest_ns: int = 0
    longest_hole_ns: int = 0
    steal_ns: int = 0
    vrx_packets: int = 0
    cinst_packets: int = 0
    clock: int = 0
    ptp: int = 0
    clock_to_tai_ns: int = 0
    clock_to_utc_ns: int = 0
    core: int = 0
    core_by: int = 0


@dataclass(frozen=True, slots=True)
class KernelCounters:
    """What the kernel counted of this socket: struct xdp_statistics, its fields for transmission."""

    tx_invalid_descriptors: int = 0
    tx_ring_empty_descriptors: int = 0


@dataclass(frozen=True, slots=True)
class JitterQuantiles:
    """How far from the schedule batches left, in nanoseconds; 0 where nothing was paced."""

    p50_ns: int = 0
    p99_ns: int = 0
    p999_ns: int = 0
    max_ns: int = 0


@dataclass(frozen=True, slots=True)
class RingStatus:
    """What is the case with one ring, read back from kernel and report.

    bind_mode: COPY or ZERO_COPY, as the kernel gave it; None while no ring is bound. bind_note: why it is not what was preferred.
    completed: a frame of this ring was completed; ZERO_COPY may be told to people only then.
    mac, next_hop_mac: as `02:00:00:00:00:01`, empty when unknown. source, next_hop: addresses of the flow, empty when unknown.
    holder: the process that has the ring, empty when none; waiting: how many others wait for it.
    """

    key: str
    label: str
    interface: str
    queue: int
    state: RingState = RingState.STARTING
    reason: str = ""
    ifindex: int = 0
    mac: str = ""
    mtu_bytes: int = 0
    bind_mode: BindMode | None = None
    bind_note: str = ""
    completed: bool = False
    source: str = ""
    next_hop: str = ""
    next_hop_mac: str = ""
    frames: int = 0
    umem_bytes: int = 0
    holder: str = ""
    waiting: int = 0
    counters: RingCounters = field(default_factory=RingCounters)
    kernel: KernelCounters = field(default_factory=KernelCounters)
    jitter: JitterQuantiles = field(default_factory=JitterQuantiles)
    peaks: RingPeaks = field(default_factory=RingPeaks)
    packets_per_second: float = 0.0
    bits_per_second: float = 0.0
