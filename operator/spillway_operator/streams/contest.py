"""Which stream may have which transmit queue. Pure: the same input gives the same answer, whatever order it comes in.

Laws: what a claim has been given stays its own. Of streams that ask for one queue the older has it (creation time, then uid), and
a younger one gets what older ones leave; it is never turned away while another choice of theirs would leave it something. A queue
that is granted and that no node offers now (its driver is starting, kubelet has wiped the slices) counts as one queue. A built-in
source contends for queues of the nodes that its stream selects; where an application's pod may run, its stream does not say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from spillway_crds.grants import Grant, granted_queues
from spillway_crds.resolve import selects
from spillway_crds.streams import VideoSource
from spillway_operator.streams.sights import ClaimSight, Device, Offer, StreamSight

Seeker = tuple[str, int]  # a stream's name and the number of its wish: its own ring's, then one for each leg
NOBODY = ""  # the node of a queue that no node offers


@dataclass(frozen=True, slots=True, order=True)
class Rival:
    """Who has, or comes first for, a queue that somebody wants. allocated: has it. pods: that hold it."""

    device: Device
    interface: str
    queue: int
    kind: str
    name: str
    allocated: bool = False
    pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """What became of one stream's wishes, by its first wish or the one that failed.

    interface, queue: of the wish; None is any. granted: queues of that interface that its namespace may have. candidates: what it
    could use, offered or only granted. device: what it has or may have; None: all of it is taken, by `rivals`. offered: whether
    any node offers a candidate.
    """

    interface: str = ""
    queue: int | None = None
    granted: frozenset[int] = frozenset()
    candidates: tuple[Device, ...] = ()
    device: Device | None = None
    offered: bool = False
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True, slots=True)
class Stakes:
    """All that is contested. labels: of each node by its name; None while not all nodes are known."""

    grants: tuple[Grant, ...]
    offers: tuple[Offer, ...]
    claims: tuple[ClaimSight, ...]
    labels: Mapping[str, Mapping[str, str]] | None = None


@dataclass(slots=True)
class _Contest:
    """places: interface and queue of each device; devices: the same the other way round. fixed: allocated devices.

    given: what waiting streams may have so far.
    """

    places: Mapping[Device, tuple[str, int]]
    fixed: Mapping[Device, ClaimSight]
    devices: Mapping[tuple[str, int], list[Device]] = field(default_factory=dict)
    given: dict[Device, Seeker] = field(default_factory=dict)
    wishes: dict[Seeker, tuple[Device, ...]] = field(default_factory=dict)

    def place(self, newcomer: Seeker) -> bool:
        """Find a queue for one more wish, moving others to another of their choices where that helps.

        One augmenting path of a bipartite matching: a wish that has a queue never loses it for good.
        """
        came_from: dict[Device, Device | None] = {}
        seekers: deque[tuple[Device | None, Seeker]] = deque([(None, newcomer)])
        while seekers:
            left, seeker = seekers.popleft()
            for device in self.wishes[seeker]:
                if device in came_from or device in self.fixed:
                    continue
                came_from[device] = left
                if device not in self.given:
                    self._shift(device, came_from, newcomer)
                    return True
                seekers.append((device, self.given[device]))
        return False

    def _shift(self, free: Device, came_from: Mapping[Device, Device | None], newcomer: Seeker) -> None:
        """Everybody on the path takes the next queue of it; the first one's is for whoever came."""
        device = free
        while (left := came_from[device]) is not None:
            self.given[device] = self.given[left]
            device = left
        self.given[device] = newcomer

    def release(self, stream: str) -> None:
        """A stream that cannot have all that it needs takes nothing."""
        self.given = {device: seeker for device, seeker in self.given.items() if seeker[0] != stream}

    def rival(self, device: Device) -> Rival:
        """Whoever has a device."""
        interface, queue = self.places[device]
        claim = self.fixed.get(device)
        if claim is None:
            return Rival(device, interface, queue, "BypassStream", self.given[device][0])
        if claim.owner_kind == "BypassStream":
            name = f"{claim.namespace}/{claim.owner_name}"
            return Rival(device, interface, queue, "BypassStream", name, allocated=True, pods=claim.holders)
        return Rival(device, interface, queue, "ResourceClaim", claim.name, allocated=True, pods=claim.holders)


def settle(streams: Iterable[StreamSight], all_of: Stakes) -> dict[str, Place]:
    """Return every decoded stream's place by name."""
    places = _places(all_of)
    fixed = {device: claim for claim in all_of.claims for device in claim.devices}
    own = {claim.owner_uid: claim for claim in all_of.claims if claim.owner_uid and claim.devices}
    contest = _Contest(places, fixed, _by_place(places))
    found: dict[str, Place] = {}
    for stream in sorted(streams, key=_age):
        if stream.subject is not None:
            found[stream.name] = _place(stream, contest, all_of, own.get(stream.uid))
    moved = {stream: device for device, (stream, number) in contest.given.items() if number == 0}
    return {name: replace(place, device=moved.get(name, place.device)) for name, place in found.items()}


