"""Which core a built-in source runs on: the decision. Pure; source/core.py looks and acts.

A paced source spins: it wants a core that nobody else uses, near the card, away from the card's interrupts and from core 0, where
much of the kernel's own work is done. Near and away are wishes: a core that is busy is worse than one that is far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

IDLE_ENOUGH = 0.9  # a core as idle as that is as good as any other such
ROOM_TO_SPARE = 0.1  # a core is worth a move if the thread gets that much more of it
CONTENDED = 0.03  # of the time ready to run and not running: somebody shares the core


class CoreChoice(IntEnum):
    """The report's counter `core_by`. UNTOLD: no built-in source has the ring. CPUSET: the pod may use no other core."""

    UNTOLD = 0
    GIVEN = 1
    CHOSEN = 2
    CPUSET = 3


WORDS = {CoreChoice.GIVEN: "Given", CoreChoice.CHOSEN: "Chosen", CoreChoice.CPUSET: "Cpuset"}


def choice_text(code: int) -> str:
    """As a status says it; empty for what means nothing: a report's writer is not to be trusted."""
    return WORDS.get(CoreChoice(code), "") if code in set(CoreChoice) else ""


@dataclass(frozen=True, slots=True)
class CoreFacts:
    """allowed: at least one core. idle: the share of the last moment that each was idle, 0..1; 0 for one that is not in it.

    near: of the card's NUMA node. interrupts: that take the card's. Both may be empty: not known. turn: any number; who else
    chooses at the same moment has another one.
    """

    allowed: frozenset[int]
    idle: Mapping[int, float] = field(default_factory=dict)
    near: frozenset[int] = frozenset()
    interrupts: frozenset[int] = frozenset()
    turn: int = 0


def choose_core(facts: CoreFacts) -> int:
    """The best core. Of idle ones the nearest to every wish, of those that are equal to that by turn; else the most idle one."""
    idle = [core for core in sorted(facts.allowed) if facts.idle.get(core, 0) >= IDLE_ENOUGH]
    if not idle:
        return max(sorted(facts.allowed), key=lambda core: facts.idle.get(core, 0))
    least = min(_misses(core, facts) for core in idle)
    equal = [core for core in idle if _misses(core, facts) == least]
    return equal[facts.turn % len(equal)]


def _misses(core: int, facts: CoreFacts) -> tuple[bool, bool]:
    """What is wrong with a core, the worse first."""
    far = bool(facts.near) and core not in facts.near
    return far, core in facts.interrupts or core == 0


def better_core(core: int, runs: float, facts: CoreFacts) -> int | None:
    """Where a thread that shares its core should go; None: it is nowhere better off.

    runs: the share of a core that it gets now. It would get at least as much of another as that one is idle.
    """
    others = facts.allowed - {core}
    if not others:
        return None
    found = choose_core(replace(facts, allowed=others))
    return found if facts.idle.get(found, 0) >= runs + ROOM_TO_SPARE else None


@dataclass(frozen=True, slots=True)
class Patience:
    """Keeps a source from moving to and fro. looks: in a row that have to find the core shared. pause_s: none counts so long.

    Two that share a core are told apart by their draws, also two that took it together and whose pauses end together. A move
    makes the next pause twice as long.
    """

    looks: int
    pause_s: float = 0.0
    shared: int = 0

    def after(self, waited: float, since_move_s: float) -> Patience:
        """After one look. waited: the share of the time that the thread was ready to run and did not."""
        counts = waited > CONTENDED and since_move_s >= self.pause_s
        return replace(self, shared=self.shared + 1 if counts else 0)

    @property
    def is_over(self) -> bool:
        """Whether it is time to look for another core."""
        return self.shared >= self.looks

    def moved(self, looks: int, first_s: float, longest_s: float) -> Patience:
        """After a move."""
        return Patience(looks, min(longest_s, max(first_s, 2 * self.pause_s)))
