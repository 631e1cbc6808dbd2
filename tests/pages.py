"""The pages that people read, as tests look at them: links, fenced blocks, words in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")


def pages() -> tuple[Path, ...]:
    """README, CONTRIBUTING and everything under docs/."""
    return (*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")))


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def fences(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Blocks of one language, each with the line where it begins."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        if found[1] == language:
            yield text.count("\n", 0, found.start()) + 1, found[2]


def links(page: Path) -> Iterator[str]:
    """Where a page leads, but for the rest of the Internet."""
    yield from (target for target in LINK.findall(prose(page)) if "://" not in target)


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose(page))}


def words(page: Path) -> set[str]:
    """All that stands in backticks."""
    return set(CODE.findall(prose(page)))
