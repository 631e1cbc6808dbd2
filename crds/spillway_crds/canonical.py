"""One JSON text for one value: sorted keys, no blanks, ASCII. What hashes and size limits are taken of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def canonical_json(value: object) -> str:
    """The one text of a JSON value; the order of keys in `value` does not matter."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def size_bytes(value: object) -> int:
    """Bytes of the canonical JSON. Raises ValueError for a value that holds itself. Keys that JSON cannot have count nothing."""
    return len(json.dumps(value, separators=(",", ":"), default=_plain, skipkeys=True))


def sha256_hex(value: object) -> str:
    """SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
