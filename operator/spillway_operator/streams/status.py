"""What a BypassStream's status and its Events say. Pure: the same input gives the same report.

Laws: what a ring does is the node's word, never an echo of the spec; a condition's time changes only with its status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from spillway_crds import names
from spillway_crds.orders import Condition
from spillway_crds.sdp import LegFacts, SessionFacts, session_description
from spillway_crds.streams import VideoSource
from spillway_operator.streams.contest import Place
from spillway_operator.streams.plan import (
    CLAIM_REFUSED,
    FINISHED,
    PENDING,
    PREPARING,
    QUEUE_NOT_FOUND,
    SOURCE_WAITS,
    WAITING_FOR_POD,
    ClaimPlan,
    Obstacle,
)
from spillway_operator.streams.report import Counts, LegReport, StreamReport
from spillway_operator.streams.sights import ClaimSight, DeviceWord, PodSight, StreamSight

READY, PROGRESSING, CLOCK_SYNCHRONIZED, CONNECTED = "Ready", "Progressing", "ClockSynchronized", "Connected"
MAX_MESSAGE_CHARS, MAX_REASON_CHARS = 1000, 128
MAX_IFNAME_CHARS, MAX_WORD_CHARS, MAX_COUNT = 15, 39, 2**63 - 1  # as the CRD has them; 39 is the longest address
MAX_MAC_CHARS, MAX_MODE_CHARS = 17, 16
MAX_CORE, MAX_LEGS = 2**31 - 1, 2
SETTLED = "Settled"
NO_COUNTS = Counts(packets=0, bytes=0, late_packets=0, packets_per_second=0)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of one stream. claim: of its name, and its own. refusal: what the API server said against the claim.

    now: RFC 3339. pod: of its built-in source; source_obstacle: why there is none. waiting: which pod of an application waits.
    """

    plan: ClaimPlan
    place: Place | None
    claim: ClaimSight | None
    refusal: str = ""
    now: str = ""
    pod: PodSight | None = None
    source_obstacle: Obstacle | None = None
    waiting: str = ""


def plan_stream_report(stream: StreamSight, given: Situation) -> StreamReport:
    """Return the whole status."""
    before = stream.report
    found = (_ready(stream, given), _progressing(given), *_clock(given.claim))
    conditions = tuple(_dated(each, before.condition(each.type), given.now) for each in found)
    bare = StreamReport(generation=stream.generation, claim=_claim_name(given), conditions=conditions)
    return replace(_with_ring(bare, given.claim), sdp=_sdp(stream, given.claim))


def _clock(claim: ClaimSight | None) -> tuple[Condition, ...]:
    """What a video source found of its clock, as long as it has the ring."""
    said = _word(claim).condition(CLOCK_SYNCHRONIZED) if claim is not None else None
    return (said,) if said is not None else ()


def _sdp(stream: StreamSight, claim: ClaimSight | None) -> str:
    """Empty until the node has said from which addresses the packets come."""
    if claim is None or stream.subject is None or not isinstance(stream.subject.spec.source, VideoSource):
        return ""
    words = [claim.words.get(device, DeviceWord()) for device in claim.devices]
    legs = tuple(leg for word in words if (leg := _leg_facts(word.data)) is not None)
    if len(legs) != 1 + len(stream.subject.spec.source.legs):
        return ""
    synchronized = next((each.status == "True" for each in _clock(claim)), False)
    return session_description(stream.subject, SessionFacts(legs, traceable=synchronized))


def _leg_facts(data: Mapping[str, Any]) -> LegFacts | None:
    """None for a word that has no address in it."""
    try:
        return LegFacts(ip_address(_text(data, "sourceAddress")), _text(data, "mac"))
    except ValueError:
        return None


def _claim_name(given: Situation) -> str:
    current = given.claim is not None and (given.plan.obstacle is None or not given.plan.obstacle.replacing)
    return given.claim.own_name if current and given.claim is not None else ""


def _dated(condition: Condition, before: Condition | None, now: str) -> Condition:
    same = before is not None and before.status == condition.status and before.changed
    short = replace(condition, reason=condition.reason[:MAX_REASON_CHARS], message=condition.message[:MAX_MESSAGE_CHARS])
    return replace(short, changed=before.changed if same and before else now)


