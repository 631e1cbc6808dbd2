"""The laws of the work queue. No waiting: the loop's clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.jumping_loop import beside, play

from spillway_operator.workqueue import Backoff, WorkQueue


class Work:
    """Notes when each run began, and how many ran side by side. The first `failures` runs fail."""

    def __init__(self, takes_s: float = 1.0, failures: int = 0) -> None:
        self.takes_s, self.failures = takes_s, failures
        self.starts: list[tuple[str, float]] = []
        self.running: set[str] = set()
        self.most = 0

    async def __call__(self, key: str) -> None:
        self.starts.append((key, asyncio.get_running_loop().time()))
        assert key not in self.running, "two runs of one key at a time"
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        await asyncio.sleep(self.takes_s)
        self.running.remove(key)
        if len(self.starts) <= self.failures:
            raise OSError("refused")

    def times(self, key: str) -> list[float]:
        return [at for name, at in self.starts if name == key]


def test_bells_during_a_run_give_exactly_one_more():
    """A hundred bells while the work runs: one run more, after the last of them."""
    work = Work()

    async def script():
        queue = WorkQueue("t", work, concurrency=16)
        async with beside(queue.run()):
            queue.ring("a")
            await asyncio.sleep(0.5)
            for _ in range(100):
                queue.ring("a")
            await asyncio.sleep(10)
            assert queue.depth == 0

    play(script())
    assert work.times("a") == [0.0, 1.0]


def test_no_more_run_at_a_time_than_allowed_and_all_of_that_is_used():
    work = Work()

    async def script():
        queue = WorkQueue("t", work, concurrency=16)
        async with beside(queue.run()):
            for n in range(100):
                queue.ring(f"key-{n}")
            await asyncio.sleep(60)

    play(script())
    assert work.most == 16
    assert work.starts[-1][1] == 6.0  # 100 runs of a second, 16 at a time


def test_failures_rest_longer_each_time_and_a_bell_does_not_wake_them():
    work = Work(takes_s=0.0, failures=3)

    async def script():
        queue = WorkQueue("t", work, concurrency=2, backoff=Backoff(first_s=1.0, most_s=60.0))
        async with beside(queue.run()):
            for _ in range(100):
                queue.ring("a")
                await asyncio.sleep(0.1)
                if len(work.starts) == 3:
                    queue.ring("b")

    play(script())
    gaps = [later - earlier for earlier, later in itertools.pairwise(work.times("a")[:4])]
    assert all(low <= gap <= 2 * low + 0.1 for low, gap in zip([0.5, 1.0, 2.0], gaps, strict=True))
    assert work.times("b")[0] - work.times("a")[2] <= 0.1 + 1e-9


def test_success_is_told_and_forgets_failures():
    work, told = Work(takes_s=0.0, failures=2), []

    async def script():
        queue = WorkQueue("t", work, backoff=Backoff(first_s=0.1), done=lambda name, good: told.append((name, good)))
        async with beside(queue.run()):
            queue.ring("a")
            await asyncio.sleep(60)
            work.failures = len(work.starts) + 1
            queue.ring("a")
            await asyncio.sleep(0.11)

    play(script())
    assert told == [("t", False), ("t", False), ("t", True), ("t", False), ("t", True)]


@pytest.mark.parametrize(
    ("failures", "full_s"),
    [pytest.param(1, 0.2, id="first"), pytest.param(4, 1.6, id="fourth"), pytest.param(99, 8.0, id="capped")],
)
def test_half_of_a_rest_is_chance(failures, full_s):
    rests = [Backoff().delay_s(failures) for _ in range(200)]
    assert full_s / 2 <= min(rests) < max(rests) <= full_s


def test_the_earlier_of_two_bells_wins():
    work = Work(takes_s=0.0)

    async def script():
        queue = WorkQueue("t", work)
        async with beside(queue.run()):
            for after_s in (30, 2, 30):
                queue.ring("a", after_s=after_s)
            await asyncio.sleep(60)

    play(script())
    assert work.times("a") == [2.0]


def test_stopping_finishes_what_is_under_way():
    work = Work(takes_s=5.0)

    async def script():
        queue = WorkQueue("t", work)
        async with beside(queue.run()):
            queue.ring("a")
            queue.ring("b")
            await asyncio.sleep(1.0)

    play(script())
    assert work.times("a") == [0.0]
    assert work.running == set()
    assert work.times("b") == []


@given(
    bells=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5), st.floats(0, 3)), max_size=40),
    interval_s=st.sampled_from([0.0, 1.0]),
)
def test_every_bell_is_answered_after_it_rang(bells, interval_s):
    """Whatever the order of bells: a run of that key begins after each, and runs of one key keep their distance."""
    work, rung = Work(takes_s=0.3), []

    async def script():
        queue = WorkQueue("t", work, concurrency=2, min_interval_s=interval_s)
        async with beside(queue.run()):
            for key, pause_s, after_s in bells:
                await asyncio.sleep(pause_s)
                rung.append((key, asyncio.get_running_loop().time()))
                queue.ring(key, after_s=after_s)
            await asyncio.sleep(100)

    play(script())
    for key, at in rung:
        assert any(start >= at for start in work.times(key))
    for key in "abc":
        assert all(later - earlier >= max(0.3, interval_s) - 1e-9 for earlier, later in itertools.pairwise(work.times(key)))
