"""YAML and JSON text as values that remember their lines. Pure: text in, values out.

The composer gives nodes with positions; values are made from them here, so that a duplicate key, which plain loading would
silently let win, is a problem like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import yaml

from spillway_crds.errors import Problem

MAX_NODES = 400_000  # a filter of the largest size has some 20,000; what exceeds this is an alias bomb
MERGE_TAG = "tag:yaml.org,2002:merge"
TEXT_TAGS = frozenset({"tag:yaml.org,2002:timestamp"})  # the API server's decoder reads a date as text
INTEGER_TAG, FLOAT_TAG = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
LARGEST_WHOLE = 1e21  # above it JSON has an exponent, and the API server no integer
MAX_SHOWN_CHARS = 40


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with kubectl's idea of scalars: y is true, 1:30 is text, 0o17 and 1e2 are numbers."""

    bool_values: ClassVar = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


Loader.yaml_implicit_resolvers = {
    sign: [(tag, shape) for tag, shape in known if tag not in (INTEGER_TAG, FLOAT_TAG)]
    for sign, known in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
Loader.add_implicit_resolver(
    INTEGER_TAG, re.compile(r"[-+]?(0|[1-9][0-9_]*|0o?[0-7_]+|0b[01_]+|0x[0-9A-Fa-f_]+)\Z"), list("-+0123456789")
)
Loader.add_implicit_resolver(
    FLOAT_TAG,
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"),
    list("-+.0123456789"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest. number: its place in the file, from 1. lines: line (from 1) of each path below `prefix`.

    prefix: where it stands in its document, empty or as `items[3]`. problems: keys that stand there twice.
    """

    file: str
    number: int
    value: object
    lines: Mapping[str, int]
    prefix: str = ""
    problems: tuple[Problem, ...] = ()

    def line_of(self, path: str) -> int:
        """Line of a path, or of the nearest field above it that exists: something that is missing has no line of its own."""
        whole = join(self.prefix, path)
        while whole and whole not in self.lines:
            whole = parent(whole)
        return self.lines.get(whole, 1)


@dataclass(frozen=True, slots=True)
class Unparsable:
    """From `line` on the text is no YAML; what stands before it was read."""

    file: str
    number: int
    line: int
    reason: str


def read_documents(file: str, text: str) -> tuple[Document | Unparsable, ...]:
    """Return every document of a text that is not empty, and the place where reading ended if it did early."""
    loader = Loader(text)
    found: list[Document | Unparsable] = []
    try:
        _read_all(file, loader, found)
    except yaml.YAMLError as error:
        found.append(Unparsable(file, len(found) + 1, _line_of_error(error), _reason_of_error(error)))
    except RecursionError:
        found.append(Unparsable(file, len(found) + 1, 1, "is nested too deeply"))
    finally:
        loader.dispose()
    return tuple(found)


def _read_all(file: str, loader: yaml.SafeLoader, found: list[Document | Unparsable]) -> None:
    number = 0
    while loader.check_node():
        node = loader.get_node()
        number += 1
        if node is None or _is_empty(node):
            continue
        reading = _Reading(loader)
        value = reading.value_of(node, "")
        found.append(Document(file, number, value, reading.lines, problems=tuple(reading.problems)))


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


@dataclass(slots=True)
class _Reading:
    """One document while it is read."""

    loader: yaml.SafeLoader
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def value_of(self, node: yaml.Node, path: str) -> object:
        if len(self.lines) > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(child, f"{path}[{i}]") for i, child in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, object]:
        own = [self.key(key) for key, _ in node.value if key.tag != MERGE_TAG]
        if any(key.tag == MERGE_TAG for key, _ in node.value):
            self.loader.flatten_mapping(node)  # what is merged comes first: a key of the mapping's own wins
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node)
            below = join(path, key)
            self.lines[below] = key_node.start_mark.line + 1
            result[key] = self.value_of(value_node, below)
        self.problems += [Problem(join(path, key), None, "stands there twice") for key in _repeated(own)]
        return result

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key that is no text", problem_mark=node.start_mark)
        value = self.scalar(node)
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int) else str(node.value)

    def scalar(self, node: yaml.Node) -> object:
        if node.tag in TEXT_TAGS:
            return node.value
        try:
            value = self.loader.construct_object(node)
        except (ValueError, LookupError) as error:
            shown = node.value if len(node.value) <= MAX_SHOWN_CHARS else node.value[:MAX_SHOWN_CHARS] + "..."
            what = f"{shown!r} is no {node.tag.rpartition(':')[2]}"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark) from error
        if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_WHOLE:
            return int(value)
        return value


def _repeated(keys: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            yield key
        seen.add(key)


def join(path: str, key: str) -> str:
    """A field below a path: `spec` and `rules[0]` give `spec.rules[0]`."""
    return f"{path}.{key}" if path and key else path or key


def parent(path: str) -> str:
    """The path without its last field or index."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _line_of_error(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _reason_of_error(error: yaml.YAMLError) -> str:
    said = getattr(error, "problem", None) or str(error)
    return "is not valid YAML: " + " ".join(str(said).split())
