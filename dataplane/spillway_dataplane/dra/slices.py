"""From devices and the slices that there are to the slices to write. Pure.

A pool is this node's queues. Whatever changes in it, all its slices are written with the next generation: the scheduler takes a
pool whose slices have not all the highest one, or are not as many as they say, for incomplete. Source: resource.k8s.io/v1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway_dataplane.dra.devices import QueueDevice, encode_device
from spillway_dataplane.dra.names import QUEUE_DRIVER, RESOURCE_API

SLICE_DEVICES = 128  # ResourceSliceMaxDevices
NAME_LENGTH = 253
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteSlice:
    """Make or change one slice. spec: as the API has it."""

    name: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteSlice:
    """Remove a slice that the pool no longer needs."""

    name: str


SliceAction = WriteSlice | DeleteSlice


def plan_slices(node_name: str, devices: tuple[QueueDevice, ...], found: Mapping[str, Raw]) -> tuple[SliceAction, ...]:
    """Return what makes the slices of our driver on this node say `devices`, nothing if they do.

    found: all of them by name, as the API has them. What is written comes before what is deleted: an old slice with a lower
    generation is already out of force then.
    """
    encoded = [encode_device(each) for each in devices]
    parts = [encoded[start : start + SLICE_DEVICES] for start in range(0, len(encoded), SLICE_DEVICES)]
    generation = max((_pool(each).get("generation", 0) for each in found.values()), default=0)
    if _specs(node_name, parts, generation) == {name: _ours_of(each) for name, each in found.items()}:
        return ()
    wanted = _specs(node_name, parts, generation + 1)
    writes = tuple(WriteSlice(name, spec) for name, spec in wanted.items())
    return writes + tuple(DeleteSlice(name) for name in sorted(found.keys() - wanted.keys()))


def _specs(node_name: str, parts: list[list[dict[str, Any]]], generation: int) -> dict[str, dict[str, Any]]:
    pool = {"name": node_name, "generation": generation, "resourceSliceCount": len(parts)}
    return {
        slice_name(node_name, number): {"driver": QUEUE_DRIVER, "nodeName": node_name, "pool": pool, "devices": part}
        for number, part in enumerate(parts)
    }


def slice_name(node_name: str, number: int) -> str:
    """Return the name of a pool's slice; a node's name that is too long for it is shortened, and told apart by a hash."""
    ending = f"-{QUEUE_DRIVER}-{number}"
    if len(node_name) + len(ending) <= NAME_LENGTH:
        return node_name + ending
    digest = hashlib.sha256(node_name.encode()).hexdigest()[:10]
    return f"{node_name[: NAME_LENGTH - len(ending) - len(digest) - 1]}-{digest}{ending}".replace(".-", "-")


def _ours_of(raw: Raw) -> dict[str, Any]:
    """What of a slice's spec we write; a newer API server may fill in more."""
    spec = raw.get("spec") or {}
    pool = _pool(raw)
    return {
        "driver": spec.get("driver"),
        "nodeName": spec.get("nodeName"),
        "pool": {key: pool.get(key) for key in ("name", "generation", "resourceSliceCount")},
        "devices": [{key: device.get(key) for key in ("name", "attributes")} for device in spec.get("devices") or ()],
    }


def _pool(raw: Raw) -> Raw:
    found: Raw = (raw.get("spec") or {}).get("pool") or {}
    return found


def encode_slice(action: WriteSlice, node_name: str, node_uid: str) -> dict[str, Any]:
    """The object to apply. Its owner is the Node: where the node object goes, the slices go."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": node_uid, "controller": True}
    return {
        "apiVersion": RESOURCE_API,
        "kind": "ResourceSlice",
        "metadata": {"name": action.name, "ownerReferences": [owner]},
        "spec": action.spec,
    }
