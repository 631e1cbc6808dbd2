"""FloodFilter: what a network engineer writes. docs/semantics.md says what each field means."""

from __future__ import annotations

from collections.abc import Mapping

from spillway_crds import names
from spillway_crds.filters import Mode, XdpMode
from spillway_crds.schema.fields import Field, Flag, Many, Record, Text, Whole
from spillway_crds.schema.laws import INTERFACE_LAWS, MAX_IFNAME_BYTES
from spillway_crds.schema.match import RULES, prefixes
from spillway_crds.schema.selector import NODE_SELECTOR

RX_QUEUES = Record(
    description="Which receive queues of an interface are filtered; packets of the others leave the program at its first"
    " instruction. Omitted: every queue. A queue's share of the traffic is what the card's RSS gives it. Example: {ids: [4]}.",
    fields={
        "ids": Many(
            description="Queue numbers as XDP's rx_queue_index counts them, from 0. A number that one node's interface lacks"
            " fails on that node alone. Example: [4].",
            item=Whole(description="A receive queue's number.", minimum=0, maximum=names.MAX_QUEUE_ID),
            most=names.MAX_QUEUE_IDS,
            unique=True,
        )
    },
    required=("ids",),
)

# What a revision holds: all that needs a new program when it changes.
CONTENT_FIELDS: Mapping[str, Field] = {
    "priority": Whole(
        description="Order among the filters of an interface: lower decides first, equal ones by name. 1 to 1000, default 100."
        " Example: 10, before everything that says nothing.",
        minimum=1,
        maximum=1000,
        default=100,
    ),
    "interfaces": Many(
        description="Interfaces by exact name, or by globs (*, ?, [...]), which find physical devices only. Omitted: what carries"
        ' the default routes. Never lo. One that is absent is a condition that heals by itself. Example: ["eth0", "enp*"].',
        item=Text(
            description='Name of an interface or a glob, at most 15 characters. Example: "eth0".',
            max_length=MAX_IFNAME_BYTES,
            laws=INTERFACE_LAWS,
        ),
        most=names.MAX_INTERFACES,
        unique=True,
    ),
    "rxQueues": RX_QUEUES,
    "xdpMode": Text(
        description="Where the program runs. Native (default): in the driver, before the kernel spends anything. Generic: in the"
        " kernel's own path, slower, on any interface. Auto: Native where the driver can, else Generic.",
        choices=tuple(XdpMode),
        default=XdpMode.NATIVE.value,
    ),
    "exempt": prefixes(
        'Sources that no rule of this filter touches; other filters still may. Example: your monitoring, ["198.51.100.0/24"].'
    ),
    "rules": RULES,
}
CONTENT = Record(description="What a node executes of a FloodFilter.", fields=CONTENT_FIELDS, required=("rules",))

SPEC = Record(
    description="What to drop, and where.",
    fields={
        "mode": Text(
            description="Monitor (default): count what would be dropped and drop nothing. Enforce: drop it. A change takes effect"
            " at once, without a new program.",
            choices=tuple(Mode),
            default=Mode.MONITOR.value,
        ),
        "suspend": Flag(
            description="true: the filter touches and counts nothing, but stays loaded and keeps its counters. A change takes"
            " effect at once. Default false.",
            default=False,
        ),
        "nodeSelector": NODE_SELECTOR,
        **CONTENT_FIELDS,
    },
    required=("nodeSelector", "rules"),
)
