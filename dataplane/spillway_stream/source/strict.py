"""Reading JSON strictly: each field is asked for once with its type, and what nobody asked for is an error with its path."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeVar

from spillway_stream.source.faults import InvalidIntent

T = TypeVar("T", str, bool, int)
MISSING: Any = object()


class Reader:
    """One JSON object being read. Call `done` at the end: it names the first field that nobody took."""

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, Mapping):
            raise InvalidIntent(path or "SPILLWAY_SOURCE", f"is {type(raw).__name__}, not an object")
        self.path = path
        self._left = dict(raw)

    def done(self) -> None:
        """Raises InvalidIntent if a field is left."""
        for name in self._left:
            raise InvalidIntent(self.at(name), "no such field")

    def at(self, name: str) -> str:
        """A field's path."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._left.get(name) is not None

    def take(self, kind: type[T], name: str, default: T = MISSING) -> T:
        """A field of exactly that type: true is no number. Null counts as left out."""
        value = self._raw(name, default)
        if type(value) is not kind:
            raise InvalidIntent(self.at(name), f"{value!r} is not {kind.__name__}")
        return value

    def number(self, name: str, low: int, high: int, default: int = MISSING) -> int:
        """An integer of low..high."""
        value = self.take(int, name, default)
        if not low <= value <= high:
            raise InvalidIntent(self.at(name), f"{value} is not in {low}..{high}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str = MISSING) -> str:
        """One of some words."""
        value = self.take(str, name, default)
        if value not in allowed:
            raise InvalidIntent(self.at(name), f"{value!r} is none of {', '.join(allowed)}")
        return value

    def fraction(self, name: str, default: Fraction = MISSING) -> Fraction:
        """A positive number as `60000/1001`, `25` or `0.5`, quoted or not."""
        value = self._raw(name, default)
        try:
            found = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            raise InvalidIntent(self.at(name), f"{value!r} is no number and no fraction like 60000/1001") from None
        if found <= 0 or isinstance(value, bool):
            raise InvalidIntent(self.at(name), f"{value!r} is not above 0")
        return found

    def child(self, name: str) -> Reader:
        """An object; empty if left out."""
        return Reader(self._raw(name, {}), self.at(name))

    def raw_list(self, name: str) -> list[Any]:
        """A list; empty if left out."""
        value = self._raw(name, [])
        if not isinstance(value, list):
            raise InvalidIntent(self.at(name), f"{value!r} is no list")
        return value

    def skip(self, *names: str) -> None:
        """Fields that are somebody else's to read."""
        for name in names:
            self._left.pop(name, None)

    def _raw(self, name: str, default: object) -> Any:
        value = self._left.pop(name, None)
        if value is not None:
            return value
        if default is MISSING:
            raise InvalidIntent(self.at(name), "is missing")
        return default
