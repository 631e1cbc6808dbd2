"""How a policy is cut into programs that the verifier and the branches of BPF can carry.

A branch reaches 32,767 instructions, and the verifier follows one straight path through at most 8,192 open branches. Rules are
therefore put, in their order, into chunks that stay well below both; each chunk ends in a tail call to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import Rule, RuleAction
from spillway_dataplane.filter.addresses import within_prefixes
from spillway_dataplane.filter.conditions import Condition
from spillway_dataplane.filter.program import FilterUnit, ProgramSpec
from spillway_dataplane.filter.rules import conditions, on_queues

MAX_CHUNKS = 33  # the first program and MAX_TAIL_CALL_CNT more would be 34
MAX_JUMPS = 6_500
MAX_INSTRUCTIONS = 24_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Upper estimates of what stands in one program."""

    jumps: int = 0
    instructions: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.jumps + other.jumps, self.instructions + other.instructions)

    def fits(self) -> bool:
        """One program can carry this much."""
        return self.jumps <= MAX_JUMPS and self.instructions <= MAX_INSTRUCTIONS


PROGRAM_COST = Cost(300, 1_500)  # parsing, and the way to a drop
FILTER_COST = Cost(120, 600)  # its mode, and its way to a drop that Monitor only counts


@dataclass(frozen=True, slots=True)
class Part:
    """Rules `first` to before `end` of filter `number`, in one chunk."""

    number: int
    unit: FilterUnit
    first: int
    end: int

    @property
    def is_first(self) -> bool:
        """The filter begins here."""
        return self.first == 0

    @property
    def is_last(self) -> bool:
        """The filter ends here."""
        return self.end == len(self.unit.content.rules)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a policy becomes: programs and, at most, instructions of all of them."""

    programs: int
    instructions: int


def plan_chunks(spec: ProgramSpec) -> tuple[tuple[Part, ...], ...]:
    """Return the parts of each program, in order. Raises InvalidIntent if the chain of tail calls would be too long."""
    chunks: list[list[Part]] = [[]]
    used = PROGRAM_COST
    for part, cost in _rules_of(spec):
        if not (used + cost).fits():
            chunks.append([])
            used = PROGRAM_COST
        used += cost + (FILTER_COST if _opens(chunks[-1], part) else Cost())
        _append(chunks[-1], part)
    if len(chunks) > MAX_CHUNKS:
        raise InvalidIntent((Problem("filters", len(chunks), f"more than {MAX_CHUNKS} programs of {MAX_JUMPS} comparisons"),))
    return tuple(tuple(chunk) for chunk in chunks)


def estimate(spec: ProgramSpec) -> Estimate:
    """Return what `spec` becomes, without compiling it."""
    if not spec.filters:
        return Estimate(1, 2)
    chunks = plan_chunks(spec)
    total = sum((cost for _, cost in _rules_of(spec)), Cost())
    fixed = PROGRAM_COST.instructions * len(chunks) + FILTER_COST.instructions * sum(len(chunk) for chunk in chunks)
    return Estimate(len(chunks), total.instructions + fixed)


def _rules_of(spec: ProgramSpec) -> Iterator[tuple[Part, Cost]]:
    for number, unit in enumerate(spec.filters):
        for index, rule in enumerate(unit.content.rules):
            own = _cost_of_rule(rule) + (_cost_of_entry(unit) if index == 0 else Cost())
            yield Part(number, unit, index, index + 1), own


def _opens(chunk: list[Part], part: Part) -> bool:
    return not chunk or chunk[-1].number != part.number


def _append(chunk: list[Part], part: Part) -> None:
    if _opens(chunk, part):
        chunk.append(part)
    else:
        before = chunk.pop()
        chunk.append(Part(part.number, part.unit, before.first, part.end))


def _cost_of_rule(rule: Rule) -> Cost:
    matching = sum((_cost(condition) for condition in conditions(rule.match)), Cost())
    return matching + (Cost(1, 16) if rule.action is RuleAction.COUNT else Cost(0, 4))


def _cost_of_entry(unit: FilterUnit) -> Cost:
    queues = _cost(on_queues(unit.content.rx_queue_ids)) if unit.content.rx_queue_ids else Cost()
    return queues + (_cost(within_prefixes("source", unit.content.exempt)) if unit.content.exempt else Cost())


def _cost(condition: Condition) -> Cost:
    return Cost(condition.jumps, condition.instructions)
