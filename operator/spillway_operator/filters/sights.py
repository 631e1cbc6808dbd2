"""What the operator remembers of each object: only what planning and reporting read. Values, no I/O.

A Node of 15 KB becomes a few hundred bytes here. Nothing else of an object outlives its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway_crds.filters import FloodFilter
from spillway_crds.orders import FilterOrder, NodeOrder, NodeStatus
from spillway_operator.filters.report import FilterReport


@dataclass(frozen=True, slots=True)
class NodeSight:
    """A Node. reachable: False only while its Ready condition says so. addresses: its internal and external IPs, sorted.

    closed: it takes no new pods, as after `kubectl cordon` or `drain`.
    """

    name: str
    uid: str
    version: int
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    reachable: bool = True
    closed: bool = False


@dataclass(frozen=True, slots=True)
class FilterSight:
    """A FloodFilter. created: RFC 3339.

    subject: the filter without its rules and prefixes, which only revisions hold; None if it could not be decoded: `problem`.
    overlaps: one line for each rule that would drop a failsafe flow. report: its status, as it was written last.
    """

    name: str
    uid: str
    version: int
    generation: int
    created: str = ""
    size_bytes: int = 0
    problem: str = ""
    subject: FloodFilter | None = None
    order: FilterOrder | None = None
    rule_names: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    report: FilterReport = field(default_factory=FilterReport)


@dataclass(frozen=True, slots=True)
class DataplaneSight:
    """A NodeDataplane. created: RFC 3339.

    order: None if it is no order at all. order_hash: what the agent reports when it is carried out.
    owner_uid: uid of the Node that it belongs to. failed: marked as silent in its turn. reported_at: when its agent's report
    changed last, by the API server's clock (RFC 3339); an agent that starts dates its conditions anew, so that this is a change.
    """

    name: str
    uid: str
    version: int
    generation: int
    created: str = ""
    owner_uid: str = ""
    failed: bool = False
    reported_at: str = ""
    order: NodeOrder | None = None
    order_hash: str = ""
    status: NodeStatus = field(default_factory=lambda: NodeStatus(observed_spec_hash=""))

    @property
    def has_links(self) -> bool:
        """Whether a link of ours is reported."""
        return any(each.link_id for each in self.status.interfaces)

    @property
    def has_spoken(self) -> bool:
        """Whether an agent has ever reported from there."""
        return bool(self.status.observed_spec_hash or self.status.agent_version)

    @property
    def carried_out(self) -> bool:
        """Whether the agent says that it has done all of the present order, without waiting for a turn."""
        current = bool(self.order_hash) and self.status.observed_spec_hash == self.order_hash
        return current and not self.status.waiting_for_turn


@dataclass(frozen=True, slots=True)
class ConfigSight:
    """A ConfigMap of the operator's own namespace."""

    name: str
    version: int
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevisionSight:
    """A ControllerRevision without its content. version: the highest of a filter is its newest, for none is ever changed."""

    name: str
    filter_name: str
    uid: str
    version: int
