"""Tells pods that wait for a transmit queue who has it, for the scheduler's own words name neither queue nor holder; and their
streams that they wait.

Pods are not watched. Those of a namespace are listed while a claim for a queue there has none, and only those that wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from spillway_operator.api.calls import PODS, ApiServer, within
from spillway_operator.api.herald import Herald
from spillway_operator.api.pods import pod_trouble
from spillway_operator.notes import WARNING, Note, Regarding
from spillway_operator.streams.contest import rivals_of_all, wishes_of
from spillway_operator.streams.plan import CONFLICT, plan_claim, taken
from spillway_operator.streams.pod_nodes import may_run
from spillway_operator.streams.sights import ClaimSight, StreamSight
from spillway_operator.streams.wire import Raw, selectors_of
from spillway_operator.world import World

Wish = tuple[str | None, int | None]  # interface and queue; None is any
LOOK_EVERY_S = 30.0
QUEUE_TAKEN = "QueueTaken"
UNSCHEDULED = {"fieldSelector": "status.phase=Pending,spec.nodeName="}
INTERFACE = re.compile(r"\.interface\s*==\s*[\"']([^\"']+)[\"']")
QUEUE = re.compile(r"\.queue\s*==\s*([0-9]+)")


class PodTelling:
    """again: asks for another look at a namespace, after seconds. ring: the same for a stream's status."""

    def __init__(
        self,
        api: ApiServer,
        world: World,
        herald: Herald,
        *,
        again: Callable[[str, float], None],
        ring: Callable[[str, float], None],
    ) -> None:
        self._api, self._world, self._herald, self._again, self._ring = api, world, herald, again, ring

    async def look(self, namespace: str) -> None:
        """Tell every pod of a namespace that waits for a taken queue; as long as one may, again and again."""
        if not self._world.knows_claims:
            return
        wishes, waits = dict(self._wishes(namespace)), dict(self._waits(namespace))
        if not wishes and not waits:
            self._note(namespace, {})
            return
        self._again(namespace, LOOK_EVERY_S)
        pods, _ = await self._api.list(within(PODS, namespace), query=UNSCHEDULED)
        said: dict[str, str] = {}
        for pod in pods:
            found = {each: waits.get(each) or self._taken_there(namespace, pod, wishes.get(each, ())) for each in claims_of(pod)}
            for claim, words in found.items():
                said.setdefault(f"{namespace}/{claim}", f"pod {_name(pod)} waits{f' for {words}' if words else _trouble(pod)}")
            notes = [Note(WARNING, QUEUE_TAKEN, words) for words in found.values() if words]
            await self._herald.tell(Regarding("v1", "Pod", _name(pod), pod["metadata"]["uid"], namespace), notes)
        self._note(namespace, said)

    def _note(self, namespace: str, said: Mapping[str, str]) -> None:
        """Keep in mind for which claims of a namespace a pod waits, and have their streams say so."""
        noted = self._world.waiting_pods
        before = {claim: words for claim, words in noted.items() if claim.startswith(f"{namespace}/")}
        for claim in before.keys() | said.keys():
            if before.get(claim) != said.get(claim):
                self._ring(claim, 0.0)
            noted.pop(claim, None)
        noted.update(said)

    def _wishes(self, namespace: str) -> Iterator[tuple[str, tuple[Wish, ...]]]:
        """Names of claims without a queue, and what each asks for. Of a stream's own wish nothing has to be guessed."""
        streams = {each.name: each for each in self._world.streams}
        for claim in self._world.claims:
            if claim.namespace == namespace and not claim.devices:
                stream = streams.get(claim.name)
                known = stream is not None and stream.subject is not None and claim.owner_uid == stream.uid
                yield claim.own_name, wishes_of(stream) if known and stream is not None else (written_wish(claim),)

    def _taken_there(self, namespace: str, pod: Raw, wishes: Iterable[Wish]) -> str:
        """Of a pod that may run on some nodes only: whoever has all queues there that it could use."""
        if not (wishes and self._world.nodes.complete):
            return ""
        nodes = frozenset(each.name for each in self._world.nodes if may_run(pod, each))
        if len(nodes) == len(self._world.nodes):
            return ""  # whoever has all queues everywhere was named already
        for interface, queue in wishes:
            if rivals := rivals_of_all(self._world.stakes(), namespace, interface, queue, nodes):
                return f"{taken(_wanted(interface, queue), rivals)}; this pod may run on no other node that has one"
        return ""

    def _waits(self, namespace: str) -> Iterator[tuple[str, str]]:
        """Names of claims that others keep without a queue, and the words for it. A stream's claim may not be there yet."""
        for stream in self._world.streams:
            if stream.namespace == namespace and (words := self._conflict(stream)):
                yield stream.name.partition("/")[2], words
        for claim in self._world.claims:
            if claim.namespace == namespace and not claim.devices and (words := self._taken(claim)):
                yield claim.own_name, words

    def _conflict(self, stream: StreamSight) -> str:
        plan = plan_claim(stream, self._world.claims.get(stream.name), self._world.places().get(stream.name), served=True)
        return plan.obstacle.message if plan.obstacle is not None and plan.obstacle.reason == CONFLICT else ""

    def _taken(self, claim: ClaimSight) -> str:
        interface, queue = written_wish(claim)
        rivals = rivals_of_all(self._world.stakes(), claim.namespace, interface, queue)
        return taken(_wanted(interface, queue), rivals) if rivals else ""


def written_wish(claim: ClaimSight) -> Wish:
    """Of a claim that somebody wrote by hand: its selectors are read as far as they are written the usual way."""
    text = " ".join(selectors_of(claim.spec))
    interface, queue = INTERFACE.search(text), QUEUE.search(text)
    return interface.group(1) if interface else None, int(queue.group(1)) if queue else None


def _wanted(interface: str | None, queue: int | None) -> str:
    where = f" of {interface}" if interface else ""
    return f"a queue{where}" if queue is None else f"queue {queue}{where}"


def _name(pod: Raw) -> str:
    return str(pod["metadata"]["name"])


def _trouble(pod: Raw) -> str:
    said = pod_trouble(pod)
    return f": {said}" if said else " to be scheduled"


def claims_of(pod: Raw) -> tuple[str, ...]:
    """Names of the claims that a pod waits for, those of its templates too."""
    written: Any = (pod.get("spec") or {}).get("resourceClaims") or ()
    made: Any = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return tuple(name for each in (*written, *made) if (name := each.get("resourceClaimName")))
