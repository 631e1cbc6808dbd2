"""What a ring's holders counted, one after the other: sums that never fall, and rates of the last second or so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypedDict

from spillway_dataplane.stream.model import JitterQuantiles, RingCounters, RingPeaks
from spillway_stream.pages import Report, bucket_floor_ns, quantile_ns

HIGHEST = (1 << 53) - 1  # a holder may write any u64; above this, JSON's readers no longer tell numbers apart
SILENT_S = 3.0
RATE_OVER_S = 0.9  # looks come once a second; what comes sooner than this adds to the next


class Kept(TypedDict):
    """The fields of a RingRecord that are counts."""

    before: RingCounters
    seen: RingCounters


class Shown(TypedDict):
    """The fields of a RingStatus that are counts."""

    counters: RingCounters
    jitter: JitterQuantiles
    peaks: RingPeaks
    packets_per_second: float
    bits_per_second: float


@dataclass(frozen=True, slots=True)
class Counting:
    """before: of earlier holders. seen: of the present one. mark: seen at mark_s, from where the rate is counted."""

    before: RingCounters = field(default_factory=RingCounters)
    seen: RingCounters = field(default_factory=RingCounters)
    jitter: JitterQuantiles = field(default_factory=JitterQuantiles)
    peaks: RingPeaks = field(default_factory=RingPeaks)
    mark: RingCounters | None = None
    mark_s: float = 0.0
    packets_per_second: float = 0.0
    bits_per_second: float = 0.0

    def next_holder(self) -> Counting:
        """Keep the sum for good; the next holder begins at nothing."""
        return Counting(before=plus(self.before, self.seen))

    def read(self, report: Report, now_s: float) -> Counting:
        """Take in what the present holder says now. now_s: monotonic."""
        seen = highest(self.seen, counters_of(report))
        known = replace(self, seen=seen, jitter=jitter_of(report), peaks=peaks_of(report))
        if self.mark is None:
            return replace(known, mark=seen, mark_s=now_s)
        if (passed_s := now_s - self.mark_s) < RATE_OVER_S:
            return known
        return replace(
            known,
            mark=seen,
            mark_s=now_s,
            packets_per_second=(seen.packets - self.mark.packets) / passed_s,
            bits_per_second=(seen.bytes - self.mark.bytes) * 8 / passed_s,
        )

    def silent(self, now_s: float) -> Counting:
        """Nothing can be read: a holder that died over its report has no rate any more."""
        if now_s - self.mark_s < SILENT_S:
            return self
        return replace(self, packets_per_second=0.0, bits_per_second=0.0)

    def kept(self) -> Kept:
        """What to write down."""
        return {"before": self.before, "seen": self.seen}

    def shown(self) -> Shown:
        """What to tell."""
        return {
            "counters": plus(self.before, self.seen),
            "jitter": self.jitter,
            "peaks": self.peaks,
            "packets_per_second": self.packets_per_second,
            "bits_per_second": self.bits_per_second,
        }


def plus(one: RingCounters, other: RingCounters) -> RingCounters:
    """Add two counts, field by field."""
    return RingCounters(**{each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(RingCounters)})


def highest(one: RingCounters, other: RingCounters) -> RingCounters:
    """Take the higher of each field: a total never falls, whatever a holder writes."""
    return RingCounters(**{each.name: max(getattr(one, each.name), getattr(other, each.name)) for each in fields(RingCounters)})


def counters_of(report: Report) -> RingCounters:
    """Bound what a holder counted."""
    return RingCounters(
        packets=_bound(report.packets),
        bytes=_bound(report.bytes),
        batches=_bound(report.batches),
        kicks=_bound(report.kicks),
        ring_empty=_bound(report.ring_empty),
        late=_bound(report.late),
        late_outside_holes=_bound(report.late_outside_holes),
        holes=_bound(report.holes),
        invalid=_bound(report.invalid),
        refused=_bound(report.refused),
        starved=_bound(report.starved),
        video_frames=_bound(report.video_frames),
    )


def peaks_of(report: Report) -> RingPeaks:
    """Bound what a holder measured."""
    return RingPeaks(
        latest_ns=_bound(report.latest_ns),
        longest_hole_ns=_bound(report.longest_hole_ns),
        steal_ns=_bound(report.steal_ns),
        vrx_packets=_bound(report.vrx_peak),
        cinst_packets=_bound(report.cinst_peak),
        clock=_bound(report.clock),
        ptp=_bound(report.ptp),
        clock_to_tai_ns=_signed(report.clock_to_tai_ns),
        clock_to_utc_ns=_signed(report.clock_to_utc_ns),
        core=_bound(report.core),
        core_by=_bound(report.core_by),
    )


def jitter_of(report: Report) -> JitterQuantiles:
    """Read the quantiles out of the histogram."""
    counts = [_bound(each) for each in report.jitter]
    p50, p99, p999 = (quantile_ns(counts, share) for share in (0.5, 0.99, 0.999))
    return JitterQuantiles(p50, p99, p999, _highest_ns(counts))


def _highest_ns(counts: Sequence[int]) -> int:
    highest = max((bucket for bucket, count in enumerate(counts) if count), default=-1)
    return bucket_floor_ns(highest + 1) - 1 if highest >= 0 else 0


def _bound(value: int) -> int:
    return min(value, HIGHEST)


def _signed(value: int) -> int:
    """A u64 that is meant as two's complement, no longer than what may be told."""
    signed = value - (1 << 64) if value >> 63 else value
    return max(-HIGHEST, min(signed, HIGHEST))
