"""Where a source's sending thread really is: the kernel's word against what the source told the node."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair
from tests.kernel.source_lab import STOPPED, SourceProcess, open_ring, source, video

from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.cores import choice_text
from spillway_stream.source.core import idle_over
from spillway_stream.video.formats import PictureFormat, pixel_group

HALF = PictureFormat(640, 270, pixel_group("YCbCr-4:2:2", 10))  # a batch each half millisecond: a third of a core
SMALL = PictureFormat(240, 60, pixel_group("YCbCr-4:2:2", 10))
PART_S, STAY_S = 40.0, 3.0


def told(keeper: RingKeeper) -> dict[str, tuple[int, str]]:
    """Core and who chose it, by the ring's key, of those that have told it."""
    peaks = {each.key: each.peaks for each in keeper.statuses()}
    return {key: (each.core - 1, choice_text(each.core_by)) for key, each in peaks.items() if each.core}


def wait_told(keeper: RingKeeper, rings: int) -> dict[str, tuple[int, str]]:
    deadline = time.monotonic() + 20
    while len(found := told(keeper)) < rings:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def threads(sender: SourceProcess) -> list[int]:
    """The sending one first."""
    first = sender.process.pid
    found = (int(each.name) for each in Path(f"/proc/{first}/task").iterdir())
    return sorted(found, key=lambda each: each != first)


def masks(sender: SourceProcess) -> list[set[int]]:
    """Cores of each thread, the sending one's first."""
    return [os.sched_getaffinity(each) for each in threads(sender)]


def test_a_given_core_is_the_sending_thread_s_alone(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Metrics and the ring's keeper stay off it, where they may."""
    core = max(os.sched_getaffinity(0))
    with source(tmp_path, [open_ring(keeper, tmp_path)], video(SMALL, pattern="ColorBars"), cpu=core) as sender:
        assert wait_told(keeper, 1) == {"cam/ring": (core, "Given")}
        sending, *others = masks(sender)
        assert sender.stop() == STOPPED
    assert sending == {core}
    assert others and all(each == os.sched_getaffinity(0) for each in others)


def test_without_choice_the_core_is_the_cpuset_s(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    everything = os.sched_getaffinity(0)
    only = min(everything)
    ring = open_ring(keeper, tmp_path)
    os.sched_setaffinity(0, {only})  # the child's, too, as a cpuset of one core would be
    try:
        with source(tmp_path, [ring], video(SMALL, pattern="ColorBars")) as sender:
            assert wait_told(keeper, 1) == {"cam/ring": (only, "Cpuset")}
            assert sender.stop() == STOPPED
    finally:
        os.sched_setaffinity(0, everything)


def test_a_core_that_is_taken_away_is_given_up(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """As the CPU manager does when another pod gets that core for itself: every thread's mask is set anew."""
    with source(tmp_path, [open_ring(keeper, tmp_path)], video(SMALL, pattern="ColorBars")) as sender:
        (core, _) = wait_told(keeper, 1)["cam/ring"]
        other = min(os.sched_getaffinity(0) - {core})
        for thread in threads(sender):
            os.sched_setaffinity(thread, {other})
        wait_for_cores(keeper, {other}, 20)
        assert masks(sender)[0] == {other}
        assert sender.stop() == STOPPED


def wait_for_cores(keeper: RingKeeper, cores: set[int], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while {core for core, _ in told(keeper).values()} != cores:
        assert time.monotonic() < deadline, told(keeper)
        time.sleep(0.1)


@pytest.mark.long  # nothing else may run: a core that other tests keep busy is rightly no better than a shared one
def test_two_sources_that_start_together_part(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Both want a core and see the same idle ones at the same moment; within seconds each has its own, and keeps it."""
    assert len(os.sched_getaffinity(0)) > 1, "this needs two cores"
    assert min(idle_over(1).values()) > 0.8, "this needs two cores that nothing else runs on"
    rings = [open_ring(keeper, tmp_path), open_ring(keeper, tmp_path, 2, name="cam2")]
    content = video(HALF, "50", pattern="ColorBars")
    with source(tmp_path, rings[:1], content) as one, source(tmp_path, rings[1:], content) as other:
        wait_told(keeper, 2)
        parted = wait_parted(keeper)
        assert [masks(each)[0] for each in (one, other)] == [{parted[key][0]} for key in ("cam/ring", "cam2/ring")]
        assert one.stop() == other.stop() == STOPPED


def wait_parted(keeper: RingKeeper) -> dict[str, tuple[int, str]]:
    """What they tell, once they have told two cores for a while: now and then both take the other core first."""
    end, since, before = time.monotonic() + PART_S, time.monotonic(), told(keeper)
    while time.monotonic() - since < STAY_S:
        assert time.monotonic() < end, before
        time.sleep(0.1)
        now = told(keeper)
        if now != before or len({core for core, _ in now.values()}) < 2:
            since, before = time.monotonic(), now
    return before
