"""Hold a manifest against the schema that the CRDs are made of. All problems at once, in the API server's words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spillway_crds.errors import Problem
from spillway_crds.schema.fields import Dictionary, Field, Flag, Law, Many, Record, Text, Whole, WholeOr

UNKNOWN_FIELD = "unknown field"
REQUIRED = "Required value"
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)


def completed(field: Field, value: Any) -> Any:
    """Fill in defaults below `value`, as the API server does; a field that is null counts as not given."""
    match field, value:
        case Record(), Mapping():
            given = {key: each for key, each in value.items() if each is not None or key not in field.fields}
            defaults = {key: each.default for key, each in field.fields.items() if each.default is not None}
            return {key: _completed_field(field, key, each) for key, each in (defaults | given).items()}
        case Many(), Sequence() if not isinstance(value, str):
            return [completed(field.item, each) for each in value]
        case _:
            return value


def _completed_field(record: Record, key: object, value: Any) -> Any:
    known = isinstance(key, str) and key in record.fields
    return completed(record.fields[key], value) if known else value  # type: ignore[index]


def problems_of(field: Field, value: Any, path: str) -> tuple[Problem, ...]:
    """Everything that is wrong with a completed value. path: where it stands, as `spec`; empty at a document's root."""
    found: list[Problem] = []
    _check(field, value, path, found)
    return tuple(found)


def _check(field: Field, value: Any, path: str, found: list[Problem]) -> bool:
    """Append the problems at and below `value`; return whether its shape is sound enough for laws about it."""
    sound = _CHECKS[type(field)](field, value, path, found)
    if sound:
        found.extend(_broken(law, value, path) for law in field.laws if not law.holds(value))
    return sound


def _broken(law: Law, value: Any, path: str) -> Problem:
    blamed = value.get(law.field_path.removeprefix(".")) if law.field_path else value
    return Problem(f"{path}{law.field_path}", None if _is_long(blamed) else blamed, law.says(value))


def _is_long(blamed: Any) -> bool:
    """Objects, and lists of them: they stand in the manifest, and the law's words say what of them is meant."""
    return isinstance(blamed, Mapping) or (isinstance(blamed, list) and any(isinstance(each, Mapping) for each in blamed))


def _wrong_type(value: object, path: str, wanted: str, found: list[Problem]) -> bool:
    found.append(Problem(path, value, f'must be of type {wanted}: "{type_name(value)}"'))
    return False


def type_name(value: object) -> str:
    """A JSON value's type, as OpenAPI calls it."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (Mapping, "object"), (Sequence, "array")
    )  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "null" if value is None else type(value).__name__)


def _check_text(field: Text, value: Any, path: str, found: list[Problem]) -> bool:
    if not isinstance(value, str):
        return _wrong_type(value, path, "string", found)
    if field.choices and value not in field.choices:
        found.append(Problem(path, value, f"supported values: {', '.join(json.dumps(each) for each in field.choices)}"))
        return False
    if field.max_length is not None and len(value) > field.max_length:
        found.append(Problem(path, value, f"Too long: may not be more than {field.max_length} bytes"))
        return False
    if field.pattern and not re.match(field.pattern.replace("$", r"\Z"), value, re.ASCII):
        found.append(Problem(path, value, f"should match '{field.pattern}'"))
    return True


def _check_whole(field: Whole, value: Any, path: str, found: list[Problem]) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return _wrong_type(value, path, "integer", found)
    low, high = INT64 if field.wide else INT32
    if value < max(field.minimum, low):
        found.append(Problem(path, value, f"should be greater than or equal to {field.minimum}"))
    if value > (high if field.maximum is None else field.maximum):
        found.append(Problem(path, value, f"should be less than or equal to {high if field.maximum is None else field.maximum}"))
    return True


def _check_whole_or(field: WholeOr, value: Any, path: str, found: list[Problem]) -> bool:
    if isinstance(value, str):
        if len(value) > len(field.word):
            found.append(Problem(path, value, f"Too long: may not be more than {len(field.word)} bytes"))
            return False
        return True
    if not isinstance(value, int) or isinstance(value, bool):
        return _wrong_type(value, path, "integer,string", found)
    return _check_whole(Whole(description="", minimum=field.minimum, maximum=field.maximum), value, path, found)


def _check_flag(_field: Flag, value: Any, path: str, found: list[Problem]) -> bool:
    return isinstance(value, bool) or _wrong_type(value, path, "boolean", found)


def _check_many(field: Many, value: Any, path: str, found: list[Problem]) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _wrong_type(value, path, "array", found)
    sound = True
    if len(value) > field.most:
        found.append(Problem(path, len(value), f"Too many: must have at most {field.most} items"))
        sound = False
    if len(value) < field.least:
        found.append(Problem(path, value, f"should have at least {field.least} items"))
    for index, each in enumerate(value):
        sound = _check(field.item, each, f"{path}[{index}]", found) and sound
        if field.unique and each in value[:index]:
            found.append(Problem(f"{path}[{index}]", each, "Duplicate value"))
    return sound


def _check_dictionary(field: Dictionary, value: Any, path: str, found: list[Problem]) -> bool:
    if not isinstance(value, Mapping):
        return _wrong_type(value, path, "object", found)
    sound = True
    if len(value) > field.most:
        found.append(Problem(path, len(value), f"Too many: must have at most {field.most} items"))
        sound = False
    if len(value) < field.least:
        found.append(Problem(path, None, f"should have at least {field.least} properties"))
    for key, each in value.items():
        if not isinstance(key, str):
            sound = _wrong_type(key, f"{path}.{key}", "string", found)
            continue
        sound = _check(field.value, each, f"{path}.{key}", found) and sound
    return sound


def _check_record(field: Record, value: Any, path: str, found: list[Problem]) -> bool:
    if not isinstance(value, Mapping):
        return _wrong_type(value, path, "object", found)
    prefix = f"{path}." if path else ""
    sound = True
    for key in field.required:
        if key not in value:
            found.append(Problem(f"{prefix}{key}", None, REQUIRED))
            sound = False
    for key, each in value.items():
        if key not in field.fields:
            found.append(Problem(f"{prefix}{key}", each, UNKNOWN_FIELD))
        else:
            sound = _check(field.fields[key], each, f"{prefix}{key}", found) and sound
    return sound


_CHECKS: dict[type, Callable[[Any, Any, str, list[Problem]], bool]] = {
    Text: _check_text,
    Whole: _check_whole,
    WholeOr: _check_whole_or,
    Flag: _check_flag,
    Many: _check_many,
    Dictionary: _check_dictionary,
    Record: _check_record,
}
