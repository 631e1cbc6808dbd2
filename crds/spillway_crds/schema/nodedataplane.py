"""NodeDataplane: the operator's order to one node, and what that node's agent reports. Nobody edits it by hand."""

from __future__ import annotations

from spillway_crds import names
from spillway_crds.filters import Mode
from spillway_crds.orders import Attach, FilterState, NodeState
from spillway_crds.schema.common import CONDITIONS, NAMED_TOTALS, TOTALS, text
from spillway_crds.schema.fields import Flag, Law, Many, Record, Text, Whole
from spillway_crds.schema.stream_laws import DEVICE_LAWS

MAX_INTERFACES = 256  # globs may find more than a filter may name

FILTER_ORDER = Record(
    description="One filter that the node runs.",
    fields={
        "name": text("Name of the FloodFilter.", names.MAX_NAME_LENGTH),
        "uid": text("uid of the FloodFilter: counters belong to it, not to the name.", 64),
        "revision": text("ControllerRevision in the operator's namespace that holds what the node executes.", 253),
        "mode": Text(
            description="Monitor (default) or Enforce, as in the FloodFilter.", choices=tuple(Mode), default=Mode.MONITOR.value
        ),
        "suspend": Flag(description="As in the FloodFilter. Default false.", default=False),
        "created": text("The FloodFilter's creation time: of two that contradict each other, the older one stays.", 40),
    },
    required=("name", "uid", "revision"),
)

ORDER = Record(
    description="What this node has to run, written by the operator alone and replaced as a whole.",
    fields={
        "state": Text(
            description="Active: run the filters listed. Idle: attached programs stay and pass everything. Empty: nothing of"
            " Spillway stays in the kernel. Always said, never expressed by absence.",
            choices=tuple(NodeState),
        ),
        "attach": Text(
            description="Whether this node may now do what makes a link flap: first attach, detach, Native to Generic. Allowed"
            " while it has a turn, else Hold (default).",
            choices=tuple(Attach),
            default=Attach.HOLD.value,
        ),
        "reportSeconds": Whole(
            description="Seconds between two reports of counters when nothing else changes. Default 5.",
            minimum=1,
            maximum=3600,
            default=5,
        ),
        "attachStandby": Flag(
            description="In state Idle, attach the program that passes everything where none is attached. Default false.",
            default=False,
        ),
        "ringInterfaces": Many(
            description="Interfaces with transmit queues that may be granted: where one exists on the node, a native program is"
            " attached, in turns, and stays. Only with state Active or Idle.",
            item=Text(description="Name of an interface.", max_length=15, laws=DEVICE_LAWS),
            most=names.MAX_RING_INTERFACES,
            unique=True,
        ),
        "filters": Many(
            description="The filters in the order in which they decide, by priority and name. Only with state Active.",
            item=FILTER_ORDER,
            most=names.MAX_FILTERS_PER_NODE,
        ),
    },
    required=("state",),
    atomic=True,
    laws=(
        Law(
            cel="(self.state == 'Active') == has(self.filters)",
            holds=lambda order: (order["state"] == NodeState.ACTIVE.value) == ("filters" in order),
            message="state Active has filters, Idle and Empty have none",
            field_path=".filters",
        ),
        Law(
            cel="self.state != 'Empty' || !has(self.ringInterfaces)",
            holds=lambda order: order["state"] != NodeState.EMPTY.value or "ringInterfaces" not in order,
            message="on an empty node no queue may be granted",
            field_path=".ringInterfaces",
        ),
    ),
)

INTERFACE_STATUS = Record(
    description="One interface, read back from the kernel.",
    fields={
        "name": text("Name of the interface.", 15),
        "driver": text("Driver of the device. Example: igb.", 64),
        "xdpMode": text("Native or Generic; empty while no program of ours is attached.", 16),
        "linkId": Whole(description="Kernel id of our bpf_link; 0 is none.", wide=True),
        "programId": Whole(description="Kernel id of our program; 0 is none.", wide=True),
        "programTag": text("The kernel's hash of our program, 16 hex digits.", 16),
        "rxQueues": Whole(description="Receive queues that the interface has."),
        "conditions": CONDITIONS,
    },
    required=("name",),
)

FILTER_STATUS = Record(
    description="One filter on this node.",
    fields={
        "name": text("Name of the FloodFilter.", names.MAX_NAME_LENGTH),
        "uid": text("uid of the FloodFilter.", 64),
        "revision": text("Revision that the kernel runs.", 253),
        "state": Text(
            description="Enforcing, Monitoring or Suspended as ordered; Off: the kill switch holds it in Monitor; Pending: not"
            " yet in the kernel; Failed: see reason and message.",
            choices=tuple(FilterState),
        ),
        "reason": text("Why it is Failed or Pending, in CamelCase. Example: Conflict.", 128),
        "message": text("The same in a sentence.", 1024),
        "totals": TOTALS,
        "rules": Many(
            description="Counters by rule, in rule order, as many as there is room for.",
            item=NAMED_TOTALS,
            least=0,
            most=names.MAX_RULES,
        ),
        "ruleCounts": text("Status: every rule is listed here. Metrics: the rest is only in the agent's metrics.", 16),
    },
    required=("name", "uid", "state"),
)

STATUS = Record(
    description="What the node's agent reports; states at once, counters every reportSeconds.",
    fields={
        "observedSpecHash": text("Hash of the order that is carried out.", 64),
        "agentVersion": text("Version of the agent.", 64),
        "countsFor": text("uid of the NodeDataplane since whose beginning the totals count.", 64),
        "waitingForTurn": Many(
            description="Interfaces whose first attach, or detach, waits for `attach: Allowed`.",
            item=Text(description="Name of an interface.", max_length=15),
            least=0,
            most=MAX_INTERFACES,
        ),
        "enforcementOff": text("Who pulled the kill switch; empty if nobody did. Then nothing is dropped on this node.", 256),
        "interfaces": Many(
            description="Interfaces that the filters ask for.", item=INTERFACE_STATUS, least=0, most=MAX_INTERFACES
        ),
        "filters": Many(
            description="Filters of the order, and what became of them.",
            item=FILTER_STATUS,
            least=0,
            most=names.MAX_FILTERS_PER_NODE,
        ),
        "conditions": CONDITIONS,
    },
)
