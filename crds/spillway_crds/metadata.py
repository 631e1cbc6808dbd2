"""An object's metadata, held as strictly as the API server holds it: what it would refuse must not pass a check before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spillway_crds import names
from spillway_crds.errors import Problem
from spillway_crds.schema.fields import Dictionary, Flag, Law, Many, Record, Text, Whole
from spillway_crds.schema.selector import BAD_KEY, KEYS_LAW, LABEL_VALUE, MAX_LABEL_VALUE
from spillway_crds.validate import REQUIRED, completed, problems_of, type_name

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)", re.ASCII)
NO_NAMESPACE = "a namespace's name is at most 63 lower case alphanumeric characters or '-', the first and last of them no '-'"
UNBOUNDED = 2**31
MAX_ANNOTATION_BYTES = 256 * 1024

# Laws without CEL: the API server holds metadata by itself.
_TEXT = Text(description="")
_NAMESPACE = Text(
    description="",
    laws=(
        Law(
            cel="",
            holds=lambda name: not name or DNS_LABEL.fullmatch(name) is not None,  # the API server would only not find it
            message=NO_NAMESPACE,
        ),
    ),
)
_NUMBER = Whole(description="", wide=True, minimum=-(2**63))
_TIME = Text(
    description="",
    laws=(Law(cel="", holds=lambda text: RFC_3339.fullmatch(text) is not None, message="not a time, as 2026-12-01T00:00:00Z"),),
)
_LABELS = Dictionary(
    description="",
    value=Text(description="", pattern=LABEL_VALUE, max_length=MAX_LABEL_VALUE),
    most=UNBOUNDED,
    laws=(KEYS_LAW,),
)
_ANNOTATIONS = Dictionary(
    description="",
    value=_TEXT,
    most=UNBOUNDED,
    laws=(
        Law(cel="", holds=lambda given: KEYS_LAW.holds({key.lower(): "" for key in given}), message=BAD_KEY),
        Law(
            cel="",
            holds=lambda given: (
                sum(len(key.encode()) + len(text.encode()) for key, text in given.items()) <= MAX_ANNOTATION_BYTES
            ),
            message=f"Too long: may not be more than {MAX_ANNOTATION_BYTES} bytes",
        ),
    ),
)
_OWNER = Record(
    description="",
    fields={
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _TEXT),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), Flag(description="")),
    },
    required=("apiVersion", "kind", "name", "uid"),
)
# meta/v1 ObjectMeta without the name, and what only API servers write.
FIELDS = Record(
    description="",
    fields={
        **dict.fromkeys(("generateName", "selfLink", "uid", "resourceVersion"), _TEXT),
        "namespace": _NAMESPACE,
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _NUMBER),
        "labels": _LABELS,
        "annotations": _ANNOTATIONS,
        "finalizers": Many(description="", item=_TEXT, least=0, most=UNBOUNDED),
        "ownerReferences": Many(description="", item=_OWNER, least=0, most=UNBOUNDED),
    },
)


def metadata_problems(metadata: Any) -> list[Problem]:
    """Everything that is wrong with a manifest's `metadata`."""
    if metadata is None:
        return [Problem("metadata.name", None, REQUIRED)]
    if not isinstance(metadata, Mapping):
        return [Problem("metadata", metadata, f'must be of type object: "{type_name(metadata)}"')]
    others = {key: _without_nulls(value) for key, value in metadata.items() if key not in ("name", "managedFields")}
    managed = metadata.get("managedFields")
    found = [*problems_of(FIELDS, completed(FIELDS, others), "metadata"), *_name_problems(metadata.get("name"))]
    if managed is not None and not isinstance(managed, list):
        found.append(Problem("metadata.managedFields", managed, f'must be of type array: "{type_name(managed)}"'))
    return found


def _without_nulls(value: Any) -> Any:
    """A label or an annotation that is null is an empty one."""
    return {key: "" if each is None else each for key, each in value.items()} if isinstance(value, Mapping) else value


def _name_problems(name: Any) -> list[Problem]:
    if name is None:
        return [Problem("metadata.name", None, REQUIRED)]
    if not isinstance(name, str):
        return [Problem("metadata.name", name, f'must be of type string: "{type_name(name)}"')]
    if not DNS_SUBDOMAIN.fullmatch(name):
        wanted = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        return [Problem("metadata.name", name, wanted)]
    if len(name) > names.MAX_NAME_LENGTH:
        return [Problem("metadata.name", name, f"Too long: may not be more than {names.MAX_NAME_LENGTH} bytes")]
    return []
