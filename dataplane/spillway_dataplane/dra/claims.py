"""What a claim gives to this node, read from the claim itself. Pure; the strict edge between what users write and the node.

A claim may come from a BypassStream or from anybody: nothing in it is trusted beyond what the allocation says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spillway_crds.errors import Conflict, InvalidIntent, Problem, Transient
from spillway_crds.streams import RingParameters
from spillway_crds.streams_wire import decode_parameters
from spillway_dataplane.dra.devices import named_queues
from spillway_dataplane.dra.grants import Grants
from spillway_dataplane.dra.names import QUEUE_DRIVER

Raw = Mapping[str, Any]
POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"  # of a claim made from a template: the pod's own name for it


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A claim as kubelet names it. A name may come back with another uid."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class RingRecord:
    """One ring of a claim. request: as the pod may name it. mount: its directory's name, in ours and in the container."""

    request: str
    mount: str
    pool: str
    device: str
    interface: str
    queue: int
    parameters: RingParameters

    @property
    def frames_bytes(self) -> int:
        """Memory that its frames take."""
        return self.parameters.ring.frames * self.parameters.ring.frame_bytes


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """What has to be known of a prepared claim, also after a power cut.

    alias: what the pod calls the claim. connected: an application was seen to hold one of the rings at some time.
    """

    ref: ClaimRef
    alias: str
    rings: tuple[RingRecord, ...]
    connected: bool = False

    def key(self, ring: RingRecord) -> str:
        """What the ring keeper calls this ring."""
        return f"{self.ref.uid}/{ring.mount}"


def read_claim(raw: Raw, ref: ClaimRef, node_name: str, grants: Grants) -> ClaimRecord:
    """Return what this node has to prepare.

    Raises Conflict if the name is another claim's by now, Transient if it is not allocated here, InvalidIntent for parameters
    that cannot be, and for a queue that this namespace may not have.
    """
    metadata = raw.get("metadata") or {}
    if metadata.get("uid") != ref.uid:
        raise Conflict(subject=f"claim {ref}", owner=f"it was replaced: {ref.uid} is gone, {metadata.get('uid')} has its name")
    results = _results(raw, node_name)
    if not results:
        raise Transient(operation=f"prepare claim {ref}", detail=f"it has no queue of node {node_name} allocated")
    alias = (metadata.get("annotations") or {}).get(POD_CLAIM_NAME, ref.name)
    queues, config = named_queues(grants), raw["status"]["allocation"]["devices"].get("config") or ()
    mounts = _mounts([main_request(each["request"]) for each in results])
    rings = (_ring(each, mount, config, queues) for each, mount in zip(results, mounts, strict=True))
    return ClaimRecord(ref, alias, tuple(granted(each, ref.namespace, grants) for each in rings))


def allocated_devices(raw: Raw, node_name: str) -> tuple[tuple[str, str], ...]:
    """Return (pool, device) of every queue of this node that a claim has, whatever else is wrong with it."""
    return tuple((each["pool"], each["device"]) for each in _results(raw, node_name))


def _results(raw: Raw, node_name: str) -> list[Raw]:
    devices = ((raw.get("status") or {}).get("allocation") or {}).get("devices") or {}
    return [each for each in devices.get("results") or () if (each["driver"], each["pool"]) == (QUEUE_DRIVER, node_name)]


def granted(ring: RingRecord, namespace: str, grants: Grants) -> RingRecord:
    """Return the ring if this namespace may have it. Raises InvalidIntent."""
    if not grants.allows(namespace, ring.interface, ring.queue):
        what = f"queue {ring.queue} of {ring.interface} is not granted to namespace {namespace}"
        raise InvalidIntent((Problem("status.allocation.devices", ring.device, what),))
    return ring


def main_request(name: str) -> str:
    """Return a request's own name where the allocation names one of its alternatives, as `ring/fast`."""
    return name.partition("/")[0]


def _mounts(requests: list[str]) -> list[str]:
    """Name each device's directory after its request, further ones of a request with a number; `_` is in no request's name."""
    names: list[str] = []
    for position, request in enumerate(requests):
        earlier = requests[:position].count(request)
        names.append(f"{request}_{earlier}" if earlier else request)
    return names


def _ring(result: Raw, mount: str, config: Iterable[Raw], queues: Mapping[str, tuple[str, int]]) -> RingRecord:
    device = result["device"]
    if result.get("adminAccess"):
        raise InvalidIntent(
            (Problem("status.allocation.devices", device, "a queue has one holder: adminAccess is not for queues"),)
        )
    if device not in queues:
        raise InvalidIntent((Problem("status.allocation.devices", device, "is no longer a queue that may be handed out"),))
    interface, queue = queues[device]
    parameters = decode_parameters(_parameters(result["request"], config))
    return RingRecord(main_request(result["request"]), mount, result["pool"], device, interface, queue, parameters)


def _parameters(request: str, config: Iterable[Raw]) -> Raw:
    """Return the parameters for one request: the last entry that means it; a claim's come after its class's."""
    meant = [each for each in config if _means(each, request)]
    if not meant:
        where = "spec.devices.config"
        raise InvalidIntent((Problem(where, None, f"no parameters of driver {QUEUE_DRIVER} for request {request}"),))
    found: Raw = (meant[-1].get("opaque") or {}).get("parameters") or {}
    return found


def _means(entry: Raw, request: str) -> bool:
    requests = entry.get("requests") or ()
    ours = (entry.get("opaque") or {}).get("driver") == QUEUE_DRIVER
    return ours and (not requests or request in requests or main_request(request) in requests)
