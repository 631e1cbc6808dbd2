"""A ControllerRevision holds what nodes execute of one FloodFilter, immutable, named by its hash.

It carries none of the DaemonSet's labels: the DaemonSet's controller would adopt and prune it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.canonical import sha256_hex
from spillway_crds.decode import decode_filter_content
from spillway_crds.encode import encode_content
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import FilterContent

API_VERSION = "apps/v1"
KIND = "ControllerRevision"
NAME_HASH_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Revision:
    """One content of a filter. number: counts a filter's revisions, the highest is the newest."""

    name: str
    filter_name: str
    number: int
    content: FilterContent


def content_hash(content: FilterContent) -> str:
    """SHA-256 of the content's canonical JSON, 64 hex digits."""
    return sha256_hex(encode_content(content))


def revision_name(filter_name: str, content: FilterContent) -> str:
    """`<filter>-<10 hex>`: equal contents of one filter have one name."""
    return f"{filter_name}-{content_hash(content)[:NAME_HASH_DIGITS]}"


def encode_revision(filter_name: str, content: FilterContent, *, number: int, namespace: str) -> dict[str, Any]:
    """The ControllerRevision to create; `name` and `data` are a function of filter and content alone."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": revision_name(filter_name, content),
            "namespace": namespace,
            "labels": {names.REVISION_LABEL: filter_name},
        },
        "data": {"content": encode_content(content)},
        "revision": number,
    }


def decode_revision(raw: Mapping[str, Any]) -> Revision:
    """Turn a ControllerRevision, fetched or from the node's disk, into a value.

    Raises InvalidIntent if the content is not valid or not the one that the name was made of.
    """
    metadata = raw.get("metadata") or {}
    name, data = metadata.get("name", ""), raw.get("data")
    filter_name = name.rpartition("-")[0]
    if not isinstance(data, Mapping) or "content" not in data:
        raise InvalidIntent((Problem("data.content", None, "Required value"),))
    content = decode_filter_content(data["content"])
    if name != revision_name(filter_name, content):
        raise InvalidIntent((Problem("metadata.name", name, f"its content belongs to {revision_name(filter_name, content)}"),))
    return Revision(name=name, filter_name=filter_name, number=raw.get("revision", 0), content=content)
