"""What the bpf() calls take and give: descriptors, identities, refusals. Values; nothing here asks the kernel for anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType


class Fd:
    """One descriptor that is closed at the end of its `with` block."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> Fd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor's number."""
        return self.number

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1


class VerifierRefused(OSError):
    """A program that the kernel did not load. log: everything the verifier said, empty when it did not get so far."""

    def __init__(self, number: int, program: str, log: str) -> None:
        super().__init__(number, os.strerror(number), program)
        self.program = program
        self.log = log


@dataclass(frozen=True, slots=True)
class ProgInfo:
    """A loaded program. tag: 16 hex digits, the kernel's own hash of its instructions."""

    id: int
    type: int
    tag: str
    name: str


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link. ifindex 0: the kernel has detached it."""

    id: int
    type: int
    prog_id: int
    ifindex: int


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map, as created. value_size: of one CPU's value."""

    id: int
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """What BPF_PROG_TEST_RUN answered. duration_ns: average of one run."""

    retval: int
    out: bytes
    duration_ns: int
