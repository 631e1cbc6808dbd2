"""From the fields to OpenAPI v3 as a CRD wants it (a structural schema with CEL rules)."""

from __future__ import annotations

import json
from typing import Any

from spillway_crds.schema.fields import Dictionary, Field, Flag, Law, Many, Record, Text, Whole, WholeOr


def openapi(field: Field) -> dict[str, Any]:
    """The schema of one field. Keys come in the order in which a person reads them."""
    schema = {"description": field.description, **_typed(field)}
    if field.default is not None:
        schema["default"] = field.default
    if field.laws:
        schema["x-kubernetes-validations"] = [_validation(law, of_text=isinstance(field, Text)) for law in field.laws]
    return schema


def _typed(field: Field) -> dict[str, Any]:
    match field:
        case Text():
            return _text(field)
        case Whole() | WholeOr():
            return _number(field)
        case Flag():
            return {"type": "boolean"}
        case Many():
            return _many(field)
        case Dictionary():
            least = {"minProperties": field.least} if field.least else {}
            return {"type": "object", **least, "maxProperties": field.most, "additionalProperties": openapi(field.value)}
        case Record():
            return _record(field)


def _text(field: Text) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if field.form:
        schema["format"] = field.form
    if field.choices:
        schema["enum"] = [str(each) for each in field.choices]
    if field.max_length is not None:
        schema["maxLength"] = field.max_length
    if field.pattern:
        schema["pattern"] = field.pattern
    return schema


def _number(field: Whole | WholeOr) -> dict[str, Any]:
    return _whole(field) if isinstance(field, Whole) else _whole_or(field)


def _whole(field: Whole) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "format": "int64" if field.wide else "int32", "minimum": field.minimum}
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    return schema


def _whole_or(field: WholeOr) -> dict[str, Any]:
    """`kubectl explain` shows no type for it; the bounds are of the number, the length is of the word."""
    return {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "minimum": field.minimum,
        "maximum": field.maximum,
        "maxLength": len(field.word),
    }


def _many(field: Many) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array"}
    if field.least:
        schema["minItems"] = field.least
    schema["maxItems"] = field.most
    if field.keys:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(field.keys)}
    else:
        schema["x-kubernetes-list-type"] = "set" if field.unique else "atomic"
    return schema | {"items": openapi(field.item)}


def _record(field: Record) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if field.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    if field.required:
        schema["required"] = list(field.required)
    if field.fields:  # the API server drops an empty one
        schema["properties"] = {name: openapi(each) for name, each in field.fields.items()}
    return schema


def _validation(law: Law, *, of_text: bool) -> dict[str, Any]:
    """of_text: the message names the value, of which the API server itself tells only the type.

    Not of numbers: it takes their digits for endless, and such a rule for too expensive.
    """
    validation = {"rule": law.cel, "message": law.message}
    if law.message_cel:
        validation["messageExpression"] = law.message_cel
    elif of_text:
        validation["messageExpression"] = f'"\'" + self + "\' " + {json.dumps(law.message)}'
    if law.field_path:
        validation["fieldPath"] = law.field_path
    return validation
