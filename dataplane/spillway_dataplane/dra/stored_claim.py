"""A ResourceClaim as the API server stores it: in protobuf, in which raw JSON goes to and fro to the byte. Pure.

Whoever posts a claim as JSON with blanks or unsorted keys in its parameters has them stored so. Every patch packs and sorts
them, in the copy that the scheduler put into the allocation too, and the API server takes that for a change of what cannot be
changed. A client of Python writes such JSON. Source: k8s.io/api/resource/v1 and k8s.io/apimachinery, generated.proto.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError

from spillway_dataplane.dra.messages import Fields, message_classes
from spillway_dataplane.dra.names import QUEUE_DRIVER

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"  # before each object
PACKAGE = "k8s"
STORED: Mapping[str, Fields] = {
    "Unknown": {"raw": (2, "bytes")},  # the envelope of every object
    "ResourceClaim": {"metadata": (1, "ObjectMeta"), "status": (3, "ResourceClaimStatus")},
    "ObjectMeta": {"uid": (5, "string")},
    "ResourceClaimStatus": {"devices": (4, "AllocatedDeviceStatus[]")},
    "AllocatedDeviceStatus": {
        "driver": (1, "string"),
        "pool": (2, "string"),
        "device": (3, "string"),
        "conditions": (4, "Condition[]"),
        "data": (5, "RawExtension"),
        "networkData": (6, "NetworkDeviceData"),
    },
    "Condition": {
        "type": (1, "string"),
        "status": (2, "string"),
        "lastTransitionTime": (4, "Time"),
        "reason": (5, "string"),
        "message": (6, "string"),
    },
    "Time": {"seconds": (1, "int64")},
    "RawExtension": {"raw": (1, "bytes")},
    "NetworkDeviceData": {"interfaceName": (1, "string"), "hardwareAddress": (3, "string")},
}
MESSAGES = message_classes({PACKAGE: STORED})
Raw = Mapping[str, Any]


def uid_of_stored(stored: bytes) -> str:
    """Return the claim's uid. Raises ValueError for what is no object in protobuf."""
    return str(_opened(stored)[1].metadata.uid)


def with_devices(stored: bytes, devices: list[Raw]) -> bytes:
    """Return the same claim with these entries of `status.devices` in place of those of our driver.

    devices: as `encode_report` has them. Everything else stays as it came. Raises ValueError for what is no object in protobuf.
    """
    envelope, claim = _opened(stored)
    kept = [each for each in claim.status.devices if each.driver != QUEUE_DRIVER]
    del claim.status.devices[:]
    claim.status.devices.extend([*kept, *map(_device, devices)])
    envelope.raw = claim.SerializeToString()
    return MAGIC + bytes(envelope.SerializeToString())


def _opened(stored: bytes) -> tuple[Any, Any]:
    if not stored.startswith(MAGIC):
        raise ValueError("not an object in protobuf")
    try:
        envelope = MESSAGES["Unknown"].FromString(stored.removeprefix(MAGIC))
        return envelope, MESSAGES["ResourceClaim"].FromString(envelope.raw)
    except DecodeError as error:
        raise ValueError(str(error)) from error


def _device(raw: Raw) -> Any:
    return MESSAGES["AllocatedDeviceStatus"](
        driver=raw["driver"],
        pool=raw["pool"],
        device=raw["device"],
        conditions=[_condition(each) for each in raw["conditions"]],
        data={"raw": json.dumps(raw["data"], separators=(",", ":"), sort_keys=True).encode()},
        networkData=raw.get("networkData"),
    )


def _condition(raw: Raw) -> Any:
    changed = {"seconds": int(datetime.fromisoformat(raw["lastTransitionTime"]).timestamp())}
    return MESSAGES["Condition"](**{**raw, "lastTransitionTime": changed})
