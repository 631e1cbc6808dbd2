"""What every manifest has around its spec: version, kind and metadata, held as strictly as the API server holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spillway_crds import names
from spillway_crds.canonical import size_bytes
from spillway_crds.errors import Problem
from spillway_crds.schema.fields import Record
from spillway_crds.validate import REQUIRED, UNKNOWN_FIELD, completed, problems_of, type_name

MANIFEST_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
# meta/v1 ObjectMeta: the API server refuses others with the same words.
METADATA_FIELDS = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def manifest_problems(raw: Any, kind: str, spec: Record) -> list[Problem]:
    """Everything that is wrong with a manifest of that kind. `status` is not looked at."""
    if not isinstance(raw, Mapping):
        return [Problem("", raw, f'must be of type object: "{type_name(raw)}"')]
    found = [Problem(str(key), raw[key], UNKNOWN_FIELD) for key in raw if key not in MANIFEST_FIELDS]
    for key, wanted in (("apiVersion", names.API_VERSION), ("kind", kind)):
        if raw.get(key) != wanted:
            found.append(Problem(key, raw.get(key), f'supported values: "{wanted}"' if key in raw else REQUIRED))
    return [*found, *_metadata_problems(raw.get("metadata")), *_spec_problems(raw, spec)]


def _metadata_problems(metadata: Any) -> list[Problem]:
    if not isinstance(metadata, Mapping):
        return [Problem("metadata.name", None, REQUIRED)]
    found = [Problem(f"metadata.{key}", metadata[key], UNKNOWN_FIELD) for key in metadata if key not in METADATA_FIELDS]
    name = metadata.get("name")
    if name is None:
        found.append(Problem("metadata.name", None, REQUIRED))
    elif not isinstance(name, str) or not DNS_SUBDOMAIN.fullmatch(name):
        found.append(
            Problem(
                "metadata.name",
                name,
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
            )
        )
    elif len(name) > names.MAX_NAME_LENGTH:
        found.append(Problem("metadata.name", name, f"Too long: may not be more than {names.MAX_NAME_LENGTH} bytes"))
    return [*found, *_namespace_problems(metadata.get("namespace"))]


def _namespace_problems(namespace: object) -> list[Problem]:
    """No namespace has such a name, so the API server would only say that it does not find it."""
    if namespace in (None, "") or (isinstance(namespace, str) and DNS_LABEL.fullmatch(namespace)):
        return []
    reason = "a namespace's name is at most 63 lower case alphanumeric characters or '-', the first and last of them no '-'"
    return [Problem("metadata.namespace", namespace, reason)]


def _spec_problems(raw: Mapping[str, Any], spec: Record) -> tuple[Problem, ...]:
    if "spec" not in raw:
        return (Problem("spec", None, REQUIRED),)
    try:
        size = size_bytes(raw["spec"])
    except (ValueError, RecursionError):  # a YAML alias inside its own anchor
        return (Problem("spec", None, "holds itself"),)
    if size > names.MAX_FILTER_BYTES:  # nothing below is looked at: the list of its problems could be as long
        return (Problem("spec", None, f"{size} bytes of JSON, at most {names.MAX_FILTER_BYTES}"),)
    return problems_of(spec, completed(spec, raw["spec"]), "spec")