def _with_ring(report: StreamReport, claim: ClaimSight | None) -> StreamReport:
    if claim is None or not claim.devices:
        return report
    data = _word(claim).data
    report = replace(report, node=claim.devices[0].node)
    if "queue" not in data:
        return report
    return replace(
        report,
        interface=_text(data, "interface")[:MAX_IFNAME_CHARS],
        queue=min(_count(data, "queue"), names.MAX_QUEUE_ID),
        bind_mode=_text(data, "bindMode")[:MAX_MODE_CHARS],
        mac_address=_text(data, "mac")[:MAX_MAC_CHARS],
        next_hop_mac_address=_text(data, "nextHopMac")[:MAX_MAC_CHARS],
        **_counts([claim.words[device].data for device in claim.devices if device in claim.words]),
        legs=_legs(claim) if len(claim.devices) > 1 else (),
        core=min(_count(data, "core"), MAX_CORE) if "core" in data else None,
        core_chosen_by=_text(data, "coreChosenBy")[:MAX_MODE_CHARS],
    )


def _counts(paths: Iterable[Mapping[str, Any]]) -> Counts:
    """What all paths of a stream counted, together."""
    found = tuple(paths)

    def total(word: str) -> int:
        return min(MAX_COUNT, sum(_count(data, word) for data in found))

    return Counts(
        packets=total("packets"), bytes=total("bytes"), late_packets=total("late"), packets_per_second=total("packetsPerSecond")
    )


def _legs(claim: ClaimSight) -> tuple[LegReport, ...]:
    """Each path that its node has told of, the stream's own first."""
    told = (claim.words.get(device, DeviceWord()).data for device in claim.devices[:MAX_LEGS])
    return tuple(_leg(data) for data in told if "queue" in data)


def _leg(data: Mapping[str, Any]) -> LegReport:
    return LegReport(
        interface=_text(data, "interface")[:MAX_IFNAME_CHARS],
        queue=min(_count(data, "queue"), names.MAX_QUEUE_ID),
        bind_mode=_text(data, "bindMode")[:MAX_MODE_CHARS],
        next_hop_mac_address=_text(data, "nextHopMac")[:MAX_MAC_CHARS],
        **_counts([data]),
    )


def _word(claim: ClaimSight) -> DeviceWord:
    return claim.words.get(claim.devices[0], DeviceWord()) if claim.devices else DeviceWord()


def _text(data: Mapping[str, Any], key: str) -> str:
    """A node may say anything; what would make the API server refuse the whole status is cut off."""
    found = data.get(key, "")
    return found[:MAX_WORD_CHARS] if isinstance(found, str) else ""


def _count(data: Mapping[str, Any], key: str) -> int:
    """What is no count is none."""
    found = data.get(key, 0)
    return min(max(0, found), MAX_COUNT) if isinstance(found, int) and not isinstance(found, bool) else 0


# ---- conditions ---------------------------------------------------------------------------------------------------------


def _ready(stream: StreamSight, given: Situation) -> Condition:
    claim = given.claim if given.claim is not None and given.claim.devices else None
    obstacle = _first_obstacle(given, allocated=claim is not None)
    if obstacle is not None:
        return Condition(READY, "False", obstacle.reason, obstacle.message)
    if claim is not None:
        return _source_fault(given.pod, claim) or _source_starts(given.pod) or _allocated(claim)
    return _source_waits(stream, given.pod) or _unallocated(stream, given)


def _first_obstacle(given: Situation, *, allocated: bool) -> Obstacle | None:
    """An earlier ring that goes on is no obstacle to itself."""
    found = given.plan.obstacle
    if found is not None and not (found.replacing and allocated):
        return found
    if given.refusal:
        return Obstacle(CLAIM_REFUSED, given.refusal)
    if allocated:
        return None
    return given.source_obstacle if given.claim is not None else Obstacle(PENDING, "its ResourceClaim is being made")


