"""The kinds of field that a CRD is made of. One tree of these is the OpenAPI schema, the decoder's law and the reference page.

A constraint that OpenAPI cannot say is a `Law`: a CEL rule for the API server and its twin in Python, with the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One constraint, said twice. `cel` and `holds` refuse the same values.

    holds: sees the value with its defaults filled in, and only if type, enum, size and required fields are right below it.
    message_cel and explain: where the words depend on the value; `message` then says the same in general.
    field_path: the field to blame, below the value that the law is about, as `.protocolNumber`.
    """

    cel: str
    holds: Callable[[Any], bool]
    message: str
    message_cel: str = ""
    explain: Callable[[Any], str] | None = None
    field_path: str = ""

    def says(self, value: Any) -> str:
        """The reason why `value` is refused, in the API server's words."""
        return self.explain(value) if self.explain else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string. choices: an enum. max_length: characters. pattern: anchored, RE2 and Python alike. form: OpenAPI's `format`."""

    description: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    max_length: int | None = None
    default: str | None = None
    form: str = ""
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An integer, both ends included. wide: 64 bits, else 32."""

    description: str
    minimum: int = 0
    maximum: int | None = None
    default: int | None = None
    wide: bool = False
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeOr:
    """An integer, both ends included, or one word."""

    description: str
    word: str
    minimum: int = 0
    maximum: int
    default: str | None = None
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A boolean."""

    description: str
    default: bool | None = None
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A list. unique: no item twice, order without meaning (a Kubernetes set). keys: a Kubernetes map of records; else atomic."""

    description: str
    item: Field
    least: int = 1
    most: int
    unique: bool = False
    keys: tuple[str, ...] = ()
    default: None = None
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """A mapping from any key to strings."""

    description: str
    value: Text
    least: int = 0
    most: int
    default: None = None
    laws: tuple[Law, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object with named fields; others are refused. atomic: server-side apply replaces it as a whole."""

    description: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    atomic: bool = False
    default: None = None
    laws: tuple[Law, ...] = ()


Field = Text | Whole | WholeOr | Flag | Many | Dictionary | Record
