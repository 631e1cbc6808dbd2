"""FloodFilter.status: what the operator adds up of all nodes' reports."""

from __future__ import annotations

from spillway_crds import names
from spillway_crds.schema.common import CONDITIONS, NAMED_TOTALS, RULE_NAME, TOTAL_FIELDS, TOTALS, count, text
from spillway_crds.schema.fields import Many, Record, Text, Whole

MAX_FAILURES = 10
MAX_DEPARTED = 5000

NODES = Record(
    description="How many nodes run the filter. A node is ready when its kernel runs this revision in this mode.",
    fields={
        "desired": Whole(description="Nodes that nodeSelector selects."),
        "ready": Whole(description="Nodes whose kernel runs the filter as it is now."),
        "failed": Whole(description="Nodes that cannot; the first are in `failures`."),
        "summary": text('Ready and desired, for the printed table. Example: "2/2".', 32),
    },
)

RULE_STATUS = Record(
    description="Counts of one rule over all nodes.",
    fields={
        "name": RULE_NAME,
        **TOTAL_FIELDS,
        "since": Text(description="When the counts of this rule began, RFC 3339.", form="date-time"),
    },
    required=("name",),
)

DEPARTED = Record(
    description="Last counts of nodes that left; part of the totals, so that those never fall.",
    fields={
        "uids": Many(
            description="uids of the NodeDataplanes that are added up here, so that none is added twice.",
            item=text("uid of a NodeDataplane.", 64),
            least=0,
            most=MAX_DEPARTED,
        ),
        "totals": TOTALS,
        "rules": Many(description="Counts by rule.", item=NAMED_TOTALS, least=0, most=names.MAX_RULES),
    },
)

STATUS = Record(
    description="What became of it, as the kernels of the nodes say.",
    fields={
        "observedGeneration": count("Generation of the spec that this status describes."),
        "revision": text("ControllerRevision in the operator's namespace that the nodes run.", 253),
        "nodes": NODES,
        "failures": Many(
            description="The first nodes that failed, and why.",
            item=Record(
                description="One node that failed.",
                fields={
                    "node": text("Name of the node.", 253),
                    "reason": text("Why, in CamelCase. Example: Conflict.", 128),
                    "message": text("The same in a sentence.", 1024),
                },
                required=("node", "reason"),
            ),
            least=0,
            most=MAX_FAILURES,
        ),
        "totals": TOTALS,
        "rules": Many(
            description="Counts by rule over all nodes, in rule order.", item=RULE_STATUS, least=0, most=names.MAX_RULES
        ),
        "departed": DEPARTED,
        "conditions": CONDITIONS,
    },
)
