"""A report as the status of a ResourceClaim has it (resource.k8s.io/v1, AllocatedDeviceStatus), and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway_crds.encode import without_empty
from spillway_dataplane.dra.names import QUEUE_DRIVER, RESOURCE_API
from spillway_dataplane.dra.report import Condition, DeviceReport, Report


def encode_report(report: Report) -> dict[str, Any]:
    """The body of the claim's status to apply. The uid goes along: a successor of the same name is never written to."""
    ref = report.ref
    return {
        "apiVersion": RESOURCE_API,
        "kind": "ResourceClaim",
        "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": ref.uid},
        "status": {"devices": [_encode_device(each) for each in report.devices]},
    }


def _encode_device(device: DeviceReport) -> dict[str, Any]:
    network = without_empty({"interfaceName": device.interface, "hardwareAddress": device.mac})
    return {
        "driver": QUEUE_DRIVER,
        "pool": device.pool,
        "device": device.device,
        "conditions": [_encode_condition(each) for each in device.conditions],
        "data": {**device.facts, **device.counts},
        **({"networkData": network} if network else {}),
    }


def _encode_condition(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": "True" if condition.met else "False",
        "reason": condition.reason,
        "message": f"{condition.message}; {condition.measured}" if condition.measured else condition.message,
        "lastTransitionTime": condition.since,
    }


def decode_conditions(raw: Mapping[str, Any]) -> dict[tuple[str, str], Condition]:
    """Read back what an earlier process told of our devices in a claim, leniently: it is only about dates."""
    devices = [each for each in (raw.get("status") or {}).get("devices") or () if each.get("driver") == QUEUE_DRIVER]
    return {
        (device.get("device", ""), each.get("type", "")): Condition(
            each.get("type", ""), each.get("status") == "True", each.get("reason", ""), "", each.get("lastTransitionTime", "")
        )
        for device in devices
        for each in device.get("conditions") or ()
    }
