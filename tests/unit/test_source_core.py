"""Which core a source takes, and when it leaves it: tables, and many sources on one machine that only adds up shares of time.

What that machine cannot prove: that the kernel's figures mean what is read in them. tests/kernel/test_source_core.py does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.cores import CONTENDED, ROOM_TO_SPARE, CoreFacts, Patience, better_core, choice_text, choose_core
from spillway_stream.source.core import FIRST_PAUSE_S, LONGEST_PAUSE_S, LOOK_S, LOOKS, SAMPLE_S, read_ticks, surroundings

IDLE = dict.fromkeys(range(8), 1.0)


def facts(allowed: set[int], idle: dict[int, float] | None = None, **around: Any) -> CoreFacts:
    """idle None: all of them. near, irq: as sets; turn."""
    near, irq = (frozenset(around.get(each, ())) for each in ("near", "irq"))
    return CoreFacts(frozenset(allowed), IDLE if idle is None else idle, near, irq, around.get("turn", 0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(facts({3}), 3, id="no choice"),
        pytest.param(facts({0}, {0: 0.0}), 0, id="no choice, and busy"),
        pytest.param(facts({0, 1}), 1, id="not core 0"),
        pytest.param(facts({0, 1}, {0: 1.0, 1: 0.3}), 0, id="core 0 sooner than a busy one"),
        pytest.param(facts({0, 1}, {0: 0.2, 1: 0.3}), 1, id="all are busy: the least"),
        pytest.param(facts({0, 1}, {0: 0.3, 1: 0.2}), 0, id="all are busy: the least, whichever it is"),
        pytest.param(facts({1, 5}, near={4, 5}), 5, id="near the card"),
        pytest.param(facts({1, 5}, {**IDLE, 5: 0.5}, near={4, 5}), 1, id="far sooner than busy"),
        pytest.param(facts({1, 2}, irq={1}), 2, id="not where the card interrupts"),
        pytest.param(facts({1, 2}, irq={1, 2}, turn=1), 2, id="all are interrupted: any"),
        pytest.param(facts({1, 4, 5}, near={4, 5}, irq={4, 5}), 4, id="near and interrupted sooner than far"),
        pytest.param(facts({1, 2, 3}, turn=4), 2, id="equal ones by turn"),
        pytest.param(facts({1, 2}, {1: 0.92, 2: 0.99}, turn=0), 1, id="idle enough is idle enough"),
        pytest.param(facts({1, 2}, {}), 1, id="nothing known"),
    ],
)
def test_a_core_is_chosen(given: CoreFacts, expected: int) -> None:
    assert choose_core(given) == expected


@pytest.mark.parametrize(
    ("runs", "given", "expected"),
    [
        pytest.param(0.5, facts({0, 1}), 0, id="the other is idle"),
        pytest.param(0.5, facts({0, 1}, {0: 0.55}), None, id="the other has little more"),
        pytest.param(0.5, facts({1}), None, id="there is no other"),
        pytest.param(0.3, facts({0, 1, 2}, {0: 0.45, 2: 0.5}), 2, id="the better of two"),
    ],
)
def test_a_move_has_to_be_worth_it(runs: float, given: CoreFacts, expected: int | None) -> None:
    assert better_core(1, runs, given) == expected


def test_one_look_is_no_reason_to_move() -> None:
    patience = Patience(3)
    for waited in (0.5, 0.5, 0.0, 0.5, 0.5):
        patience = patience.after(waited, 1e9)
        assert not patience.is_over
    assert patience.after(CONTENDED + 0.01, 1e9).is_over


def test_after_a_move_the_next_one_waits_twice_as_long() -> None:
    patience, pauses = Patience(1), []
    for _ in range(9):
        patience = patience.moved(1, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        pauses.append(patience.pause_s)
        assert not patience.after(1.0, patience.pause_s - 0.1).is_over
        assert patience.after(1.0, patience.pause_s).is_over
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


@dataclass
class Mover:
    """A source that spins: it wants all of a core. at_s: when it does something next. chosen: where it goes then."""

    core: int
    patience: Patience
    at_s: float
    moved_s: float = 0.0
    moves: int = 0
    chosen: int | None = None


def live(cores: int, sources: int, dice: random.Random, seconds: float) -> list[Mover]:
    """Sources that began on one core at one moment, each with looks of its own phase.

    Between a choice and its move lies the time of a sample: two may choose the same core.
    """
    movers = [Mover(cores - 1, Patience(dice.randint(*LOOKS)), dice.random() * LOOK_S) for _ in range(sources)]
    while (now := min(movers, key=lambda each: each.at_s)).at_s < seconds:
        now.chosen = move(now, dice) if now.chosen is not None else look(now, movers, cores, dice)
        now.at_s += SAMPLE_S if now.chosen is not None else LOOK_S
    return movers


def look(now: Mover, movers: list[Mover], cores: int, dice: random.Random) -> int | None:
    share = 1 / sum(each.core == now.core for each in movers)
    now.patience = now.patience.after(1 - share, now.at_s - now.moved_s)
    if not now.patience.is_over:
        return None
    idle = {core: float(all(each.core != core for each in movers)) for core in range(cores)}
    return better_core(now.core, share, CoreFacts(frozenset(range(cores)), idle, turn=dice.getrandbits(16)))


def move(now: Mover, dice: random.Random) -> None:
    assert now.chosen is not None
    now.core, now.moved_s, now.moves = now.chosen, now.at_s, now.moves + 1
    now.patience = now.patience.moved(dice.randint(*LOOKS), FIRST_PAUSE_S, LONGEST_PAUSE_S)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.integers(0, 2**32))
def test_as_many_sources_as_cores_part(cores: int, seed: int) -> None:
    """Even those that take the same core at the same moment: their next draws part them."""
    movers = live(cores, cores, random.Random(seed), seconds=1800)
    assert len({each.core for each in movers}) == cores
    assert sum(each.moves for each in movers) <= 4 * cores


def test_most_sources_part_at_once() -> None:
    lives = [live(2, 2, random.Random(seed), seconds=8) for seed in range(300)]
    assert sum(len({each.core for each in movers}) == 2 for movers in lives) > 0.8 * len(lives)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 4), st.integers(0, 2**32))
def test_more_sources_than_cores_do_not_wander(cores: int, seed: int) -> None:
    """Sharing that no move can end makes nobody move to and fro: after the first minutes all stay where they are."""
    movers = live(cores, cores + 2, random.Random(seed), seconds=1200)
    assert max(each.moved_s for each in movers) < 600
    assert sum(each.moves for each in movers) <= 4 * cores


def test_room_to_spare_is_more_than_what_two_looks_differ_by() -> None:
    """A sample is told in ticks of 10 ms."""
    assert ROOM_TO_SPARE > 2 * 0.01 / SAMPLE_S


def test_proc_stat_is_read_by_core() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 10 1 5 80 2 1 1 0 7 0\ncpu12 1 0 0 99 0 0 0 0 0 0\nintr 5 1 2\nctxt 3\n"
    assert read_ticks(text) == {0: (82, 100), 12: (99, 100)}


def test_what_the_node_tells_is_advice() -> None:
    told = surroundings({"SPILLWAY_NUMA_CPUS": "2,3", "SPILLWAY_INTERRUPT_CPUS": "two"})
    assert (told.near, told.interrupts) == (frozenset({2, 3}), frozenset())


@pytest.mark.parametrize(("code", "text"), [(0, ""), (1, "Given"), (2, "Chosen"), (3, "Cpuset"), (4, ""), (2**64 - 1, "")])
def test_who_chose_it_is_said(code: int, text: str) -> None:
    assert choice_text(code) == text
