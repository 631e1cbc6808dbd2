"""What the operator remembers of streams, claims for transmit queues, and the queues that nodes offer. Values, no I/O.

Objects in a namespace are known by `namespace/name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spillway_crds.orders import Condition
from spillway_crds.streams import BypassStream
from spillway_operator.streams.report import StreamReport


@dataclass(frozen=True, slots=True)
class StreamSight:
    """A BypassStream. name: `namespace/name`. created: RFC 3339. subject: None if it could not be decoded: `problem`.

    wanted: the spec of the claim that it asks for. document: what its built-in source is told; empty for an application's.
    report: its status, as it was written last.
    """

    name: str
    uid: str
    version: int
    generation: int
    created: str = ""
    problem: str = ""
    subject: BypassStream | None = None
    wanted: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    report: StreamReport = field(default_factory=StreamReport)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.name.partition("/")[0]

    @property
    def own_name(self) -> str:
        """Its name without the namespace."""
        return self.name.partition("/")[2]

    @property
    def has_source(self) -> bool:
        """Whether the operator makes the pod that fills the ring."""
        return bool(self.document)


@dataclass(frozen=True, slots=True)
class PodSight:
    """The pod of a built-in source. made_of: hash of what it was made of. node: empty until it is scheduled.

    trouble: why it does not run, in Kubernetes' words. reason, message: what the source said when it failed last. again: it runs
    since; it may wait for another file.
    """

    name: str
    uid: str
    owner_uid: str = ""
    made_of: str = ""
    deleting: bool = False
    phase: str = ""
    node: str = ""
    trouble: str = ""
    reason: str = ""
    message: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """A transmit queue as a ResourceSlice names it. node: the slice's pool."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class DeviceWord:
    """What a node's driver says of an allocated queue in the claim's status. data: interface, queue, bindMode, counts, ..."""

    conditions: tuple[Condition, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((each for each in self.conditions if each.type == kind), None)


@dataclass(frozen=True, slots=True)
class ClaimSight:
    """A ResourceClaim that asks for our driver's devices, or has some. name: `namespace/name`.

    owner_kind, owner_name, owner_uid: of its controller. spec: as the API server has it. holders: names of the pods that have it.
    holder_uids: theirs. devices: what is allocated of ours; words: what is said of them.
    """

    name: str
    uid: str
    version: int
    created: str = ""
    deleting: bool = False
    owner_kind: str = ""
    owner_name: str = ""
    owner_uid: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    holders: tuple[str, ...] = ()
    holder_uids: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    words: Mapping[Device, DeviceWord] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.name.partition("/")[0]

    @property
    def own_name(self) -> str:
        """Its name without the namespace."""
        return self.name.partition("/")[2]

    @property
    def held(self) -> bool:
        """Whether taking it away would take a queue from a pod."""
        return bool(self.holders or self.devices)


@dataclass(frozen=True, slots=True)
class Offer:
    """One queue that may be had. interface, queue: as its attributes say."""

    device: Device
    interface: str
    queue: int


@dataclass(frozen=True, slots=True)
class SliceSight:
    """A ResourceSlice of our driver."""

    name: str
    version: int
    offers: tuple[Offer, ...] = ()
