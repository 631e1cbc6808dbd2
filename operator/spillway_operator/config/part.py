"""Reads one object of the configuration key by key, and notes every problem with its path instead of ending at the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import NodeSelector, SelectorExpression
from spillway_crds.grants import Grant, decode_grants, granted_interfaces
from spillway_crds.names import MAX_RING_INTERFACES
from spillway_operator.config.forms import non_empty

UNKNOWN = "unknown field"
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
SELECTOR_FIELDS = {"matchLabels", "matchExpressions"}


@dataclass(frozen=True, slots=True)
class Share:
    """A number of nodes, or a percentage of all of them."""

    count: int = 0
    percent: int = 0

    def of(self, nodes: int) -> int:
        """How many of `nodes` that is, at least 1."""
        return max(1, self.count or nodes * self.percent // 100)


class Part:
    """One JSON object on its way to values: notes what is wrong and goes on with the default."""

    def __init__(self, raw: Any, path: str, problems: list[Problem]) -> None:
        self._path, self._problems = path, problems
        self._left: dict[str, Any] = {}
        if isinstance(raw, Mapping):
            self._left = dict(raw)
        else:
            self._refuse("", raw, "must be an object")

    def _refuse(self, key: str, value: object, reason: str) -> None:
        self._problems.append(Problem(".".join(filter(None, (self._path, key))) or "config", value, reason))

    def part(self, key: str) -> Part:
        """The object below `key`, or an empty one."""
        return Part(self._left.pop(key, {}), f"{self._path}.{key}".lstrip("."), self._problems)

    def number(self, key: str, default: int, *, least: int = 0) -> int:
        """A whole number."""
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._refuse(key, value, f"must be a whole number of at least {least}")
            return default
        return value

    def flag(self, key: str) -> bool:
        """true or false; false when not given."""
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            self._refuse(key, value, "must be true or false")
        return value is True

    def share(self, key: str, default: Share) -> Share:
        """A number of nodes, or a percentage as text."""
        value = self._left.pop(key, None)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return Share(count=value)
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]?%|100%", value):
            return Share(percent=int(value[:-1]))
        self._refuse(key, value, 'must be a number of nodes from 1 or a percentage such as "25%"')
        return default

    def texts(self, key: str, default: tuple[str, ...], check: Any) -> tuple[str, ...]:
        """A list of strings, each of which `check` accepts."""
        value = self._left.pop(key, None)
        if value is None:
            return default
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._refuse(key, value, "must be a list")
            return default
        return tuple(filter(None, (self._text(f"{key}[{i}]", each, check) for i, each in enumerate(value))))

    def _text(self, key: str, value: object, check: Any) -> str:
        try:
            if not isinstance(value, str):
                raise TypeError("must be a string")
            return str(check(value))
        except (TypeError, ValueError) as error:
            self._refuse(key, value, str(error))
            return ""

    def selector(self, key: str, default: NodeSelector) -> NodeSelector | None:
        """A label selector, or the plain labels that a node must have; null is None."""
        if key not in self._left:
            return default
        value = self._left.pop(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self._refuse(key, value, "must be an object or null")
            return default
        plain = not value.keys() <= SELECTOR_FIELDS
        labels = value if plain else value.get("matchLabels") or {}
        expressions = () if plain else value.get("matchExpressions") or ()
        return NodeSelector(self._labels(key, labels), tuple(self._expression(key, each) for each in expressions))

    def _labels(self, key: str, raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        for label, value in raw.items():
            if not isinstance(value, str):
                self._refuse(f"{key}.{label}", value, "must be a string")
        return tuple(sorted((label, str(value)) for label, value in raw.items()))

    def _expression(self, key: str, raw: Mapping[str, Any]) -> SelectorExpression:
        unknown = raw.keys() - {"key", "operator", "values"}
        if raw.get("operator") not in OPERATORS or not isinstance(raw.get("key"), str) or unknown:
            self._refuse(f"{key}.matchExpressions", raw, f"must have key, operator ({', '.join(OPERATORS)}) and values")
            return SelectorExpression("", "Exists")
        return SelectorExpression(raw["key"], raw["operator"], tuple(raw.get("values") or ()))

    def grants(self, key: str) -> tuple[Grant, ...]:
        """Which transmit queues may be granted; none when not given."""
        path, value = f"{self._path}.{key}", self._left.pop(key, None)
        try:
            found = decode_grants([] if value is None else value, path)
        except InvalidIntent as error:
            self._problems += error.problems
            return ()
        if len(granted_interfaces(found)) > MAX_RING_INTERFACES:
            self._refuse(key, None, f"names more than {MAX_RING_INTERFACES} interfaces")
        return found

    def image(self, key: str) -> tuple[str, str] | None:
        """An image's name and its pull policy; None when not given."""
        if key not in self._left:
            return None
        part = self.part(key)
        name, policy = part.word("name"), part.word("pullPolicy")
        part.refuse_the_rest()
        return name, policy

    def word(self, key: str) -> str:
        """A string that is not empty."""
        return self._text(key, self._left.pop(key, None), non_empty)

    def refuse_the_rest(self) -> None:
        """What nobody asked for is unknown."""
        for key, value in self._left.items():
            self._refuse(key, value, UNKNOWN)
