"""What a source tells of itself while it runs: numbers that the sending thread sets and the metrics server reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from spillway_stream.pages import Report, quantile_ns
from spillway_stream.source.clock import ClockFinding

Sample = tuple[str, str, str, float]  # name, kind, help, value


@dataclass(slots=True)
class VideoFigures:
    """Of ST 2110-21, in packets; peaks since the start. `limits`: C_MAX and VRX_FULL of the sender type.

    frames: sent. skipped: not sent, because the sender was late by more than a frame. buffer_low: how many packets at worst a
    receiver would have read before they were there. start_ns: how far behind its due time the last frame's first packet went.
    """

    frames: int = 0
    skipped: int = 0
    network_peak: float = 0.0
    buffer_peak: int = 0
    buffer_low: int = 0
    start_ns: int = 0
    frames_per_second: float = 0.0
    limits: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Figures:
    """All of it. reports: of each ring, read anew for each scrape. ready: something was sent."""

    stream: str
    clock: ClockFinding | None = None
    video: VideoFigures | None = None
    rounds: int = 0
    ready: bool = False
    core: int | None = None
    reports: list[Report] = field(default_factory=list)


def exposition(figures: Figures) -> str:
    """Prometheus' text format. Every sample carries the stream; those of rings the leg too, from 0."""
    labels = f'stream="{figures.stream}"'
    found = [(sample, labels) for sample in _of_source(figures)]
    for leg, report in enumerate(figures.reports):
        found += [(sample, f'{labels},leg="{leg}"') for sample in _of_ring(report)]
    groups: dict[str, list[str]] = {}  # the format wants all samples of a name together
    for (name, kind, text, value), where in found:
        full = f"spillway_source_{name}"
        lines = groups.setdefault(full, [f"# HELP {full} {text}", f"# TYPE {full} {kind}"])
        lines.append(f"{full}{{{where}}} {value}")
    return "".join(f"{line}\n" for lines in groups.values() for line in lines)


def _of_source(figures: Figures) -> Iterator[Sample]:
    if figures.clock is not None:
        yield "clock_synchronized", "gauge", "1 if the clock that frames follow can be trusted.", int(figures.clock.synchronized)
    if figures.clock is not None and figures.clock.ptp:
        text = "What the PTP clock is ahead of the node's CLOCK_TAI."
        yield "clock_ahead_of_tai_seconds", "gauge", text, figures.clock.to_tai_ns / 1e9
    if figures.core is not None:
        yield "core", "gauge", "The core that sends.", figures.core
    if figures.rounds:
        yield "rounds_total", "counter", "Times that a looped capture began again.", figures.rounds
    if figures.video is not None:
        yield from _of_video(figures.video)


def _of_video(video: VideoFigures) -> Iterator[Sample]:
    burst, room = video.limits
    yield "frames_total", "counter", "Frames sent.", video.frames
    yield "skipped_frames_total", "counter", "Frames not sent, because the sender was late by more than a frame.", video.skipped
    yield "frames_per_second", "gauge", "Frames a second over the last second.", video.frames_per_second
    yield "cinst_peak_packets", "gauge", "Greatest C_INST since the start (ST 2110-21).", video.network_peak
    yield "cinst_limit_packets", "gauge", "C_MAX of the sender type.", burst
    yield "vrx_peak_packets", "gauge", "Fullest virtual receiver buffer since the start (ST 2110-21).", video.buffer_peak
    yield "vrx_limit_packets", "gauge", "VRX_FULL of the sender type.", room
    yield "vrx_underflow_packets", "gauge", "Most packets that a receiver would have read too early.", -video.buffer_low
    yield "frame_start_seconds", "gauge", "How far behind its due time the last frame's first packet went.", video.start_ns / 1e9


def _of_ring(report: Report) -> Iterator[Sample]:
    yield "packets_total", "counter", "Packets handed to the card.", report.packets
    yield "bytes_total", "counter", "Bytes of whole frames handed to the card.", report.bytes
    yield "refused_total", "counter", "Packets not sent because of the link's state.", report.refused
    yield "late_total", "counter", "Packets handed over more than 1 ms behind the schedule.", report.late
    yield "holes_total", "counter", "Times that the core was away for more than 200 us.", report.holes
    for share, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p999")):
        value = quantile_ns(report.jitter, share) / 1e9
        yield f"jitter_{name}_seconds", "gauge", "How far from the schedule packets were handed over.", value
