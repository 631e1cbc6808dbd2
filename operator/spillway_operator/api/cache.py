"""One watched kind, as last seen. Law: the newest sight wins, whichever way it came: event, answer to a write, listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Sight(Protocol):
    """What orders two sights of one object. version: its resourceVersion as a number."""

    @property
    def name(self) -> str:
        """The object's name; unique within a cache."""

    @property
    def version(self) -> int:
        """Higher is newer."""


S = TypeVar("S", bound=Sight)


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """One object's step in the cache. old is None for a new one, new is None for one that is gone."""

    old: S | None
    new: S | None

    @property
    def name(self) -> str:
        """Whose step it is."""
        sight = self.new or self.old
        assert sight is not None
        return sight.name


class Cache(Generic[S]):
    """Names to sights. complete: a listing was taken in, so that what is not here may be called absent."""

    def __init__(self) -> None:
        self.complete = False
        self._sights: dict[str, S] = {}
        self._gone: dict[str, int] = {}  # name -> version of its deletion, until a listing newer than that

    def __iter__(self) -> Iterator[S]:
        return iter(self._sights.values())

    def __len__(self) -> int:
        return len(self._sights)

    def get(self, name: str) -> S | None:
        """The newest sight, or None."""
        return self._sights.get(name)

    def names(self) -> tuple[str, ...]:
        """Names of all that is there."""
        return tuple(self._sights)

    def put(self, sight: S) -> Change[S] | None:
        """Take a sight in. None if it tells nothing new: older than what is known, or than the object's deletion."""
        old = self._sights.get(sight.name)
        if (old is not None and sight.version <= old.version) or sight.version <= self._gone.get(sight.name, -1):
            return None
        self._sights[sight.name] = sight
        return Change(old, sight)

    def drop(self, name: str, version: int) -> Change[S] | None:
        """Take a deletion in. An answer to a write that is older than `version` does not bring the object back."""
        self._gone[name] = max(version, self._gone.get(name, -1))
        old = self._sights.get(name)
        if old is None or old.version > version:
            return None
        del self._sights[name]
        return Change(old, None)

    def take_listing(self, listing: Iterable[S], version: int) -> tuple[list[Change[S]], list[str]]:
        """Take a whole listing in. Returns what is new, and the names it lacks although they are no newer than it; those stay.

        version: resourceVersion of the list itself. Who calls decides whether an absence is obeyed: `drop`.
        """
        listed = {sight.name: sight for sight in listing}
        changes = [change for sight in listed.values() if (change := self.put(sight))]
        missing = [old.name for old in self._sights.values() if old.name not in listed and old.version <= version]
        self._gone = {name: at for name, at in self._gone.items() if at > version}
        self.complete = True
        return changes, missing
