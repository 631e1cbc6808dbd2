"""From the filters of one interface to the C of its programs. Pure: equal specs give equal text.

The law is docs/semantics.md, sections 1 to 3; `matcher` says the same in plain Python, and tests hold both together.
"""

from __future__ import annotations

import hashlib

from spillway_dataplane.filter import headers
from spillway_dataplane.filter.chunks import Part, plan_chunks
from spillway_dataplane.filter.failsafe import failsafe_source
from spillway_dataplane.filter.guard import Guard, guard_of
from spillway_dataplane.filter.parts import part_source
from spillway_dataplane.filter.program import ProgramSpec

MAIN = "spillway"
DIGEST_DIGITS = 11  # with `spw_` before them, the 15 characters that a program's name may have
EMPTY = f"int {MAIN}(struct xdp_md *context)\n{{\n\treturn XDP_PASS;\n}}\n"


def digest(source: str) -> str:
    """Return the 11 hex digits by which a program is known: in its name, in its pins and on disk."""
    return hashlib.sha256(source.encode()).hexdigest()[:DIGEST_DIGITS]


def generate(spec: ProgramSpec) -> str:
    """Return C for bcc: `spillway`, and `chunk_1` and so on for what it reaches by tail calls.

    No filters: the program that passes everything. Raises InvalidIntent for a policy that no chain of programs can carry.
    """
    if not spec.filters:
        return EMPTY
    chunks = plan_chunks(spec)
    guard = guard_of(spec)
    programs = (_program(spec, guard, number, chunks) for number in range(len(chunks)))
    return "\n".join((headers.before_flows(), failsafe_source(guard), headers.after_flows(), *programs))


def _program(spec: ProgramSpec, guard: Guard, number: int, chunks: tuple[tuple[Part, ...], ...]) -> str:
    name = MAIN if number == 0 else f"chunk_{number}"
    gate = _queue_gate(spec) if number == 0 else ""
    parse = " || !parse(context, packet)" if number == 0 else ""
    queue = "\tpacket->queue = context->rx_queue_index;\n" if number == 0 and _names_queues(spec) else ""
    onward = "" if number == len(chunks) - 1 else f"\ttail_call(context, CHUNKS, {number});\n"
    return (
        f"int {name}(struct xdp_md *context)\n{{\n{gate}"
        "\tu32 zero = 0;\n"
        "\tpacket_t *packet = map_lookup(SCRATCH, &zero);\n"
        "\tvolatile struct switches *switches = SWITCHES;\n"
        f"\tif (!packet{parse})\n\t\treturn XDP_PASS;\n{queue}"
        f"{''.join(part_source(part, guard) for part in chunks[number])}{onward}\tgoto settle;\n"
        "settle:\n\tif (!unlikely(packet->watched))\n\t\treturn XDP_PASS;\n"
        "\tpacket->verdict = XDP_PASS;\n\tgoto end;\n"
        "drop:\n\tpacket->verdict = XDP_DROP;\nend:\n\treturn settle(packet);\n}\n"
    )


def _names_queues(spec: ProgramSpec) -> bool:
    return any(unit.content.rx_queue_ids for unit in spec.filters)


def _queue_gate(spec: ProgramSpec) -> str:
    """Where every filter names its queues, packets of all others leave before anything is read."""
    named = [unit.content.rx_queue_ids for unit in spec.filters]
    if not all(named):
        return ""
    queues = sorted({queue for ids in named for queue in ids})
    tests = " && ".join(f"queue != {queue}" for queue in queues)
    return f"\tu32 queue = context->rx_queue_index;\n\tif ({tests})\n\t\treturn XDP_PASS;\n"
