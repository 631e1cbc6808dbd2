"""Parts that several statuses have: totals and conditions."""

from __future__ import annotations

from collections.abc import Mapping

from spillway_crds import names
from spillway_crds.schema.fields import Field, Many, Record, Text, Whole

MAX_CONDITIONS = 16


def text(description: str, max_length: int) -> Text:
    """A string that a machine writes: only its length is bounded."""
    return Text(description=description, max_length=max_length)


def count(description: str) -> Whole:
    """A 64-bit count that never falls."""
    return Whole(description=description, wide=True)


TOTAL_FIELDS: Mapping[str, Field] = {
    "matchedPackets": count("Packets that matched."),
    "matchedBytes": count("Bytes of the packets that matched: whole frames without FCS."),
    "droppedPackets": count("Packets that were dropped."),
    "droppedBytes": count("Bytes of the packets that were dropped."),
    "wouldDropPackets": count("Packets that mode Enforce would have dropped; counted in mode Monitor."),
    "wouldDropBytes": count("Bytes of the packets that mode Enforce would have dropped."),
}
TOTALS = Record(description="Counts over all rules. They never fall while the filter exists.", fields=TOTAL_FIELDS)
RULE_NAME = text("Name of the rule.", names.MAX_NAME_LENGTH)
NAMED_TOTALS = Record(description="Counts of one rule.", fields={"name": RULE_NAME, **TOTAL_FIELDS}, required=("name",))

CONDITIONS = Many(
    description="Kubernetes conditions, one of each type.",
    item=Record(
        description="One condition.",
        fields={
            "type": text("What it is about, in CamelCase. Example: Ready.", 316),
            "status": Text(description="True, False or Unknown.", choices=("True", "False", "Unknown")),
            "observedGeneration": Whole(description="Generation of the object that it describes.", wide=True),
            "lastTransitionTime": Text(description="When `status` changed last, RFC 3339.", form="date-time"),
            "reason": text("Why, in CamelCase. Example: AllNodesReady.", 1024),
            "message": text("The same in a sentence, with what to do.", 32768),
        },
        required=("type", "status"),
    ),
    least=0,
    most=MAX_CONDITIONS,
    keys=("type",),
)
