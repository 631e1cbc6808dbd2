"""What would be compiled for valid filters: one program for each interface that they name, and, when asked, its verdict."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from spillway_crds.errors import InvalidIntent, KernelError, SpillwayError
from spillway_crds.failsafe import flows
from spillway_crds.filters import FloodFilter
from spillway_dataplane.cli.describe import DEFAULT_ROUTES
from spillway_dataplane.cli.meeting import at_pattern, patterns_of
from spillway_dataplane.filter.chunks import plan_chunks
from spillway_dataplane.filter.generate import digest, generate
from spillway_dataplane.filter.program import FilterUnit, ProgramSpec
from spillway_dataplane.kernel.artifact import Artifact

INSTRUCTION_BYTES = 8


@dataclass(frozen=True, slots=True)
class ProgramPreview:
    """The program of one interface name, on a node that runs all these filters.

    queue_ids: receive queues that it filters; empty is all of them. chained: programs that follow each other by tail calls.
    source_lines: of the C that bcc compiles. digest: as in the program's name. instructions: of the compiled bytecode, 0 unless
    it was asked for. refusal: why it cannot be had.
    """

    interface: str
    filters: tuple[str, ...]
    rules: int
    queue_ids: tuple[int, ...]
    chained: int = 0
    source_lines: int = 0
    digest: str = ""
    instructions: int = 0
    refusal: str = ""


def preview(filters: tuple[FloodFilter, ...], *, compile_under: Path | None = None) -> tuple[ProgramPreview, ...]:
    """Generate each program. compile_under: a bpffs; also compile each and have the verifier look at it, without attaching."""
    made: dict[tuple[int, ...], ProgramPreview] = {}  # interfaces that have the same filters have the same program
    found = []
    for pattern in patterns_of(filters):
        here = at_pattern(filters, pattern)
        key = tuple(map(id, here))
        if key not in made:
            made[key] = _preview(here, compile_under)
        found.append(replace(made[key], interface=pattern or DEFAULT_ROUTES))
    return tuple(found)


def _preview(filters: tuple[FloodFilter, ...], compile_under: Path | None) -> ProgramPreview:
    spec = program_spec(filters)
    made = ProgramPreview(
        interface="",
        filters=tuple(each.name for each in filters),
        rules=sum(len(each.spec.content.rules) for each in filters),
        queue_ids=_queues(filters),
    )
    try:
        source = generate(spec)
    except InvalidIntent as error:
        return replace(made, refusal=str(error))
    made = replace(made, chained=len(plan_chunks(spec)), source_lines=len(source.splitlines()), digest=digest(source))
    return _verified(made, source, compile_under) if compile_under else made


def program_spec(filters: Iterable[FloodFilter]) -> ProgramSpec:
    """What the agent would build, with slots counted from 0."""
    units: list[FilterUnit] = []
    used = 0
    for number, each in enumerate(filters):
        content = each.spec.content
        slots = tuple(range(used, used + len(content.rules)))
        units.append(FilterUnit(each.name, each.uid or each.name, content, number, slots))
        used += len(slots)
    return ProgramSpec(tuple(units), flows())


def _queues(filters: tuple[FloodFilter, ...]) -> tuple[int, ...]:
    if not all(each.spec.content.rx_queue_ids for each in filters):
        return ()
    return tuple(sorted({queue for each in filters for queue in each.spec.content.rx_queue_ids}))


def _verified(made: ProgramPreview, source: str, bpffs: Path) -> ProgramPreview:
    from spillway_dataplane.kernel.compiler import compile_source  # noqa: PLC0415 - `check` alone needs neither bcc
    from spillway_dataplane.kernel.datapath import Datapath  # noqa: PLC0415 - nor libbpf

    try:
        artifact = compile_source(source)
        Datapath(bpffs / "spillway").load_check(artifact)
    except KernelError as error:
        if error.errno == errno.EPERM:  # no verdict on the manifest: we may not ask
            raise
        return replace(made, refusal=str(error))
    except SpillwayError as error:
        return replace(made, refusal=str(error))
    return replace(made, instructions=instructions(artifact))


def instructions(artifact: Artifact) -> int:
    """How many eBPF instructions an artifact's programs have together."""
    return sum(len(code) for code in artifact.programs.values()) // INSTRUCTION_BYTES
