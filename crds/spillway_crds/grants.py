"""Which transmit queues may be granted, and to whom: the cluster administrator's word, the chart's value `streams.grants`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.decode import checked
from spillway_crds.schema.fields import Many, Record, Text, Whole
from spillway_crds.schema.stream_laws import DEVICE_LAWS

GRANT = Record(
    description="Transmit queues of one interface name, on every node that has it, and the namespaces that may have them.",
    fields={
        "interface": Text(description="Interface by its exact name.", max_length=15, laws=DEVICE_LAWS),
        "queues": Many(
            description="Transmit queues, from 0.",
            item=Whole(description="A queue's number.", maximum=names.MAX_QUEUE_ID),
            most=names.MAX_QUEUE_ID + 1,
        ),
        "namespaces": Many(
            description="Namespaces that may have them.", item=Text(description="A namespace.", max_length=63), most=1024
        ),
    },
    required=("interface", "queues", "namespaces"),
)
GRANTS = Many(description="All that may be granted.", item=GRANT, least=0, most=256)


@dataclass(frozen=True, slots=True)
class Grant:
    """Queues of one interface that claims of some namespaces may have."""

    interface: str
    queues: frozenset[int]
    namespaces: frozenset[str]


def decode_grants(raw: Any, path: str) -> tuple[Grant, ...]:
    """Turn the JSON list into values. Raises InvalidIntent with every problem, each with its path below `path`."""
    return tuple(map(_grant, checked(GRANTS, raw, path)))


def _grant(raw: Mapping[str, Any]) -> Grant:
    return Grant(raw["interface"], frozenset(raw["queues"]), frozenset(raw["namespaces"]))


def granted_queues(grants: Iterable[Grant], namespace: str, interface: str) -> frozenset[int]:
    """Queues of an interface that a namespace may have."""
    fitting = (each.queues for each in grants if each.interface == interface and namespace in each.namespaces)
    return frozenset(queue for queues in fitting for queue in queues)


def granted_interfaces(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Interfaces with a queue that anybody may have, sorted."""
    return tuple(sorted({each.interface for each in grants}))