def _source_fault(pod: PodSight | None, claim: ClaimSight | None = None) -> Condition | None:
    """What a built-in source said when it failed comes before what its ring is like, until it has taken that again."""
    if pod is None or not pod.reason or (pod.again and not _is_let_go(claim)):
        return None
    return Condition(READY, "False", pod.reason, f"pod {pod.name}: {pod.message}")


def _is_let_go(claim: ClaimSight | None) -> bool:
    said = _word(claim).condition(CONNECTED) if claim is not None else None
    return said is not None and said.status == "False"


def _source_starts(pod: PodSight | None) -> Condition | None:
    """Until it runs nobody says anything of its ring: a volume that cannot be mounted holds all else up."""
    if pod is None or pod.phase != "Pending" or not pod.node:
        return None
    said = pod.trouble or f"if it stays so, kubectl describe pod {pod.name} says what it waits for"
    return Condition(READY, "False", PREPARING, f"pod {pod.name} is being started on {pod.node}: {said}")


def _source_waits(stream: StreamSight, pod: PodSight | None) -> Condition | None:
    if not stream.has_source:
        return None
    if pod is None:
        return Condition(READY, "False", PENDING, "the pod of its source is being made")
    if (fault := _source_fault(pod)) is not None:
        return fault
    if pod.deleting:
        return Condition(READY, "False", PENDING, f"pod {pod.name} is ending; when it has, another one is made")
    if pod.phase == "Succeeded":
        return Condition(READY, "False", FINISHED, f"pod {pod.name} has sent its file to the end; deleting it sends it again")
    said = f": {pod.trouble}" if pod.trouble else " to be scheduled"
    return Condition(READY, "False", SOURCE_WAITS, f"pod {pod.name} waits{said}")


def _unallocated(stream: StreamSight, given: Situation) -> Condition:
    if given.place is not None and not given.place.offered:
        return Condition(READY, "False", QUEUE_NOT_FOUND, _nobody_offers(stream))
    if given.waiting:
        return Condition(READY, "False", WAITING_FOR_POD, f"no pod holds the ring: {given.waiting}")
    name = stream.name.partition("/")[2]
    message = f"no pod holds the ring: a pod gets it that names ResourceClaim {name} in resourceClaims"
    return Condition(READY, "False", WAITING_FOR_POD, message)


def _nobody_offers(stream: StreamSight) -> str:
    assert stream.subject is not None
    spec = stream.subject.spec
    what = f"queue {spec.tx_queue}" if spec.tx_queue is not None else "a queue"
    return (
        f"no node offers {what} of {spec.interface} that this namespace may have: a node does once the interface is up there,"
        f" has a native XDP program and that queue (kubectl get resourceslices, driver {names.QUEUE_DRIVER})"
    )


def _allocated(claim: ClaimSight) -> Condition:
    """Of a stream that goes out twice, the path that is worse."""
    found = [_device_ready(device.node, claim.words.get(device, DeviceWord())) for device in claim.devices]
    return next((each for each in found if each.status != "True"), found[0])


def _device_ready(node: str, word: DeviceWord) -> Condition:
    said = word.condition(READY)
    if said is None:
        return Condition(READY, "False", PREPARING, f"node {node} has not said yet how the ring is")
    connected = word.condition(CONNECTED)
    unheard = connected is not None and connected.status == "False" and connected.reason == "NoConnection"
    if said.status == "True" and connected is not None and unheard:
        return Condition(READY, "False", connected.reason, f"{node}: {connected.message}")
    return Condition(READY, said.status, said.reason, f"{node}: {said.message}")


def _progressing(given: Situation) -> Condition:
    obstacle = given.plan.obstacle
    if obstacle is not None and obstacle.replacing:
        return Condition(PROGRESSING, "True", obstacle.reason, obstacle.message)
    return Condition(PROGRESSING, "False", SETTLED, "")


def without_counts(report: StreamReport) -> StreamReport:
    """What of a status is state: a change of it is written at once, a change of counts when it is due."""
    legs = tuple(replace(each, **NO_COUNTS) for each in report.legs)
    return replace(report, legs=legs, **NO_COUNTS)
