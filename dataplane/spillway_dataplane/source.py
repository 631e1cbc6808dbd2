"""Where orders come from and where reports go: the API, or a directory. And everything that can wake the agent.

A source never blocks the agent: it watches in threads of its own, puts wake-ups into the inbox, and takes reports to send when it
can. What it cannot reach it says nothing about: silence is never an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from spillway_crds.errors import SpillwayError
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeOrder, NodeStatus
from spillway_dataplane.node.findings import Finding
from spillway_dataplane.node.peers import Endpoint
from spillway_dataplane.planning.wishes import RefusedKey


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """The order as it stands now. uid: of the NodeDataplane, to which totals belong. contents: of every revision it names,
    as far as they are to be had; an error for one that cannot be read. A revision that is not in there is kept if known.
    """

    order: NodeOrder
    uid: str
    contents: Mapping[str, FilterContent | SpillwayError]


@dataclass(frozen=True, slots=True)
class PeersSeen:
    """The data of the ConfigMap spillway-peers, as it stands now."""

    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SwitchSeen:
    """The kill switch: off when somebody pulled it."""

    off: bool


@dataclass(frozen=True, slots=True)
class EndpointsSeen:
    """Where the source's own connection leads."""

    endpoints: frozenset[Endpoint]


@dataclass(frozen=True, slots=True)
class LinksChanged:
    """An interface, address or route changed. left: names of the devices that went away, also if they are back already."""

    left: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Built:
    """The compiler's answer. refused: what is told of the filters at fault, by (ifname, uid, revision).

    failed: what is told of the interface when no filter is at fault.
    """

    ifname: str
    digest: str
    seconds: float = 0.0
    refused: Mapping[RefusedKey, Finding] = field(default_factory=dict)
    failed: Finding | None = None


@dataclass(frozen=True, slots=True)
class MarkersChanged:
    """Something changed in the state directory: `off`, `on`, or another agent that asks for the lock."""


@dataclass(frozen=True, slots=True)
class LockTaken:
    """This agent is the node's one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM, SIGINT."""


Wakeup = OrderSeen | PeersSeen | SwitchSeen | EndpointsSeen | LinksChanged | Built | MarkersChanged | LockTaken | Stop
Inbox = SimpleQueue[Wakeup]  # a signal handler may put into it while the same thread takes from it


class Source(Protocol):
    """Orders in, reports out."""

    def start(self, inbox: Inbox, known: Mapping[str, FilterContent]) -> None:
        """Begin to watch. known: revisions that need no fetching. Returns at once."""

    def report(self, status: NodeStatus) -> None:
        """Take the newest status and send it when possible; an older one that was not sent yet is dropped. Never blocks."""

    def stop(self, timeout_s: float) -> None:
        """Send what was taken last, if that is possible in this time, and end."""

    @property
    def connected(self) -> bool:
        """Whether the last call was answered."""

    @property
    def errors(self) -> int:
        """How many calls failed."""
