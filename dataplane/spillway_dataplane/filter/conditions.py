"""One test of a rule as C: what it loads, what must hold, and what it costs the verifier.

Every value is loaded anew from the packet in `scratch` (bpf/packet.h says why) into 64-bit locals: the compiler then needs no
shifts to cut results back to 32 bits, and unsigned differences compare ranges with one jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """loads: C name and expression of each local. holds: a C expression over them. jumps, instructions: upper estimates."""

    loads: tuple[tuple[str, str], ...]
    holds: str
    jumps: int
    instructions: int


def equals(field: str, value: int | str) -> Condition:
    """`packet->field` is exactly this value."""
    return Condition((("value", f"packet->{field}"),), f"value == {value}", jumps=1, instructions=2)


def within(field: str, ranges: Iterable[tuple[int, int]]) -> Condition:
    """`packet->field` lies in one of the ranges, both ends included. Overlapping and adjacent ranges are merged."""
    merged = merge_ranges(ranges)
    tests = " || ".join(_in_range(first, last) for first, last in merged)
    return Condition((("value", f"packet->{field}"),), tests, jumps=len(merged), instructions=1 + 3 * len(merged))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the fewest ascending ranges that hold the same numbers."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _in_range(first: int, last: int) -> str:
    return f"value == {first}" if first == last else f"value - {first} <= {last - first}"


def unless(condition: Condition, label: str) -> str:
    """Return C that goes to a label unless the condition holds."""
    return _branch(condition, f"!({condition.holds})", label)


def when(condition: Condition, label: str) -> str:
    """Return C that goes to a label if the condition holds."""
    return _branch(condition, condition.holds, label)


def _branch(condition: Condition, test: str, label: str) -> str:
    loads = ", ".join(f"{name} = {source}" for name, source in condition.loads)
    return f"\t{{\n\t\tu64 {loads};\n\t\tif ({test})\n\t\t\tgoto {label};\n\t}}\n"
