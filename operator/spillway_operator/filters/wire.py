"""Between the API server's JSON and the values of sights.py. Pure: no I/O, no clock."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from spillway_crds import names
from spillway_crds.canonical import size_bytes
from spillway_crds.decode import decode_filter
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.failsafe import FailsafeFlow
from spillway_crds.failsafe_overlap import overlapping_flows
from spillway_crds.filters import FloodFilter
from spillway_crds.orders import NodeOrder
from spillway_crds.orders_wire import decode_order, decode_status, encode_order, order_hash
from spillway_crds.resolve import order_of
from spillway_operator.filters.report import decode_report
from spillway_operator.filters.sights import ConfigSight, DataplaneSight, FilterSight, NodeSight, RevisionSight

Raw = Mapping[str, Any]
TURN_LABEL = f"{names.GROUP}/turn"  # on a NodeDataplane: so that a turn that failed is remembered over the operator's restart
TURN_FAILED = "Failed"
ADDRESS_TYPES = ("InternalIP", "ExternalIP")


def reduce_node(raw: Raw) -> NodeSight:
    """A Node as it is seen."""
    meta, status = raw["metadata"], raw.get("status") or {}
    addresses = {each["address"] for each in status.get("addresses") or () if each.get("type") in ADDRESS_TYPES}
    return NodeSight(
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        labels={sys.intern(key): sys.intern(value) for key, value in (meta.get("labels") or {}).items()},
        addresses=tuple(sorted(addresses)),
        reachable=not _is_away(status.get("conditions") or ()),
        closed=bool((raw.get("spec") or {}).get("unschedulable")),
    )


def _is_away(conditions: Iterable[Raw]) -> bool:
    return any(each.get("type") == "Ready" and each.get("status") != "True" for each in conditions)


def reduce_filter(raw: Raw, known: FilterSight | None, flows: tuple[FailsafeFlow, ...]) -> FilterSight:
    """A FloodFilter as it is seen. known: the last sight of it; its spec is decoded again only if its generation is another.

    flows: the failsafe flows that its rules are held against.
    """
    meta = raw["metadata"]
    version, report = int(meta["resourceVersion"]), decode_report(raw.get("status"))
    if known is not None and (known.uid, known.generation) == (meta["uid"], meta.get("generation", 0)):
        return replace(known, version=version, report=report)
    bare = FilterSight(
        name=meta["name"],
        uid=meta["uid"],
        version=version,
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        size_bytes=size_bytes(raw.get("spec")),
        report=report,
    )
    try:
        return _described(bare, checked_filter(raw), flows)
    except InvalidIntent as error:
        return replace(bare, problem=str(error))


def checked_filter(raw: Raw) -> FloodFilter:
    """Decode a FloodFilter that is within its limits. Raises InvalidIntent, for one that is too large with its size."""
    size = size_bytes(raw.get("spec"))
    if size > names.MAX_FILTER_BYTES:
        reason = f"is {size} bytes of JSON, at most {names.MAX_FILTER_BYTES} are accepted"
        raise InvalidIntent((Problem("spec", None, reason),))
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return decode_filter({**raw, "metadata": metadata})


def _described(bare: FilterSight, decoded: FloodFilter, flows: tuple[FailsafeFlow, ...]) -> FilterSight:
    content = decoded.spec.content
    overlaps = ((rule.name, overlapping_flows(rule, flows)) for rule in content.rules)
    thin = replace(decoded.spec, content=replace(content, rules=(), exempt=(), interfaces=(), rx_queue_ids=()))
    return replace(
        bare,
        subject=replace(decoded, spec=thin),
        order=order_of(decoded),
        rule_names=tuple(rule.name for rule in content.rules),
        overlaps=tuple(f"rule {name}: {', '.join(touched)}" for name, touched in overlaps if touched),
    )


def reduce_dataplane(raw: Raw, known: DataplaneSight | None) -> DataplaneSight:
    """A NodeDataplane as it is seen; its order is decoded again only if its generation is another than in `known`."""
    meta = raw["metadata"]
    same = known is not None and (known.uid, known.generation) == (meta["uid"], meta.get("generation", 0))
    order = known.order if same and known is not None else _order_in(raw)
    owners = [owner["uid"] for owner in meta.get("ownerReferences") or () if owner.get("kind") == "Node"]
    return DataplaneSight(
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        owner_uid=owners[0] if len(owners) == 1 else "",
        failed=(meta.get("labels") or {}).get(TURN_LABEL) == TURN_FAILED,
        reported_at=_reported_at(meta),
        order=order,
        order_hash=known.order_hash if same and known is not None else order_hash(order) if order else "",
        status=decode_status(raw.get("status")),
    )


def _reported_at(meta: Raw) -> str:
    written = (each for each in meta.get("managedFields") or () if each.get("subresource") == "status")
    return max((each.get("time") or "" for each in written if each.get("manager") == names.AGENT_FIELD_MANAGER), default="")


def _order_in(raw: Raw) -> NodeOrder | None:
    try:
        return decode_order(raw.get("spec") or {})
    except InvalidIntent:
        return None  # somebody's edit: no order that we would give, so it is replaced


def dataplane_body(order: NodeOrder, node: NodeSight, *, failed: bool) -> dict[str, Any]:
    """What is applied to a NodeDataplane. It belongs to its Node and goes with it."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
    labels = {"labels": {TURN_LABEL: TURN_FAILED}} if failed else {}
    return {"metadata": {"name": node.name, "ownerReferences": [owner], **labels}, "spec": encode_order(order)}


def reduce_config(raw: Raw) -> ConfigSight:
    """A ConfigMap as it is seen."""
    meta = raw["metadata"]
    return ConfigSight(meta["name"], int(meta["resourceVersion"]), dict(raw.get("data") or {}))


def reduce_revision(raw: Raw) -> RevisionSight:
    """A ControllerRevision, whole or its metadata alone."""
    meta = raw["metadata"]
    owner = (meta.get("labels") or {}).get(names.REVISION_LABEL, "")
    return RevisionSight(meta["name"], owner, meta["uid"], int(meta["resourceVersion"]))
