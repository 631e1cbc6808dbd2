"""The video source's own decisions: which frame comes next, what a stream is planned as, what it tells. Ring and clock are fakes.

What they cannot prove: that anything leaves, and when. tests/kernel/test_video_*.py do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spillway_stream.clocks import ClockCode
from spillway_stream.errors import FrameTooLong
from spillway_stream.pages import Report
from spillway_stream.source import video as module
from spillway_stream.source.clock import ClockFinding, Readings, judge
from spillway_stream.source.faults import InvalidIntent, NotSupported
from spillway_stream.source.figures import Figures, VideoFigures, exposition
from spillway_stream.source.spec import ClockSpec, PacingSpec, SourceSpec, VideoSpec
from spillway_stream.source.studio import picture_of, pictures_of, plan_stream, profile_of, ssrc_of
from spillway_stream.source.video import VideoSender
from spillway_stream.video.timing import Profile, rtp_timestamp

UTC_NS = 1_800_000_000 * 10**9
TAI_NS = UTC_NS + 37 * 10**9
HD = VideoSpec(1920, 1080, Fraction(50), pattern="ColorBars")
FRAME_NS = 20_000_000


@dataclass
class FakeRing:
    """facts and note() of a ring; nothing is sent."""

    payload_bytes: int = 1472
    batch: int = 64
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(payload_bytes=self.payload_bytes, batch=self.batch)

    def note(self, counter: str, value: int) -> None:
        self.notes[counter] = value


@dataclass
class Studio:
    """A sender of HD bars whose time stands still but for what a frame takes. takes_ns: by the number of the frame sent."""

    monkeypatch: pytest.MonkeyPatch
    takes_ns: dict[int, int] = field(default_factory=dict)
    frames: int = 5
    now_ns: int = TAI_NS
    ring: FakeRing = field(default_factory=FakeRing)
    figures: Figures = field(default_factory=lambda: Figures("studio/cam"))
    sent: list[SimpleNamespace] = field(default_factory=list)
    refuse: int = 0

    def run(self, **fields: Any) -> list[int]:
        """The numbers of the frames that went, counted from the first."""
        self.monkeypatch.setattr(module, "send_picture", self.send)
        self.monkeypatch.setattr(module, "Clocks", lambda: SimpleNamespace(read=self.read))
        sender = VideoSender(SourceSpec("studio/cam", HD, ("/r",), **fields), HD, (self.ring,), self.figures)  # type: ignore[arg-type]
        sender._pictures = SimpleNamespace(stride=0, frame=self.picture)  # type: ignore[assignment]
        sender.run()
        return [each.number - self.sent[0].number for each in self.sent]

    def read(self) -> Readings:
        return Readings(self.now_ns, self.now_ns - 37 * 10**9)

    def picture(self, index: int, number: int) -> tuple[memoryview, int] | None:
        self.number = number
        return (memoryview(b""), 0) if index < self.frames else None

    def send(self, rings, table, memory, offset, state, schedule, batch, bucket):
        if self.refuse:
            self.refuse -= 1
            raise FrameTooLong("too long", 0, 1450, 900)
        self.sent.append(
            SimpleNamespace(number=self.number, state=state, schedule=schedule, batch=batch, packets=len(table) // 40)
        )
        self.now_ns = max(self.now_ns, schedule[0]) + self.takes_ns.get(len(self.sent), FRAME_NS - 1_000_000)
        return (7.5, 100, -3, 1000, 2000, 1.0, 99)


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(monkeypatch)


def test_frames_follow_each_other(studio: Studio) -> None:
    assert studio.run() == [0, 1, 2, 3, 4]
    first, second = studio.sent[:2]
    assert first.schedule[0] > TAI_NS, "the first frame is still to come"
    assert second.schedule[0] - first.schedule[0] == FRAME_NS
    assert second.state[0] == (first.state[0] + first.packets) % 2**32
    assert first.state[1] == rtp_timestamp(first.number, Fraction(1, 50))
    assert len({each.state[3] for each in studio.sent}) == 1, "one SSRC"
    clock = {"clock": ClockCode.SYSTEM_CLOCK, "ptp": 0, "clock_to_tai_ns": 0, "clock_to_utc_ns": 37 * 10**9}
    assert studio.ring.notes == {"video_frames": 5, "vrx_peak": 100, "cinst_peak": 8, **clock}
    assert studio.figures.ready


def test_a_sender_that_is_late_by_less_than_a_frame_leaves_none_out(studio: Studio) -> None:
    studio.takes_ns = {2: 2 * FRAME_NS - 2_000_000}
    assert studio.run() == [0, 1, 2, 3, 4]
    assert studio.figures.video is not None and studio.figures.video.skipped == 0


def test_frames_whose_time_is_over_are_skipped_and_counted(studio: Studio) -> None:
    """Held up for a tenth of a second: five frames are left out, and the next one is on time."""
    studio.takes_ns = {2: 100_000_000}
    assert studio.run() == [0, 1, 7, 8, 9]
    assert studio.figures.video is not None and studio.figures.video.skipped == 5


@pytest.mark.parametrize(
    "step_ns",
    [
        pytest.param(37 * 10**9, id="forward"),
        pytest.param(-37 * 10**9, id="back"),
        pytest.param(5 * 3600 * 10**9, id="hours forward"),
        pytest.param(-5 * 3600 * 10**9, id="hours back"),
    ],
)
def test_a_clock_that_was_set_loses_no_frame(studio: Studio, step_ns: int) -> None:
    """Somebody told the kernel the offset of TAI while the stream ran: frames are numbered anew, none counts as skipped."""
    studio.takes_ns = {2: step_ns}
    first, second, third, *_ = studio.run()
    assert (first, second) == (0, 1)
    assert third - second == pytest.approx(step_ns // FRAME_NS, abs=3)
    assert studio.figures.video is not None and studio.figures.video.skipped == 0


def test_a_leap_second_is_none_in_tai(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC counts a second twice between the second and the third frame; frames go on, and the clock is believed throughout."""
    codes = []

    def read() -> Readings:
        leapt = len(studio.sent) >= 2
        readings = Readings(studio.now_ns, studio.now_ns - (38 if leapt else 37) * 10**9)
        codes.append(judge("System", readings).code)
        return readings

    monkeypatch.setattr(studio, "read", read)
    assert studio.run() == [0, 1, 2, 3, 4]
    assert set(codes) == {ClockCode.SYSTEM_CLOCK}


