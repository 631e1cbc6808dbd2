"""Manifests for tables of constraints, and what a row of such a table is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
NO_ITEMS = "should have at least 1 items"
UNKNOWN = "unknown field"
REQUIRED = "Required value"
SUPPORTED = "supported values: "


@dataclass(frozen=True, slots=True)
class Constraint:
    """accepted: the nearest manifest that is let in. rejected: one that is refused with `reason` at `path`."""

    id: str
    accepted: Manifest
    rejected: Manifest
    path: str
    reason: str


def manifest(kind: str, spec: object, **metadata: object) -> Manifest:
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": kind, "metadata": {"name": "case", **metadata}, "spec": spec}


def rule(**fields: object) -> dict[str, object]:
    return {"name": "one", "match": {"protocol": "UDP"}, "action": "Drop"} | fields


def spec(*without: str, **fields: object) -> Manifest:
    """A FloodFilter of one rule, with fields set and others taken out."""
    whole = {"nodeSelector": {}, "rules": [rule()]} | fields
    return manifest("FloodFilter", {key: value for key, value in whole.items() if key not in without})


def rules(*each: object) -> Manifest:
    return spec(rules=list(each))


def match(**fields: object) -> Manifest:
    return rules(rule(match=fields))


def selector(**fields: object) -> Manifest:
    return spec(nodeSelector=fields)


def expression(**fields: object) -> Manifest:
    return selector(matchExpressions=[fields])


def named(name: str) -> Manifest:
    return manifest("FloodFilter", spec()["spec"], name=name)


def udp(**fields: object) -> Manifest:
    return match(protocol="UDP", **fields)


def flags(**fields: object) -> Manifest:
    return match(protocol="TCP", tcpFlags=fields)


def types(*numbers: object) -> Manifest:
    return match(protocol="ICMP", icmpTypes=list(numbers))


def nets(count: int) -> list[str]:
    return [f"10.{index}.0.0/16" for index in range(count)]


def ports(count: int) -> list[str]:
    return [f"{index}-{index + 5}" for index in range(0, count * 10, 10)]


def many_rules(count: int) -> Manifest:
    return rules(*(rule(name=f"r{index}") for index in range(count)))


def refused_prefix(text: str) -> Manifest:
    return match(sources=[text])
