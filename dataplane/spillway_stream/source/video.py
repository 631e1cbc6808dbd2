"""Sends pictures: one frame after the other, each aligned to the epoch, through one ring or two."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass

from spillway_stream._ring import send_picture
from spillway_stream.errors import FrameTooLong
from spillway_stream.ring import Ring
from spillway_stream.source.clock import Clocks, judge
from spillway_stream.source.figures import Figures, VideoFigures
from spillway_stream.source.spec import SourceSpec, VideoSpec
from spillway_stream.source.studio import Plan, picture_of, pictures_of, plan_stream, profile_of, ssrc_of
from spillway_stream.video.timing import NANOSECONDS, frame_at, rtp_timestamp

LOG = logging.getLogger("spillway_stream.source")
AHEAD_NS = 20_000_000  # the first frame has so much time to be drawn
EARLY_FRAMES = 3  # a frame that is due later than that: the clock was set back
STEP_NS = 2 * NANOSECONDS  # nobody is that late: the clock was set


@dataclass(slots=True)
class _Place:
    """Where the stream is. index: of frames sent. number: of the next frame since the epoch."""

    index: int
    number: int
    sequence: int
    bucket: tuple[float, int] = (0.0, 0)


class _Rate:
    """Frames a second, over the last second or more."""

    def __init__(self) -> None:
        self._since_s, self._frames = time.monotonic(), 0

    def count(self, told: VideoFigures) -> None:
        self._frames += 1
        if (passed_s := time.monotonic() - self._since_s) >= 1:
            told.frames_per_second = round(self._frames / passed_s, 2)
            self._since_s, self._frames = time.monotonic(), 0


class VideoSender:
    """Holds the rings as long as it runs. Raises what makes going on senseless: SourceError, RingError."""

    def __init__(self, spec: SourceSpec, video: VideoSpec, rings: tuple[Ring, ...], figures: Figures) -> None:
        self._video, self._rings, self._figures = video, rings, figures
        self._clock_source, self._clocks = spec.clock.source, Clocks()
        self._profile, self._picture = profile_of(spec.pacing), picture_of(video)
        self._pictures = pictures_of(video, self._picture, spec.files)
        self._ssrc = ssrc_of(spec.uid)
        self._plan = self._planned()
        figures.video = VideoFigures(limits=(self._plan.timing.burst_packets, self._plan.timing.buffer_packets()))
        self._told, self._rate = figures.video, _Rate()

    def run(self) -> None:
        """Send until the pictures are at their end."""
        place = _Place(0, self._first_number(), secrets.randbits(32))
        while (found := self._pictures.frame(place.index, place.number)) is not None:
            try:
                self._send(place, *found)
            except FrameTooLong:  # the MTU became smaller: the same frame again in smaller packets
                self._plan = self._planned()
                continue
            place.index += 1
            place.number = self._next_number(place.number + 1)

    def _planned(self) -> Plan:
        facts = [ring.facts for ring in self._rings]
        plan = plan_stream(
            self._video,
            self._picture,
            self._pictures.stride,
            self._profile,
            payload_bytes=min(each.payload_bytes for each in facts),
            most=min(each.batch for each in facts),
        )
        LOG.info("%d packets a frame in batches of %d, sender type %s", len(plan.shapes), plan.batch, self._profile)
        return plan

    def _now_ns(self) -> int:
        """The time by the clock that frames follow, which is judged anew each time."""
        readings = self._clocks.read()
        self._figures.clock = judge(self._clock_source, readings)
        return readings.tai_ns - self._figures.clock.offset_ns

    def _first_number(self) -> int:
        return frame_at(self._now_ns() + AHEAD_NS, self._plan.timing.frame_s)

    def _next_number(self, wanted: int) -> int:
        """The wanted frame if its time is near; else the next one of which all is still to come."""
        timing, now_ns = self._plan.timing, self._now_ns()
        frame_ns = timing.frame_s * NANOSECONDS
        behind_ns = now_ns + self._plan.lead_ns - timing.start_s(wanted) * NANOSECONDS
        if -EARLY_FRAMES * frame_ns < behind_ns < frame_ns:
            return wanted
        number = frame_at(now_ns, timing.frame_s)
        if 0 < behind_ns < STEP_NS:
            self._told.skipped += number - wanted
        else:
            LOG.warning("the clock was set: frame %d follows frame %d", number, wanted - 1)
        return number

    def _send(self, place: _Place, memory: memoryview, offset: int) -> None:
        frame_s = self._plan.timing.frame_s
        stamps = rtp_timestamp(place.number, frame_s), rtp_timestamp(place.number, frame_s, second_field=True)
        state = (place.sequence, *stamps, self._ssrc, self._video.payload_type)
        network, highest, lowest, first_ns, _, bucket, before_ns = send_picture(
            self._rings, self._plan.table, memory, offset, state, self._schedule(place.number), self._plan.batch, place.bucket
        )
        place.bucket = bucket, before_ns
        place.sequence = place.sequence + len(self._plan.shapes) & 0xFFFFFFFF
        self._note(network, highest, lowest, first_ns)

    def _schedule(self, number: int) -> tuple[int, int, float, float, int, int]:
        timing, finding = self._plan.timing, self._figures.clock
        return (
            int(timing.start_s(number) * NANOSECONDS),
            self._plan.lead_ns,
            float(timing.spacing_s * NANOSECONDS),
            float(timing.drain_s * NANOSECONDS),
            finding.offset_ns if finding else 0,
            timing.burst_packets,
        )

    def _note(self, network_peak: float, buffer_peak: int, buffer_low: int, first_ns: int) -> None:
        """Levels of the frame that went, into the figures and into the report that the node reads."""
        told = self._told
        told.frames += 1
        self._rate.count(told)
        told.network_peak = max(told.network_peak, network_peak)
        told.buffer_peak, told.buffer_low = max(told.buffer_peak, buffer_peak), min(told.buffer_low, buffer_low)
        told.start_ns = first_ns
        self._figures.ready = True
        for ring in self._rings:
            ring.note("video_frames", told.frames)
            ring.note("vrx_peak", told.buffer_peak)
            ring.note("cinst_peak", round(told.network_peak))
            self._note_clock(ring)

    def _note_clock(self, ring: Ring) -> None:
        if (found := self._figures.clock) is not None:
            ring.note("clock", found.code)
            ring.note("ptp", found.ptp)
            ring.note("clock_to_tai_ns", found.to_tai_ns)
            ring.note("clock_to_utc_ns", found.to_utc_ns)
