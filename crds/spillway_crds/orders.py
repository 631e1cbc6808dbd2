"""A NodeDataplane as values: the operator's order to one node, and what that node's agent reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from spillway_crds.filters import Mode


class NodeState(StrEnum):
    """ACTIVE: run the filters. IDLE: programs that are attached stay and pass everything. EMPTY: nothing of ours stays."""

    ACTIVE = "Active"
    IDLE = "Idle"
    EMPTY = "Empty"


class Attach(StrEnum):
    """Whether this node may now do what makes a link flap (first attach, detach, Native to Generic)."""

    ALLOWED = "Allowed"
    HOLD = "Hold"


@dataclass(frozen=True, slots=True)
class FilterOrder:
    """One filter that a node has to run. revision: name of the ControllerRevision that holds its content.

    created: the FloodFilter's creation time (RFC 3339): of two that contradict each other the older one stays.
    """

    name: str
    uid: str
    revision: str
    mode: Mode = Mode.MONITOR
    suspend: bool = False
    created: str = ""


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """The whole order of one node. filters: in the order in which they decide, (priority, name).

    report_seconds: pause between two counter reports when nothing else changes.
    attach_standby: in state IDLE, attach the passing program where none is attached yet.
    ring_interfaces: sorted; where transmit queues may be granted, which needs a native program. Empty in state EMPTY.
    """

    state: NodeState
    attach: Attach = Attach.HOLD
    report_seconds: int = 5
    attach_standby: bool = False
    filters: tuple[FilterOrder, ...] = ()
    ring_interfaces: tuple[str, ...] = ()


class FilterState(StrEnum):
    """What a node does with one filter. OFF: the kill switch holds it in Monitor. PENDING: not yet in the kernel."""

    ENFORCING = "Enforcing"
    MONITORING = "Monitoring"
    SUSPENDED = "Suspended"
    OFF = "Off"
    PENDING = "Pending"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Totals:
    """Packets and bytes since the NodeDataplane's uid began. Bytes: whole frames without FCS."""

    matched_packets: int = 0
    matched_bytes: int = 0
    dropped_packets: int = 0
    dropped_bytes: int = 0
    would_drop_packets: int = 0
    would_drop_bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.matched_packets + other.matched_packets,
            self.matched_bytes + other.matched_bytes,
            self.dropped_packets + other.dropped_packets,
            self.dropped_bytes + other.dropped_bytes,
            self.would_drop_packets + other.would_drop_packets,
            self.would_drop_bytes + other.would_drop_bytes,
        )


@dataclass(frozen=True, slots=True)
class RuleTotals:
    """One rule's totals; a rule that was taken out of its filter leaves its counts in the filter's own totals."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Condition:
    """A Kubernetes condition. status: True, False or Unknown. changed: lastTransitionTime, RFC 3339."""

    type: str
    status: str
    reason: str
    message: str = ""
    changed: str = ""


@dataclass(frozen=True, slots=True)
class InterfaceStatus:
    """One interface as the kernel shows it. link_id 0: no link of ours. program_tag: 16 hex digits, the kernel's own."""

    name: str
    driver: str = ""
    xdp_mode: str = ""
    link_id: int = 0
    program_id: int = 0
    program_tag: str = ""
    rx_queues: int = 0
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterStatus:
    """One filter on one node. rules: as many as the status has room for; rule_counts says where the rest is."""

    name: str
    uid: str
    revision: str
    state: FilterState
    reason: str = ""
    message: str = ""
    totals: Totals = field(default_factory=Totals)
    rules: tuple[RuleTotals, ...] = ()
    rule_counts: str = "Status"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What an agent reports. observed_spec_hash: `orders_wire.order_hash` of the order that is carried out.

    waiting_for_turn: interfaces whose first attach or detach waits for `attach: Allowed`; attached: those with a link of ours.
    counts_for: uid of the NodeDataplane that the totals belong to. enforcement_off: who pulled the kill switch; empty if nobody.
    """

    observed_spec_hash: str
    agent_version: str = ""
    counts_for: str = ""
    waiting_for_turn: tuple[str, ...] = ()
    enforcement_off: str = ""
    interfaces: tuple[InterfaceStatus, ...] = ()
    filters: tuple[FilterStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
