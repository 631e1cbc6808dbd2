"""Streams, claims and slices as the API server has them, for the tests of the operator's part in them."""

from __future__ import annotations

import itertools
from typing import Any

from spillway_crds.grants import decode_grants
from spillway_operator.streams.wire import claim_spec, reduce_claim, reduce_slice, reduce_stream

Raw = dict[str, Any]
DRIVER = "tx-queue.spillway.dev"
GRANTS = decode_grants([{"interface": "eth1", "queues": [1, 2], "namespaces": ["studio", "news"]}], "grants")
_versions = itertools.count(1)


def stream(name: str = "cam", queue: object = 1, *, namespace: str = "studio", age: int = 0, **spec: Any) -> Raw:
    """A BypassStream. age: the higher, the younger."""
    whole = {"interface": "eth1", "txQueue": queue, "source": {"application": {}}, **spec}
    whole.setdefault("flow", {"destinationAddress": "10.0.0.9", "destinationPort": 5004})
    metadata = {
        "namespace": namespace,
        "name": name,
        "uid": f"uid-{namespace}-{name}",
        "resourceVersion": str(next(_versions)),
        "generation": 1,
        "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
    }
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "BypassStream", "metadata": metadata, "spec": whole}


def claim(of: Raw, *, device: tuple[str, str] | None = None, pods: tuple[str, ...] = (), said: Raw | None = None) -> Raw:
    """A stream's ResourceClaim, with what the API server fills in; allocated if it has a device: (node, name)."""
    made = bare_claim(of["metadata"]["namespace"], of["metadata"]["name"], device=device, pods=pods, said=said)
    owner = {"apiVersion": of["apiVersion"], "kind": "BypassStream", "name": of["metadata"]["name"], "uid": of["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    subject = reduce_stream(of, None).subject
    assert subject is not None
    made["spec"] = claim_spec(subject)
    made["spec"]["devices"]["requests"][0]["exactly"] |= {"allocationMode": "ExactCount", "count": 1}
    return made


def bare_claim(
    namespace: str,
    name: str,
    *,
    cel: str = "",
    device: tuple[str, str] | None = None,
    pods: tuple[str, ...] = (),
    said: Raw | None = None,
) -> Raw:
    """A claim that somebody wrote by hand."""
    asked = {"deviceClassName": f"{namespace}.{DRIVER}", "selectors": [{"cel": {"expression": cel}}] if cel else []}
    status: Raw = {"reservedFor": [{"resource": "pods", "name": pod, "uid": f"uid-{pod}"} for pod in pods]}
    if device:
        place = {"driver": DRIVER, "pool": device[0], "device": device[1]}
        status["allocation"] = {"devices": {"results": [{"request": "ring", **place}]}}
        status["devices"] = [{**place, **said}] if said else []
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"namespace": namespace, "name": name, "uid": f"claim-{name}", "resourceVersion": str(next(_versions))},
        "spec": {"devices": {"requests": [{"name": "ring", "exactly": asked}]}},
        "status": status,
    }


def offered(node: str, *queues: int, interface: str = "eth1", driver: str = DRIVER) -> Raw:
    """A node's ResourceSlice."""
    devices = [
        {"name": f"{interface}-tx{queue}", "attributes": {"interface": {"string": interface}, "queue": {"int": queue}}}
        for queue in queues
    ]
    spec = {"driver": driver, "nodeName": node, "pool": {"name": node, "generation": 1}, "devices": devices}
    return {"metadata": {"name": f"{node}-{driver}-0", "uid": node, "resourceVersion": str(next(_versions))}, "spec": spec}


def sights(*raws: Raw) -> tuple[Any, ...]:
    """The same as the operator remembers them."""
    makers = {"BypassStream": lambda raw: reduce_stream(raw, None), "ResourceClaim": reduce_claim}
    return tuple(makers.get(raw.get("kind", ""), reduce_slice)(raw) for raw in raws)
