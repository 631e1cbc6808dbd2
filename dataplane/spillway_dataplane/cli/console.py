"""What a command says: tables for a person, one JSON document for a program. Errors go to standard error, never a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 160  # of a log or a pipe, where nothing wraps
TEXT, JSON = "text", "json"


@dataclass(frozen=True, slots=True)
class Say:
    """How the answer is given. output: TEXT or JSON."""

    output: str = TEXT

    @property
    def is_json(self) -> bool:
        """Whether a program reads the answer."""
        return self.output == JSON

    def value(self, value: object) -> None:
        """Print one JSON document."""
        print(json.dumps(value, indent=2, default=str))

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line for a person; nothing when a program reads."""
        if not self.is_json:
            screen().print(text, style=style or None, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table for a person. A column whose name ends in `#` is set to the right, without the sign."""
        if not self.is_json:
            screen().print(_table(title, columns, rows))
            print()

    def error(self, subject: str, message: str, **fields: object) -> None:
        """Say on standard error what went wrong: one line, or one JSON document."""
        if self.is_json:
            print(json.dumps({"error": {"subject": subject, "message": message, **fields}}, default=str), file=sys.stderr)
        else:
            print(f"spillway: {subject}: {message}" if subject else f"spillway: {message}", file=sys.stderr)


def screen(*, stderr: bool = False) -> Console:
    """A rich console that takes text as it is: names from files are never read as markup."""
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that `--output json` does without

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    from rich import box  # noqa: PLC0415 - see screen()
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for column in columns:
        table.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(each) for each in row))
    return table


def _cell(value: Any) -> Any:
    from rich.text import Text  # noqa: PLC0415 - see screen()

    return Text(f"{value:,}" if isinstance(value, int) else str(value))
