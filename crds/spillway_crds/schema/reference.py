"""The reference page, made of the same fields as the CRDs: it cannot say anything else than `kubectl explain` says."""

from __future__ import annotations

from collections.abc import Iterator

from spillway_crds import names
from spillway_crds.schema.crds import KINDS, Kind
from spillway_crds.schema.fields import Dictionary, Field, Flag, Many, Record, Text, Whole, WholeOr

HEAD = f"""\
# Every field

Made from the schema by `python -m spillway_crds.schema`; `kubectl explain {names.FILTERS_PLURAL}.spec --recursive` says the same
on a cluster. What packets, rules and filters mean together: [semantics.md](semantics.md).
"""


def reference() -> str:
    """The whole page in Markdown."""
    return "\n".join((HEAD, *map(_kind, KINDS)))


def _kind(kind: Kind) -> str:
    tables = (_table(part, record) for part, record in (("spec", kind.spec), ("status", kind.status)))
    head = f"## {kind.kind}\n\n`{names.API_VERSION}`, {kind.scope_words}, short name `{kind.short}`. {_cell(kind.description)}\n"
    return "\n".join((head, *tables))


def _table(part: str, record: Record) -> str:
    head = f"### {part}\n\n{record.description}\n\n| field | type | what it says |\n|---|---|---|"
    rows = (f"| `{path}` | {_cell(what)} | {_cell(text)} |" for path, what, text in _rows(record, ""))
    return "\n".join((head, *rows, ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _rows(record: Record, prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in record.fields.items():
        required = ", required" if name in record.required else ""
        yield f"{prefix}{name}", f"{_type(field)}{required}", _text(field)
        below = field.item if isinstance(field, Many) else field
        if isinstance(below, Record):
            yield from _rows(below, f"{prefix}{name}{'[]' if isinstance(field, Many) else ''}.")


def _text(field: Field) -> str:
    """A field's description and its laws; those of a list's items with it, since an item has no row of its own."""
    laws = [*field.laws, *(field.item.laws if isinstance(field, Many) else ())]
    messages = dict.fromkeys(law.message for law in laws)  # one law a field of several may say the same
    refused = f" Refused: {'; '.join(messages)}." if laws else ""
    return field.description + refused


def _type(field: Field) -> str:
    match field:
        case Text():
            return _text_type(field)
        case Whole() | WholeOr():
            return _number_type(field)
        case Flag():
            return f"boolean{_default(field)}"
        case Many():
            return f"{field.least}..{field.most} of {_type(field.item)}{', none twice' if field.unique else ''}"
        case Dictionary():
            return f"map of {field.least}..{field.most} strings"
        case Record():
            return "object"


def _number_type(field: Whole | WholeOr) -> str:
    word = f" | {field.word}" if isinstance(field, WholeOr) else ""
    return f"integer {field.minimum}..{'' if field.maximum is None else field.maximum}{word}{_default(field)}"


def _text_type(field: Text) -> str:
    if field.choices:
        return f"{' | '.join(field.choices)}{_default(field)}"
    bounded = f" of at most {field.max_length}" if field.max_length else ""
    return f"{field.form or 'string'}{bounded}"


def _default(field: Field) -> str:
    return (
        "" if field.default is None else f", default {str(field.default).lower() if isinstance(field, Flag) else field.default}"
    )
