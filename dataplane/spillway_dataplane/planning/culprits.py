"""Which filters are at fault when a program cannot be had. Pure: it is given a way to try.

What runs already is taken for good. The others join one by one, the oldest first, so that of two that cannot go together the
older stays; one that breaks the program stays out, and the others' changes go through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from spillway_crds.errors import SpillwayError
from spillway_dataplane.filter.program import ProgramSpec

Attempt = Callable[[ProgramSpec], SpillwayError | None]


def find_culprits(
    spec: ProgramSpec, good: frozenset[str], age: Mapping[str, tuple[str, str]], error: SpillwayError, attempt: Attempt
) -> dict[str, SpillwayError]:
    """Return what is wrong with which filter, by uid.

    good: uids that run in just this content. age: sorts the others. error: what the whole program met. attempt: compiles a
    program and shows it to the verifier, None when that went well. At most one attempt a filter.
    """
    suspects = sorted((unit.uid for unit in spec.filters if unit.uid not in good), key=lambda uid: age.get(uid, ("", uid)))
    if len(suspects) == 1:
        return {suspects[0]: error}
    kept = {unit.uid for unit in spec.filters if unit.uid in good}
    guilty: dict[str, SpillwayError] = {}
    for uid in suspects:
        refusal = attempt(only(spec, kept | {uid}))
        if refusal is None:
            kept.add(uid)
        else:
            guilty[uid] = refusal
    return guilty


def only(spec: ProgramSpec, uids: set[str]) -> ProgramSpec:
    """Return the program of some of its filters, in the same order."""
    return replace(spec, filters=tuple(unit for unit in spec.filters if unit.uid in uids))
