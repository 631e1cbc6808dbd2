"""What a row of the bench is, and how rows are told. Pure but for the clock and the file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Samples:
    """The figures of one candidate, one a round."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def spread(self) -> str:
        return f"{min(self.figures):.4g}..{max(self.figures):.4g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise and what was measured. goal: in words; met: whether this run kept it."""

    id: str
    what: str
    unit: str
    ours: Samples
    goal: str
    met: bool
    peers: Mapping[str, Samples] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row as build/bench.json holds it; `spread` beside the medians."""
        return {
            "id": self.id,
            "what": self.what,
            "unit": self.unit,
            "ours": round(self.ours.median, 3),
            "peers": {name: round(samples.median, 3) for name, samples in self.peers.items()},
            "goal": self.goal,
            "met": self.met,
            "spread": {"ours": self.ours.spread, **{name: samples.spread for name, samples in self.peers.items()}},
        }


def ratio(one: Samples, other: Samples) -> float:
    """The median of the rounds' own ratios: what slows a whole round down meets both."""
    return statistics.median(mine / theirs for mine, theirs in zip(one.figures, other.figures, strict=True))


Measure = Callable[[], float]


def side_by_side(candidates: Mapping[str, Measure], rounds: int = ROUNDS) -> dict[str, Samples]:
    """Measure each candidate once a round, in alternating order, so that a slow minute meets all of them alike."""
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        names = list(candidates) if number % 2 == 0 else list(candidates)[::-1]
        for name in names:
            figures[name].append(candidates[name]())
    return {name: Samples(tuple(found)) for name, found in figures.items()}


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as one list, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    aside.rename(path)
