"""Write what is made of the schema, or say with --check which files are not up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from spillway_crds.schema.files import files

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: list[str]) -> int:
    """Exit code 0: written, or all up to date; 1: --check found a difference; 2: wrong use."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m spillway_crds.schema [--check]\n")
        return 2
    stale = [path for path, text in files().items() if _text_of(ROOT / path) != text]
    if arguments:
        sys.stderr.writelines(f"{path}: not up to date; run python -m spillway_crds.schema\n" for path in stale)
        return 1 if stale else 0
    for path in stale:
        _write(ROOT / path, files()[path])
    return 0


def _text_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