def rivals_of_all(
    all_of: Stakes, namespace: str, interface: str | None, queue: int | None, nodes: frozenset[str] | None = None
) -> tuple[Rival, ...]:
    """Return who has the queues that a claim of a namespace could use; nobody if one of them is free, or none is offered.

    interface, queue, nodes: None is any.
    """
    contest = _Contest(_places(all_of), {device: claim for claim in all_of.claims for device in claim.devices})
    usable = [
        device
        for device, (name, number) in contest.places.items()
        if device.node != NOBODY
        and (nodes is None or device.node in nodes)
        and interface in (None, name)
        and queue in (None, number)
        and number in granted_queues(all_of.grants, namespace, name)
    ]
    if not all(device in contest.fixed for device in usable):
        return ()
    return tuple(contest.rival(device) for device in usable)


def _age(stream: StreamSight) -> tuple[str, str, str]:
    return stream.created, stream.uid, stream.name


def _places(all_of: Stakes) -> dict[Device, tuple[str, int]]:
    """Every queue that a node offers, and those that are granted and offered by nobody now."""
    places = {offer.device: (offer.interface, offer.queue) for offer in all_of.offers}
    for claim in all_of.claims:
        for device in claim.devices:
            places.setdefault(device, _said_place(claim, device))
    offered = set(places.values())
    granted = {(grant.interface, queue) for grant in all_of.grants for queue in grant.queues}
    return places | {Device(NOBODY, f"{name}-tx{queue}"): (name, queue) for name, queue in sorted(granted - offered)}


def _by_place(places: Mapping[Device, tuple[str, int]]) -> dict[tuple[str, int], list[Device]]:
    found: dict[tuple[str, int], list[Device]] = {}
    for device, place in sorted(places.items()):
        found.setdefault(place, []).append(device)
    return found


def _said_place(claim: ClaimSight, device: Device) -> tuple[str, int]:
    """Of an allocated queue whose slice is away for now, what its node said; what matches no wish if that is no place."""
    data = claim.words[device].data if device in claim.words else {}
    interface, queue = data.get("interface"), data.get("queue")
    return (interface, queue) if isinstance(interface, str) and isinstance(queue, int) else ("", -1)


def _place(stream: StreamSight, contest: _Contest, all_of: Stakes, own: ClaimSight | None) -> Place:
    nodes = _nodes_of(stream, all_of.labels)
    wishes = [_wish(stream.namespace, interface, queue, contest, all_of) for interface, queue in wishes_of(stream)]
    if own is not None:
        return replace(wishes[0], device=own.devices[0], offered=True)
    for number, wish in enumerate(wishes):
        seeker = (stream.name, number)
        contest.wishes[seeker] = near = tuple(device for device in wish.candidates if nodes is None or device.node in nodes)
        if wish.candidates and not near:
            continue  # no node that it selects offers one: nobody is in its way, and its pod waits in the scheduler's words
        if not contest.place(seeker):
            contest.release(stream.name)
            return replace(wish, rivals=tuple(contest.rival(device) for device in near))
    offered = all(wish.offered for wish in wishes)
    return replace(wishes[0], device=wishes[0].candidates[0], offered=offered)  # which of them, is said at the end


def wishes_of(stream: StreamSight) -> tuple[tuple[str, int | None], ...]:
    """Interface and queue of each ring that a stream needs: its own, then one for each leg. No queue is any."""
    assert stream.subject is not None
    spec = stream.subject.spec
    legs = spec.source.legs if isinstance(spec.source, VideoSource) else ()
    return ((spec.interface, spec.tx_queue), *((leg.interface, leg.tx_queue) for leg in legs))


def _wish(namespace: str, interface: str, queue: int | None, contest: _Contest, all_of: Stakes) -> Place:
    granted = granted_queues(all_of.grants, namespace, interface)
    asked = granted if queue is None else granted & {queue}
    candidates = tuple(device for number in sorted(asked) for device in contest.devices.get((interface, number), ()))
    return Place(interface, queue, granted, candidates, offered=any(device.node != NOBODY for device in candidates))


def _nodes_of(stream: StreamSight, labels: Mapping[str, Mapping[str, str]] | None) -> frozenset[str] | None:
    """Where a stream's source may run; None is anywhere."""
    assert stream.subject is not None
    selector = stream.subject.spec.node_selector
    if selector is None or labels is None:
        return None
    return frozenset({NOBODY, *(name for name, found in labels.items() if selects(selector, found))})