def test_a_smaller_mtu_is_planned_for_and_the_frame_sent_again(studio: Studio) -> None:
    studio.frames, studio.refuse = 1, 1
    original, ring = studio.send, studio.ring

    def shrink(*arguments: Any) -> Any:
        ring.payload_bytes = 900 if studio.refuse else ring.payload_bytes
        return original(*arguments)

    studio.send = shrink  # type: ignore[method-assign]
    assert studio.run() == [0]
    assert studio.sent[0].packets > 5_184_000 / 900


def test_a_ptp_clock_shifts_the_schedule(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "judge", lambda source, readings: ClockFinding(ClockCode.PTP_CLOCK, 123))
    studio.run(clock=ClockSpec("PTP"))
    assert {each.schedule[4] for each in studio.sent} == {123}


# ---- plans ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "most", "batch", "lead_ns"),
    [
        pytest.param(HD, 64, 8, 500_000, id="1080p50: half of C_MAX 16"),
        pytest.param(HD, 4, 4, 500_000, id="the ring hands over less"),
        pytest.param(
            replace(HD, width_pixels=320, height_pixels=240), 64, 3, 500_000, id="240p50: what lies within half a millisecond"
        ),
        pytest.param(replace(HD, width_pixels=4, height_pixels=2, interlaced=True), 64, 1, 500_000, id="a packet a field"),
        pytest.param(replace(HD, width_pixels=3840, height_pixels=2160), 64, 16, 500_000, id="2160p50: half of C_MAX 33"),
    ],
)
def test_plans_of_wide_senders(spec: VideoSpec, most: int, batch: int, lead_ns: int) -> None:
    plan = plan_stream(spec, picture_of(spec), 0, Profile.WIDE, payload_bytes=1472, most=most)
    assert (plan.batch, plan.lead_ns) == (batch, lead_ns)
    assert max(shape.octets for shape in plan.shapes) <= 1452, "a standard datagram, also where the MTU has room for more"


def test_an_mtu_without_room_for_a_pgroup() -> None:
    with pytest.raises(NotSupported, match="MTU is too small for video"):
        plan_stream(HD, picture_of(HD), 0, Profile.WIDE, payload_bytes=20, most=64)


@pytest.mark.parametrize(
    ("pacing", "error"),
    [
        pytest.param(PacingSpec(profile=Profile.NARROW), NotSupported, id="narrow"),
        pytest.param(PacingSpec(profile=Profile.NARROW_LINEAR), NotSupported, id="narrow linear"),
        pytest.param(PacingSpec(packets_per_second=1000), InvalidIntent, id="a rate"),
        pytest.param(PacingSpec(bits_per_second=1000), InvalidIntent, id="a bit rate"),
    ],
)
def test_paces_that_cannot_be_had(pacing: PacingSpec, error: type[Exception]) -> None:
    with pytest.raises(error):
        profile_of(pacing)
    assert profile_of(PacingSpec()) is profile_of(PacingSpec(profile=Profile.WIDE)) is Profile.WIDE


def test_pictures_that_cannot_be_made() -> None:
    with pytest.raises(InvalidIntent, match=r"source\.video\.widthPixels: 1921 is no multiple of 2"):
        picture_of(replace(HD, width_pixels=1921))
    tiny = replace(HD, width_pixels=32, pattern="FrameCounter")
    with pytest.raises(InvalidIntent, match="32x1080 has no room for eight digits"):
        pictures_of(tiny, picture_of(tiny), Path("/media"))


def test_one_ssrc_a_stream() -> None:
    assert ssrc_of("6c1e") == ssrc_of("6c1e") != ssrc_of("6c1f")
    assert ssrc_of("") != ssrc_of("")


# ---- figures --------------------------------------------------------------------------------------------------------------


def test_the_exposition_is_prometheus_text() -> None:
    """HELP and TYPE once for each metric, also with two legs; figures as they are."""
    video = VideoFigures(frames=3, skipped=1, network_peak=7.5, buffer_peak=9, buffer_low=-2, limits=(16, 720))
    reports = [Report(packets=10, refused=1), Report(packets=11)]
    finding = ClockFinding(ClockCode.NO_TAI_OFFSET)
    lines = exposition(Figures("studio/cam", finding, video, rounds=2, reports=reports)).splitlines()
    for mark in ("HELP", "TYPE"):
        named = [line.split()[2] for line in lines if line.startswith(f"# {mark}")]
        assert len(named) == len(set(named)) > 10
    first = lines.index('spillway_source_packets_total{stream="studio/cam",leg="0"} 10')
    assert lines[first + 1] == 'spillway_source_packets_total{stream="studio/cam",leg="1"} 11'
    assert 'spillway_source_cinst_peak_packets{stream="studio/cam"} 7.5' in lines
    assert 'spillway_source_vrx_underflow_packets{stream="studio/cam"} 2' in lines
    assert 'spillway_source_clock_synchronized{stream="studio/cam"} 0' in lines
    assert 'spillway_source_rounds_total{stream="studio/cam"} 2' in lines
