"""What the demo shows: headings, commands as one would type them, and a table that grows by a line a second.

Nothing moves: the same text is pleasant on a terminal, where it has colours, and in a log, where it has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tests.demo.samples import Sample

BAR = 10
COLUMNS = (
    ("", 5),
    ("flood /s", 10),
    ("would drop /s", 14),
    ("dropped /s", 11),
    ("lost at socket /s", 18),
    ("video", 18),
    ("web", 17),
)


class Screen:
    """The demo's one way to say something."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False)
        if not self.console.is_terminal:
            self.console.width = 120
        self.began = time.monotonic()
        self._step = 0

    def title(self, text: str) -> None:
        self.console.print(Rule(Text(text, "bold cyan"), style="cyan"))

    def step(self, text: str) -> None:
        """Begin the next part of the story."""
        self._step += 1
        self.console.print()
        self.console.print(Rule(Text(f"{self._step}  {text}", "bold"), align="left", style="dim"))

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style or None, soft_wrap=True)

    def command(self, text: str) -> None:
        """Show what a person would type here."""
        self.console.print(Text.assemble(("$ ", "dim"), (text, "bold green")), soft_wrap=True)

    def output(self, text: str) -> None:
        """Show what a program answered."""
        self.console.print(text.rstrip(), style="dim", soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something takes a moment, then how long it took."""
        began = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(what):
                yield
        else:
            yield
        self.say(f"{what}: {time.monotonic() - began:.1f} s", "dim")

    def table_head(self) -> None:
        line = "".join(
            name.rjust(width) if width < 18 or name.endswith("/s") else f"   {name:<{width - 3}}" for name, width in COLUMNS
        )
        self.console.print(Text(line, "dim"))

    def table_line(self, sample: Sample) -> None:
        """Show one second."""
        numbers = (sample.flood, sample.would_drop, sample.dropped, sample.lost)
        styles = ("", "yellow", "green", "red")
        line = Text(f"{sample.at_s:3.0f} s")
        for number, style, (_, width) in zip(numbers, styles, COLUMNS[1:5], strict=True):
            line.append(f"{number:,}".rjust(width), style if number else "dim")
        for share in (sample.video, sample.web):
            line.append("   ")
            line.append_text(bar(share))
        self.console.print(line)

    def rows(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show a small table; columns whose name ends in `#` are numbers."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left")
        for row in rows:
            table.add_row(*(f"{each:,}" if isinstance(each, int) else str(each) for each in row))
        self.console.print(table)


def bar(share: float | None) -> Text:
    """A share of 1 as a bar and a percentage; None when nobody asked."""
    if share is None:
        return Text("".ljust(BAR + 6), "dim")
    filled = round(share * BAR)
    style = "green" if share > 0.98 else "yellow" if share > 0.9 else "red"
    return Text(f"{'█' * filled}{'░' * (BAR - filled)}{share:5.0%}", style)
