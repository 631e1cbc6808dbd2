"""Protobuf messages from tables of their fields: what of them is not listed is kept as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Of each message: field name -> (number, type). `[]` is repeated, `{}` a map from string; types that are no scalars are messages.
Fields = Mapping[str, tuple[int, str]]
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES, "bool": _Field.TYPE_BOOL, "int64": _Field.TYPE_INT64}


def message_classes(packages: Mapping[str, Mapping[str, Fields]]) -> dict[str, Any]:
    """Return a class for each message of each package, by name without the package."""
    pool = descriptor_pool.DescriptorPool()
    for package, messages in packages.items():
        pool.Add(_file(package, messages))
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for package, messages in packages.items()
        for name in messages
    }


def _file(package: str, messages: Mapping[str, Fields]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, f".{package}", field, number, kind)
    return file


def _add_field(message: Any, scope: str, name: str, number: int, kind: str) -> None:
    if kind.endswith("{}"):
        kind = _add_entry(message, scope, name, kind[:-2]) + "[]"
    repeated = kind.endswith("[]")
    kind = kind.removesuffix("[]")
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
    if kind not in _SCALARS:
        field.type_name = f"{scope}.{kind}"


def _add_entry(message: Any, scope: str, field: str, kind: str) -> str:
    """On the wire a map is a repeated message of key and value. Returns that message's name."""
    entry = message.nested_type.add(name=f"{field.title()}Entry")
    entry.options.map_entry = True
    _add_field(entry, scope, "key", 1, "string")
    _add_field(entry, scope, "value", 2, kind)
    return f"{message.name}.{entry.name}"
