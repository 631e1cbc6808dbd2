"""Tests of a rule as BPF assembly, which the generated C carries in `UNLESS(...)` (bpf/unless.h).

A list of 16 prefixes is 16 branches that LLVM would weigh against each other for milliseconds, and nothing to gain: written out,
the largest policies compile many times faster, and what they cost the verifier is known to the instruction.

Each test falls through when it holds and goes to `no` when it does not. It has r0 to r3 (any
four registers), and loads what it needs from the packet in `scratch`, always anew: bpf/packet.h says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

REGISTER, OPERAND = re.compile(r"\b(r[0-3])\b"), r"%[\1]"
NO, YES = "%l[NO]", ".Lyes%s_%="  # the C label that the statement names; the end of the test
ALWAYS = f"goto {YES}"
CONTRARY = {"==": "!=", "<=": ">"}
FIELDS = {  # of struct packet, bpf/packet.h: offset and C type; the generated C asserts the offsets
    "source": (0, "u64"),
    "destination": (16, "u64"),
    "destination4": (32, "u32"),
    "source4": (36, "u32"),
    "family": (40, "u32"),
    "fragment": (44, "u32"),
    "frame_bytes": (48, "u32"),
    "ip_bytes": (52, "u32"),
    "protocol": (56, "u32"),
    "transport": (60, "u32"),
    "destination_port": (64, "u16"),
    "source_port": (66, "u16"),
    "tcp_flags": (68, "u32"),
    "icmp_type": (72, "u32"),
    "left": (96, "u32"),
    "watched": (100, "u32"),
    "queue": (280, "u32"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One test. lines: instructions and labels, one each; a label ends in a colon and may hold `%s` for the test's own number."""

    lines: tuple[str, ...]

    @property
    def jumps(self) -> int:
        """How many branches the verifier has to follow both ways."""
        return sum(line.startswith("if ") for line in self.lines)

    @property
    def instructions(self) -> int:
        """How many instructions it takes: a 64-bit constant counts twice."""
        return sum(0 if line.endswith(":") else 1 + line.endswith(" ll") for line in self.lines)


def load(register: str, field: str, *, half: int = 0) -> str:
    """Load a field of the packet. half: of an IPv6 address, the high one (0) or the low one (1)."""
    offset, size = FIELDS[field]
    return f"{register} = *({size} *)(%[packet] + {offset + 8 * half})"


def equals(field: str, value: int) -> Condition:
    """`field` is exactly this value."""
    return Condition((load("r0", field), f"if r0 != {value} goto {NO}"))


def at_least(field: str, value: int) -> Condition:
    """`field` is this value or more."""
    return Condition((load("r0", field), f"if r0 < {value} goto {NO}"))


def masked(field: str, mask: int, value: int) -> Condition:
    """`field & mask` is exactly this value."""
    return Condition((load("r0", field), f"r0 &= {mask}", f"if r0 != {value} goto {NO}"))


def within(field: str, ranges: Iterable[tuple[int, int]]) -> Condition:
    """`field` lies in one of the ranges, both ends included. Overlapping and adjacent ranges are merged."""
    tests = [line for first, last in merge_ranges(ranges) for line in _in_range(first, last)]
    return Condition((load("r0", field), *any_of(tests), f"{YES}:"))


def any_of(tests: Sequence[str]) -> tuple[str, ...]:
    """One of the tests holds: each goes to YES, which follows. The last one is turned round, so that what holds falls through."""
    *others, last = tests
    if last == ALWAYS:
        return tuple(others)
    return (*others, _unless(last)) if last.startswith("if ") else (*tests, f"goto {NO}")


def _unless(test: str) -> str:
    """Return the jump to `no` that is made when the jump to YES is not."""
    _, left, relation, right, _, _ = test.split()
    return f"if {left} {CONTRARY[relation]} {right} goto {NO}"


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the fewest ascending ranges that hold the same numbers."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _in_range(first: int, last: int) -> tuple[str, ...]:
    if first == last:
        return (f"if r0 == {first} goto {YES}",)
    if first == 0:
        return (f"if r0 <= {last} goto {YES}",)
    return ("r1 = r0", f"r1 += {-first}", f"if r1 <= {last - first} goto {YES}")


def unless(conditions: Iterable[Condition], label: str) -> str:
    """Return a C statement that goes to a label unless all conditions hold."""
    tests = "".join(_text(condition, number) for number, condition in enumerate(conditions))
    return f"\tUNLESS(\n{tests.replace(NO, f'%l[{label}]')}\t\t, {label});\n" if tests else ""


def _text(condition: Condition, number: int) -> str:
    text = "".join(f'\t\t"{line}\\n"\n' for line in condition.lines)
    return REGISTER.sub(OPERAND, text.replace("%s", str(number)))
