"""The chart's values as their own comments describe them, and the table of them that docs/install.md holds.

    python -m tests.chart_values        print the table

A comment `# -- text`, with the comment lines that follow it, belongs to the key below it. A default is shown as one line of JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "charts" / "spillway"
KEY = re.compile(r"^( *)([A-Za-z]+):")
COMMENT = re.compile(r"^ *# (-- )?(.+)$")
HEADER = ("| value | default | meaning |", "|---|---|---|")


@dataclass(frozen=True, slots=True)
class Value:
    """One documented value. path: as `--set` wants it."""

    path: str
    default: Any
    meaning: str

    @property
    def row(self) -> str:
        return f"| `{self.path}` | `{json.dumps(self.default)}` | {self.meaning.replace('|', chr(92) + '|')} |"


def defaults() -> dict[str, Any]:
    """The chart's default values."""
    read: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return read


def documented() -> Iterator[Value]:
    """Every value that has a comment, in the file's order."""
    values, path, meaning = defaults(), [], ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if comment := COMMENT.match(line):
            meaning = comment[2] if comment[1] else meaning and f"{meaning} {comment[2]}"
        elif key := KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if meaning:
                yield Value(".".join(path), look_up(values, path), meaning)
            meaning = ""


def look_up(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def table() -> str:
    """The table as Markdown."""
    return "\n".join([*HEADER, *(value.row for value in documented())])


if __name__ == "__main__":
    print(table())
