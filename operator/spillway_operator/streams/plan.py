"""What is to be done about one stream's ResourceClaim. Pure.

Laws: a claim that a pod holds is never touched; one that is not this stream's is never touched; an absence that was not seen in a
complete listing is no absence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from spillway_crds.streams_wire import STREAM_KIND
from spillway_operator.streams.contest import Place, Rival
from spillway_operator.streams.sights import ClaimSight, StreamSight
from spillway_operator.streams.wire import says

CONFLICT, INVALID_INTENT, NOT_SUPPORTED = "Conflict", "InvalidIntent", "NotSupported"
NOT_GRANTED, CLAIM_IN_USE, CLAIM_LEAVING, CLAIM_REFUSED = "QueueNotGranted", "ClaimInUse", "ClaimLeaving", "ClaimRefused"
SOURCE_REFUSED, SOURCE_WAITS, FINISHED = "SourceRefused", "SourceWaits", "Finished"
QUEUE_NOT_FOUND, WAITING_FOR_POD, PREPARING, PENDING = "QueueNotFound", "WaitingForPod", "Preparing", "Pending"
MAX_NAMED = 3
NOT_SERVED = "this cluster does not serve resource.k8s.io/v1, which hands out transmit queues: Kubernetes 1.34 or later does"


class Step(Enum):
    """What to do with the claim of the stream's name."""

    KEEP = "keep"
    CREATE = "create"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a stream is not what its spec says. replacing: an earlier ring goes on meanwhile."""

    reason: str
    message: str
    replacing: bool = False


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """step: to be carried out now. obstacle: what stands in the way; None if nothing of what is known before a pod comes."""

    step: Step
    obstacle: Obstacle | None = None


def plan_claim(stream: StreamSight, claim: ClaimSight | None, place: Place | None, *, served: bool) -> ClaimPlan:
    """Return what to do. claim: the one of the stream's name. place: None for a stream that could not be decoded.

    served: whether the API serves claims at all, and they are all known.
    """
    if place is None or stream.subject is None:
        return ClaimPlan(Step.KEEP, Obstacle(INVALID_INTENT, stream.problem))
    if not served:
        return ClaimPlan(Step.KEEP, Obstacle(NOT_SUPPORTED, NOT_SERVED))
    if claim is None:
        return _without_claim(stream.namespace, place)
    if claim.owner_uid != stream.uid:
        return ClaimPlan(Step.KEEP, _foreign(claim))
    if claim.deleting:
        return ClaimPlan(Step.KEEP, _leaving(claim))
    return _with_claim(stream, claim, place)


def _without_claim(namespace: str, place: Place) -> ClaimPlan:
    obstacle = _no_place(namespace, place)
    return ClaimPlan(Step.CREATE) if obstacle is None else ClaimPlan(Step.KEEP, obstacle)


def _with_claim(stream: StreamSight, claim: ClaimSight, place: Place) -> ClaimPlan:
    obstacle = _no_place(stream.namespace, place)
    if not says(claim.spec, stream.wanted):
        return ClaimPlan(Step.KEEP, _in_use(claim)) if claim.held else ClaimPlan(Step.DELETE, obstacle)
    if obstacle is not None and not claim.held:
        return ClaimPlan(Step.DELETE, obstacle)  # else its pod could take what an older stream comes first for
    return ClaimPlan(Step.KEEP, None if claim.held else obstacle)


def _no_place(namespace: str, place: Place) -> Obstacle | None:
    wanted = f"a queue of {place.interface}" if place.queue is None else f"queue {place.queue} of {place.interface}"
    if not place.candidates:
        return Obstacle(NOT_GRANTED, f"namespace {namespace} may not have {wanted}; {_granted_words(place)}")
    if place.device is None:
        return Obstacle(CONFLICT, taken(wanted, place.rivals))
    return None


def _granted_words(place: Place) -> str:
    if not place.granted:
        return f"the cluster administrator has granted it none of {place.interface} (chart value streams.grants)"
    return f"granted to it: {', '.join(map(str, sorted(place.granted)))}"


def taken(wanted: str, rivals: Iterable[Rival]) -> str:
    """Say who has what somebody wants."""
    found = sorted(rivals)
    more = f", and {len(found) - MAX_NAMED} more queues likewise" if len(found) > MAX_NAMED else ""
    return f"{wanted}: {', '.join(map(_rival, found[:MAX_NAMED]))}{more}"


def _rival(rival: Rival) -> str:
    namespace = rival.name.partition("/")[0]
    pods = ", ".join(f"{namespace}/{pod}" for pod in rival.pods)
    where = f"queue {rival.queue}{f' on {rival.device.node}' if rival.device.node else ''}"
    if pods:
        return f"{where} is held by {rival.kind} {rival.name} (pod {pods})"
    return f"{where} {'is allocated to' if rival.allocated else 'belongs to the older'} {rival.kind} {rival.name}"


def _foreign(claim: ClaimSight) -> Obstacle:
    if claim.owner_kind == STREAM_KIND and claim.owner_name == claim.own_name:
        return _leaving(claim)
    message = (
        f"ResourceClaim {claim.own_name} is there and is not this stream's: give the stream another name, or delete the claim"
    )
    return Obstacle(CONFLICT, message)


def _leaving(claim: ClaimSight) -> Obstacle:
    """Kubernetes deletes a claim once no pod has it."""
    if claim.holders:
        return Obstacle(CLAIM_IN_USE, f"an earlier claim of this name ends with {_pods(claim)}", replacing=True)
    return Obstacle(CLAIM_LEAVING, "an earlier claim of this name is being deleted", replacing=True)


def _in_use(claim: ClaimSight) -> Obstacle:
    what = _pods(claim) if claim.holders else "a pod that has just ended"
    message = f"the ring goes on as it was: {what} holds it; the present spec comes into force with the next pod"
    return Obstacle(CLAIM_IN_USE, message, replacing=True)


def _pods(claim: ClaimSight) -> str:
    more = f" and {len(claim.holders) - MAX_NAMED} more" if len(claim.holders) > MAX_NAMED else ""
    return f"pod {', '.join(claim.holders[:MAX_NAMED])}{more}"
