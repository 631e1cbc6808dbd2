"""What every manifest has around its spec: version, kind and metadata, held as strictly as the API server holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway_crds import names
from spillway_crds.canonical import size_bytes
from spillway_crds.errors import Problem
from spillway_crds.metadata import metadata_problems
from spillway_crds.schema.fields import Record
from spillway_crds.validate import REQUIRED, UNKNOWN_FIELD, completed, problems_of, type_name

MANIFEST_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")


def manifest_problems(raw: Any, kind: str, spec: Record) -> list[Problem]:
    """Everything that is wrong with a manifest of that kind. `status` is not looked at."""
    if not isinstance(raw, Mapping):
        return [Problem("", raw, f'must be of type object: "{type_name(raw)}"')]
    found = [Problem(str(key), raw[key], UNKNOWN_FIELD) for key in raw if key not in MANIFEST_FIELDS]
    for key, wanted in (("apiVersion", names.API_VERSION), ("kind", kind)):
        if raw.get(key) != wanted:
            found.append(Problem(key, raw.get(key), REQUIRED if raw.get(key) is None else f'supported values: "{wanted}"'))
    return [*found, *metadata_problems(raw.get("metadata")), *_spec_problems(raw, spec)]


def _spec_problems(raw: Mapping[str, Any], spec: Record) -> tuple[Problem, ...]:
    if raw.get("spec") is None:
        return (Problem("spec", None, REQUIRED),)
    try:
        size = size_bytes(raw["spec"])
    except (ValueError, RecursionError):  # a YAML alias inside its own anchor
        return (Problem("spec", None, "holds itself"),)
    if size > names.MAX_FILTER_BYTES:  # nothing below is looked at: the list of its problems could be as long
        return (Problem("spec", None, f"{size} bytes of JSON, at most {names.MAX_FILTER_BYTES}"),)
    return problems_of(spec, completed(spec, raw["spec"]), "spec")
