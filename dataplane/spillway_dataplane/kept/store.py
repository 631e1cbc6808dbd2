"""The agent's files on the node's disk. Each is written aside and renamed: a reader sees the old one or the new one, whole.

A file that cannot be read is as good as missing: the node keeps what its kernel runs, and the next order writes it again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
ORDER, PEERS, RECORDS, COUNTS, SWITCH = "order.json", "peers.json", "records.json", "counts.json", "switch.json"
TROUBLE = "trouble.json"
REVISIONS, BYTECODE = "revisions", "bytecode"
OFF, ON, LOCK, HANDOVER = "off", "on", "lock", "handover"


class Store:
    """One directory. Made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the directories; only root may read what a node filters."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (REVISIONS, BYTECODE):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a file's JSON object, or None when it is missing or damaged."""
        try:
            value = json.loads((self.root / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            LOG.warning("%s cannot be read and is ignored: %s", self.root / name, error)
            return None
        return value if isinstance(value, dict) else None

    def write_json(self, name: str, value: object, *, durable: bool = True) -> None:
        """Put a file in place of an older one. durable: also after a power cut."""
        self.write_bytes(name, json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), durable=durable)

    def read_bytes(self, name: str) -> bytes | None:
        """Return a file, or None when it is missing or cannot be read."""
        try:
            return (self.root / name).read_bytes()
        except OSError:
            return None

    def write_bytes(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Write aside, then rename. Raises OSError when the disk is full or read-only: the old file is then still whole."""
        path = self.root / name
        aside = path.with_name(f".{path.name}.new")
        with aside.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
        if durable:
            _sync_directory(path.parent)

    def names(self, directory: str) -> list[str]:
        """Return the names in one of the directories, the least recently used first."""
        try:
            entries = [entry for entry in (self.root / directory).iterdir() if not entry.name.startswith(".")]
            return [entry.name for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime)]
        except OSError:
            return []

    def touch(self, name: str) -> None:
        """Mark a file as used just now."""
        try:
            os.utime(self.root / name)
        except OSError as error:
            LOG.debug("%s: %s", name, error)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is no error."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.root / name).exists()


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
