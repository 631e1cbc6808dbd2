"""What the driver is configured with, streams.json: the grants of the cluster administrator, none by default, and a pace."""

from __future__ import annotations

import json
from dataclasses import dataclass

from spillway_crds.decode import checked
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.grants import GRANTS, Grant, decode_grants, granted_queues
from spillway_crds.schema.fields import Record, Whole

REPORT_SECONDS = 10  # between two reports of counters of one ring; changes of state are told at once
FILE = "streams.json"
CONFIG = Record(
    description="The configuration of the driver.",
    fields={
        "grants": GRANTS,
        "reportSeconds": Whole(description="Pace of counters.", minimum=1, maximum=3600, default=REPORT_SECONDS),
    },
    required=("grants",),
)


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
        return queue in granted_queues(self.grants, namespace, interface)


def decode_config(text: str | bytes) -> Grants:
    """Read streams.json. Raises InvalidIntent with every problem; what was granted before then stays granted."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise InvalidIntent((Problem(FILE, None, f"is not JSON: {error}"),)) from error
    found = checked(CONFIG, raw, FILE)
    return Grants(decode_grants(found["grants"], f"{FILE}.grants"), found["reportSeconds"])
