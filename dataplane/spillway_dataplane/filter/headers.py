"""The fixed part of every program: the text of bpf/*.h, in the order in which one needs the other."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from spillway_crds.names import MAX_FILTERS_PER_NODE
from spillway_dataplane.filter.conditions import FIELDS
from spillway_dataplane.filter.program import MODE_SLOTS

FOLDER = Path(__file__).resolve().parent.parent / "bpf"
BEFORE_FLOWS = (
    "packet.h",
    "maps.h",
    "count.h",
    "read.h",
    "transport.h",
    "parse.h",
    "plain.h",
    "peers.h",
    "ceiling.h",
    "unless.h",
)
AFTER_FLOWS = ("verdict.h",)


SCRATCH_BYTES = 288  # struct packet of bpf/packet.h, which asserts it
DEFINITIONS = {"MODE_SLOTS": MODE_SLOTS, "MAX_FILTERS": MAX_FILTERS_PER_NODE, "SCRATCH_BYTES": SCRATCH_BYTES}


@cache
def before_flows() -> str:
    """Return what parses and counts. It is part of the generated text, so the digest of a program covers it."""
    definitions = "".join(f"#define {name} {value}\n" for name, value in DEFINITIONS.items())
    texts = (definitions, *((FOLDER / name).read_text() for name in BEFORE_FLOWS), _assert_offsets())
    return "\n".join(texts)


def _assert_offsets() -> str:
    return "".join(
        f'_Static_assert(__builtin_offsetof(struct packet, {field}) == {at}, "");\n' for field, (at, _) in FIELDS.items()
    )


@cache
def after_flows() -> str:
    """Return what needs the generated `failsafe_flow`."""
    return "\n".join((FOLDER / name).read_text() for name in AFTER_FLOWS)
