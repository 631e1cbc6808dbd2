"""What Prometheus is told of rings and of the driver: the last look, nothing is read for a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spillway_dataplane import __version__
from spillway_dataplane.stream.model import RingStatus

RING = ("namespace", "claim", "ring", "interface", "queue")
NANOSECOND = 1e-9
COUNTERS: tuple[tuple[str, str, Callable[[RingStatus], int]], ...] = (
    ("packets", "Packets that the ring's applications handed to the card.", lambda each: each.counters.packets),
    ("bytes", "Bytes of these packets, whole frames without FCS.", lambda each: each.counters.bytes),
    ("late_packets", "Packets that left more than 1 ms behind their schedule.", lambda each: each.counters.late),
    ("late_outside_holes", "Late packets that no hole explains.", lambda each: each.counters.late_outside_holes),
    ("holes", "Times that the host took the core from the pacer for over 200 us.", lambda each: each.counters.holes),
    ("batches", "Batches handed over.", lambda each: each.counters.batches),
    ("kicks", "System calls that made the kernel send.", lambda each: each.counters.kicks),
    ("starved", "Times that fewer frames were free than asked for.", lambda each: each.counters.starved),
    ("refused_packets", "Packets left out for the link's state by a sender that goes on.", lambda each: each.counters.refused),
    ("video_frames", "Frames of a video source.", lambda each: each.counters.video_frames),
    ("kernel_invalid_descriptors", "XDP statistics: descriptors refused.", lambda each: each.kernel.tx_invalid_descriptors),
    ("kernel_ring_empty", "XDP statistics: kicks that found nothing.", lambda each: each.kernel.tx_ring_empty_descriptors),
)
GAUGES: tuple[tuple[str, str, Callable[[RingStatus], float]], ...] = (
    ("packets_per_second", "Rate over the last look.", lambda each: each.packets_per_second),
    ("bits_per_second", "Rate over the last look.", lambda each: each.bits_per_second),
    ("umem_bytes", "Memory that the ring's frames take, counted as this container's.", lambda each: each.umem_bytes),
    ("held", "Whether a process has the ring.", lambda each: float(bool(each.holder))),
    ("waiting", "Processes that wait for the ring.", lambda each: each.waiting),
    ("latest_seconds", "Of the present holder: its latest packet.", lambda each: each.peaks.latest_ns * NANOSECOND),
    ("longest_hole_seconds", "Of the present holder: its longest hole.", lambda each: each.peaks.longest_hole_ns * NANOSECOND),
    ("steal_seconds", "Taken from the machine since the present holder began.", lambda each: each.peaks.steal_ns * NANOSECOND),
    ("vrx_peak_packets", "Of a video source: fullest virtual receiver buffer, ST 2110-21.", lambda each: each.peaks.vrx_packets),
    ("cinst_peak_packets", "Of a video source: highest Cinst, ST 2110-21.", lambda each: each.peaks.cinst_packets),
)
QUANTILES: tuple[tuple[str, Callable[[RingStatus], int]], ...] = (
    ("0.5", lambda each: each.jitter.p50_ns),
    ("0.99", lambda each: each.jitter.p99_ns),
    ("0.999", lambda each: each.jitter.p999_ns),
    ("1", lambda each: each.jitter.max_ns),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """rings: all that this process keeps. offered: queues in the slices. unopened: claims that wait to be held again.

    steal_seconds: of each CPU, what the host took from it: a pacer's late packets have to be seen beside it.
    """

    rings: tuple[RingStatus, ...] = ()
    offered: int = 0
    withheld: int = 0
    claims: int = 0
    unopened: int = 0
    steal_seconds: tuple[float, ...] = ()
    errors: int = 0
    api_errors: int = 0
    acting: bool = False
    registered: bool = False


class StreamCollector(Collector):
    """Turns the latest snapshot into metrics."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """Return all metrics. Called by a thread of the HTTP server; a snapshot never changes."""
        snapshot = self._latest()
        yield from _counters(snapshot.rings)
        yield from _gauges(snapshot.rings)
        yield _jitter(snapshot.rings)
        yield _info(snapshot.rings)
        yield from _health(snapshot)


def _labels(ring: RingStatus) -> tuple[str, ...]:
    namespace, _, claim = ring.label.partition("/")
    return namespace, claim, ring.key.rpartition("/")[2], ring.interface, str(ring.queue)


def _counters(rings: tuple[RingStatus, ...]) -> Iterator[Metric]:
    for name, text, value in COUNTERS:
        family = CounterMetricFamily(f"spillway_ring_{name}", text, labels=RING)
        for ring in rings:
            family.add_metric(_labels(ring), value(ring))
        yield family


def _gauges(rings: tuple[RingStatus, ...]) -> Iterator[Metric]:
    for name, text, value in GAUGES:
        family = GaugeMetricFamily(f"spillway_ring_{name}", text, labels=RING)
        for ring in rings:
            family.add_metric(_labels(ring), value(ring))
        yield family


def _jitter(rings: tuple[RingStatus, ...]) -> Metric:
    text = "How far from their schedule batches left, in the worst case of this share of them."
    family = GaugeMetricFamily("spillway_ring_jitter_seconds", text, labels=(*RING, "quantile"))
    for ring in rings:
        for quantile, value in QUANTILES:
            family.add_metric((*_labels(ring), quantile), value(ring) * NANOSECOND)
    return family


def _info(rings: tuple[RingStatus, ...]) -> Metric:
    family = GaugeMetricFamily("spillway_ring_info", "Always 1: mode and state of a ring.", labels=(*RING, "mode", "state"))
    for ring in rings:
        family.add_metric((*_labels(ring), ring.bind_mode.value if ring.bind_mode else "", ring.state.value), 1)
    return family


def _health(snapshot: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("spillway_streams_offered_queues", "Queues in this node's ResourceSlices.", snapshot.offered)
    yield GaugeMetricFamily("spillway_streams_withheld_queues", "Granted queues that cannot be offered now.", snapshot.withheld)
    yield GaugeMetricFamily("spillway_streams_claims", "Claims that are prepared here.", snapshot.claims)
    yield GaugeMetricFamily("spillway_streams_unopened_claims", "Claims not held again since a restart.", snapshot.unopened)
    steal = CounterMetricFamily("spillway_streams_cpu_steal_seconds", "Time that the host took from a CPU.", labels=("cpu",))
    for number, seconds in enumerate(snapshot.steal_seconds):
        steal.add_metric((str(number),), seconds)
    yield steal
    yield CounterMetricFamily("spillway_streams_errors", "Turns of the loop that failed.", snapshot.errors)
    yield CounterMetricFamily("spillway_streams_api_errors", "Calls that failed.", snapshot.api_errors)
    yield GaugeMetricFamily("spillway_streams_acting", "Whether this process holds the node's lock.", int(snapshot.acting))
    yield GaugeMetricFamily("spillway_streams_registered", "Whether kubelet took this driver.", int(snapshot.registered))
    info = GaugeMetricFamily("spillway_streams_build_info", "Always 1.", labels=("version",))
    info.add_metric((__version__,), 1)
    yield info
