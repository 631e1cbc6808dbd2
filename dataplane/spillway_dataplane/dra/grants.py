"""Which queues may be handed out, and to whom: the cluster administrator's word, as streams.json says it. Nothing by default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.decode import checked
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.schema.fields import Many, Record, Text, Whole

REPORT_SECONDS = 10  # between two reports of counters of one ring; changes of state are told at once
GRANT = Record(
    description="Transmit queues of one interface name, on every node that has it, and the namespaces that may have them.",
    fields={
        "interface": Text(description="Exact name.", pattern=r"^[^\s/]{1,15}$"),
        "queues": Many(
            description="Transmit queues, from 0.",
            item=Whole(description="A queue's number.", maximum=names.MAX_QUEUE_ID),
            most=names.MAX_QUEUE_ID + 1,
        ),
        "namespaces": Many(description="Namespaces.", item=Text(description="A namespace.", max_length=63), most=1024),
    },
    required=("interface", "queues", "namespaces"),
)
CONFIG = Record(
    description="The configuration of the driver.",
    fields={
        "grants": Many(description="What may be handed out.", item=GRANT, least=0, most=256),
        "reportSeconds": Whole(description="Pace of counters.", minimum=1, maximum=3600, default=REPORT_SECONDS),
    },
    required=("grants",),
)


@dataclass(frozen=True, slots=True)
class Grant:
    """Queues of one interface that may be handed out to claims of some namespaces."""

    interface: str
    queues: frozenset[int]
    namespaces: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grants:
    """All grants of the cluster; those of interfaces that this node lacks mean nothing here."""

    grants: tuple[Grant, ...] = ()
    report_seconds: int = REPORT_SECONDS

    def queues(self) -> tuple[tuple[str, int], ...]:
        """Return each (interface, queue) that anybody may have, in order, once."""
        return tuple(sorted({(each.interface, queue) for each in self.grants for queue in each.queues}))

    def allows(self, namespace: str, interface: str, queue: int) -> bool:
        """Whether claims of this namespace may have this queue."""
        return any(each.interface == interface and queue in each.queues and namespace in each.namespaces for each in self.grants)


def decode_grants(text: str | bytes) -> Grants:
    """Read streams.json. Raises InvalidIntent with every problem; what was granted before then stays granted."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise InvalidIntent((Problem("streams.json", None, f"is not JSON: {error}"),)) from error
    found = checked(CONFIG, raw, "streams.json")
    return Grants(tuple(_grant(each) for each in found["grants"]), found["reportSeconds"])


def _grant(raw: Mapping[str, Any]) -> Grant:
    return Grant(raw["interface"], frozenset(raw["queues"]), frozenset(raw["namespaces"]))
