"""NodeDataplane.spec as JSON and back. Strict in what is read, canonical in what is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway_crds.canonical import sha256_hex
from spillway_crds.decode import checked
from spillway_crds.encode import without_empty
from spillway_crds.filters import Mode
from spillway_crds.orders import Attach, FilterOrder, NodeOrder, NodeState
from spillway_crds.schema.nodedataplane import ORDER
from spillway_crds.status_wire import decode_status, encode_status
from spillway_crds.trim import trim_status

__all__ = ["decode_order", "decode_status", "encode_order", "encode_status", "order_hash", "trim_status"]
HASH_DIGITS = 16


def encode_order(order: NodeOrder) -> dict[str, Any]:
    """NodeDataplane.spec. `state` and `attach` are always there; empty lists and `false` are left out."""
    fields = {
        "state": order.state.value,
        "attach": order.attach.value,
        "reportSeconds": order.report_seconds,
        "attachStandby": order.attach_standby or None,
        "ringInterfaces": list(order.ring_interfaces),
        "filters": [_filter(each) for each in order.filters],
    }
    return without_empty(fields)


def _filter(order: FilterOrder) -> dict[str, Any]:
    fields = {
        "name": order.name,
        "uid": order.uid,
        "revision": order.revision,
        "mode": order.mode.value,
        "suspend": order.suspend or None,
        "created": order.created,
    }
    return {"uid": "", **without_empty(fields)}


def decode_order(raw: Mapping[str, Any]) -> NodeOrder:
    """Inverse of `encode_order`; also reads what the API server completed with defaults.

    Raises InvalidIntent with every problem. An order that is not understood is never taken for an empty one.
    """
    spec = checked(ORDER, raw, "spec")
    return NodeOrder(
        state=NodeState(spec["state"]),
        attach=Attach(spec["attach"]),
        report_seconds=spec["reportSeconds"],
        attach_standby=spec["attachStandby"],
        filters=tuple(map(_decode_filter, spec.get("filters", ()))),
        ring_interfaces=tuple(sorted(spec.get("ringInterfaces", ()))),
    )


def _decode_filter(raw: Mapping[str, Any]) -> FilterOrder:
    return FilterOrder(
        name=raw["name"],
        uid=raw["uid"],
        revision=raw["revision"],
        mode=Mode(raw["mode"]),
        suspend=raw["suspend"],
        created=raw.get("created", ""),
    )


def order_hash(order: NodeOrder) -> str:
    """16 hex digits of the order's canonical JSON: what an agent reports as observedSpecHash."""
    return sha256_hex(encode_order(order))[:HASH_DIGITS]
