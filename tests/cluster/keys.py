"""Names of products: a hash of everything a product is made from. Reads files, nothing else.

Equal inputs give equal keys on every machine and in every folder; times, owners and the order of listing do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

KEY_LENGTH = 16
NOT_SOURCE = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def key(*parts: str | bytes) -> str:
    """Hash of the parts, each with its length, so that no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:KEY_LENGTH]


def files_key(root: Path, paths: Iterable[str]) -> str:
    """Hash of files and whole folders below root: names, contents and the executable bit.

    A path that is not there counts as such: the key changes when it appears.
    """
    parts: list[str | bytes] = []
    for path in sorted(set(paths)):
        found = source_files(root / path)
        parts += [path, str(len(found))]
        for file in found:
            parts += [file.relative_to(root).as_posix(), str(is_executable(file)), file.read_bytes()]
    return key(*parts)


def source_files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder but caches and what an installation leaves, in name order."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file() and not is_leftover(each.relative_to(path)))


def is_leftover(relative: Path) -> bool:
    return any(part in NOT_SOURCE or part.endswith((".egg-info", ".pyc", ".so")) for part in relative.parts)


def is_executable(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o100)
