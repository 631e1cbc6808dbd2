"""What a scrape of the driver of streams gives."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spillway_crds.streams import BindMode
from spillway_dataplane.dra.metrics import Snapshot, StreamCollector
from spillway_dataplane.dra.steal import read_steal
from spillway_dataplane.stream.model import JitterQuantiles, KernelCounters, RingCounters, RingPeaks, RingStatus
from spillway_dataplane.way.state import RingState

RING = RingStatus(
    "uid-1/ring",
    "studio/cam",
    "eth1",
    1,
    RingState.READY,
    bind_mode=BindMode.COPY,
    holder="pid 7",
    counters=RingCounters(packets=5, bytes=7000, late=1, starved=2, refused=3, late_outside_holes=7, video_frames=50),
    peaks=RingPeaks(latest_ns=2_000_000, steal_ns=1_000_000_000, vrx_packets=8),
    kernel=KernelCounters(4, 6),
    jitter=JitterQuantiles(1000, 5000, 6000, 9000),
)
WHO = 'claim="cam",interface="eth1",namespace="studio",queue="1",ring="ring"'

P99 = WHO.replace("queue", 'quantile="0.99",queue')


def scraped(snapshot: Snapshot) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StreamCollector(lambda: snapshot))
    return generate_latest(registry).decode()


@pytest.mark.parametrize(
    "line",
    [
        f"spillway_ring_packets_total{{{WHO}}} 5.0",
        f"spillway_ring_bytes_total{{{WHO}}} 7000.0",
        f"spillway_ring_late_packets_total{{{WHO}}} 1.0",
        f"spillway_ring_late_outside_holes_total{{{WHO}}} 7.0",
        f"spillway_ring_starved_total{{{WHO}}} 2.0",
        f"spillway_ring_video_frames_total{{{WHO}}} 50.0",
        f"spillway_ring_latest_seconds{{{WHO}}} 0.002",
        f"spillway_ring_steal_seconds{{{WHO}}} 1.0",
        f"spillway_ring_vrx_peak_packets{{{WHO}}} 8.0",
        f"spillway_ring_refused_packets_total{{{WHO}}} 3.0",
        f"spillway_ring_kernel_invalid_descriptors_total{{{WHO}}} 4.0",
        f"spillway_ring_kernel_ring_empty_total{{{WHO}}} 6.0",
        f"spillway_ring_held{{{WHO}}} 1.0",
        f"spillway_ring_jitter_seconds{{{P99}}} 5e-06",
        'spillway_streams_cpu_steal_seconds_total{cpu="1"} 2.5',
        "spillway_streams_offered_queues 2.0",
        "spillway_streams_acting 1.0",
    ],
)
def test_every_figure_of_a_ring_has_a_metric(line: str) -> None:
    snapshot = Snapshot(rings=(RING,), offered=2, acting=True, steal_seconds=(0.0, 2.5))
    assert line in scraped(snapshot).splitlines()


def test_metrics_of_no_ring_have_no_samples() -> None:
    assert not [line for line in scraped(Snapshot()).splitlines() if line.startswith("spillway_ring_")]


def test_stolen_time_is_read_from_the_lines_of_single_cpus() -> None:
    text = "cpu  9 9 9 9 9 9 9 900 0 0\ncpu0 1 2 3 4 5 6 7 100 0 0\ncpu1 1 2 3 4 5 6 7 250 0 0\nintr 5\n"
    assert read_steal(text, 100) == (1.0, 2.5)
