"""`python -m spillway_operator uninstall`: the chart's pre-delete hook.

It writes the wish that every node be emptied, and waits until every node has confirmed. Who leads carries the wish out; for the
case that nobody does, the hook stands by as one more replica and leads itself. Run again, it goes on where it stopped. The wish
goes with the release; it binds the operator's present Deployment only, so a leftover harms no later release.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spillway_crds import names
from spillway_crds.errors import InvalidIntent
from spillway_operator.api.calls import CLAIMS, CRDS, DATAPLANES, NODES, ApiServer, Kind, config_maps, connect
from spillway_operator.api.crds import CLAIM_PLURALS, is_serving
from spillway_operator.candidacy import begin_anew, make_lease
from spillway_operator.config.settings import Config
from spillway_operator.filters.sights import DataplaneSight, NodeSight
from spillway_operator.filters.wire import reduce_dataplane, reduce_node
from spillway_operator.health import Health
from spillway_operator.main import (
    BAD_CONFIG,
    cancelled,
    config_from_environment,
    operate,
    place_from_environment,
    set_up_logging,
)
from spillway_operator.plan import is_empty
from spillway_operator.reconcile import Place
from spillway_operator.streams.wire import is_about_queues, reduce_claim
from spillway_operator.world import UNINSTALL_CONFIGMAP, UNINSTALL_OWNER_KEY

CONFIG_CONFIGMAP = "spillway-config"  # the chart's, mounted as our configuration
log = logging.getLogger(__name__)
POLL_S = 1.0
SAY_AGAIN_S = 15.0
LEAD_RETRY_S = 5.0
MAX_NAMED = 20
NO_RINGS: Mapping[str, list[str]] = {}


@dataclass(frozen=True, slots=True)
class Progress:
    """remaining: a line for each node that is not clean yet, by name. seen: how many there are in all, done ones included."""

    remaining: tuple[str, ...] = ()
    seen: int = 0
    looked: bool = True

    def __str__(self) -> str:
        """One line for a person."""
        if not self.looked:
            return "the API server does not answer"
        done = self.seen - len(self.remaining)
        listed = ", ".join(self.remaining[:MAX_NAMED])
        more = f" and {len(self.remaining) - MAX_NAMED} more" if len(self.remaining) > MAX_NAMED else ""
        waiting = f"; waiting for {listed}{more}" if self.remaining else ""
        return f"{done} of {self.seen} nodes are clean{waiting}"


def main() -> int:
    """Empty every node. Returns 0 when all have confirmed, 1 when some have not in time, 2 for a bad configuration."""
    set_up_logging()
    logging.getLogger().setLevel(logging.WARNING)  # what is printed is for the person who uninstalls
    try:
        config = config_from_environment()
    except (InvalidIntent, OSError) as error:
        log.error("configuration: %s", error)
        return BAD_CONFIG
    return asyncio.run(uninstall(config, place_from_environment()))


async def uninstall(config: Config, place: Place) -> int:
    """The whole of it."""
    async with connect() as api:
        if not is_serving(await api.get(CRDS, f"{names.DATAPLANES_PLURAL}.{names.GROUP}")):
            say("There are no NodeDataplanes to order anything with: their CRD is gone. Programs stay as they are;")
            say("`spillway off --purge` cleans one node, docs/purge.yaml all of them.")
            return 0
        await write_wish(api, place)
        standing_by = asyncio.create_task(_lead_if_nobody_does(config, place))
        try:
            return await _wait(api, config.uninstall.timeout_s)
        finally:
            await cancelled(standing_by)


async def write_wish(api: ApiServer, place: Place) -> None:
    """Write the ConfigMap that orders every node to be emptied.

    It goes with the release's own ConfigMap, which Helm deletes after the operator's rights. With the Deployment it would go
    while the operator still has its last seconds, and that would label the nodes again.
    """
    deployments = Kind("Deployment", "apps/v1", "deployments", place.namespace)
    deployment = await api.get(deployments, place.deployment)
    uid = deployment["metadata"]["uid"] if deployment else ""
    owner = await api.get(config_maps(place.namespace), CONFIG_CONFIGMAP)
    metadata: dict[str, Any] = {"name": UNINSTALL_CONFIGMAP}
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": CONFIG_CONFIGMAP, "uid": owner["metadata"]["uid"]}
        metadata["ownerReferences"] = [reference]
    await api.apply(config_maps(place.namespace), {"metadata": metadata, "data": {UNINSTALL_OWNER_KEY: uid}})
    say("Every node is ordered to take Spillway's programs off, in turns.")


async def _wait(api: ApiServer, timeout_s: float) -> int:
    end, said, said_at = time.monotonic() + timeout_s, "", 0.0
    progress = Progress(looked=False)
    while True:
        progress = await _look(api, progress)
        if (text := str(progress)) != said or time.monotonic() - said_at > SAY_AGAIN_S:
            said, said_at = text, time.monotonic()
            say(text)
        if progress.looked and not progress.remaining:
            say("Nothing of Spillway is left on any node.")
            return 0
        if time.monotonic() > end:
            _explain(progress, timeout_s)
            return 1
        await asyncio.sleep(POLL_S)


async def _look(api: ApiServer, before: Progress) -> Progress:
    """An API server that is away for a moment ends no uninstall."""
    try:
        return await observe_progress(api, before.seen)
    except Exception as error:
        log.warning("progress not seen: %r", error)
        return replace(before, looked=False)


def _explain(progress: Progress, timeout_s: float) -> None:
    say(f"Not confirmed after {timeout_s:g} s:")
    for line in progress.remaining or (str(progress),):
        say(f"  {line}")
    say("Uninstall again to go on, or with --no-hooks to leave them as they are (`spillway off --purge` cleans a node).")
    say(f"To call it off: kubectl delete configmap {UNINSTALL_CONFIGMAP}")


async def observe_progress(api: ApiServer, seen: int) -> Progress:
    """Look at every node that carries our label or has an order. seen: how many there were so far."""
    raws, _ = await api.list(DATAPLANES)
    labelled, _ = await api.list(NODES, query={"labelSelector": names.NODE_LABEL})
    rings = await _observe_rings(api)
    return progress_of((reduce_dataplane(raw, None) for raw in raws), map(reduce_node, labelled), seen, rings)


async def _observe_rings(api: ApiServer) -> dict[str, list[str]]:
    """Pods that hold a transmit ring, by node: `namespace/name`. Without the driver such a pod could not even end."""
    if not await api.discover(names.RESOURCE_API) >= CLAIM_PLURALS:
        return {}
    raws, _ = await api.list(CLAIMS)
    found: dict[str, list[str]] = {}
    for claim in map(reduce_claim, filter(is_about_queues, raws)):
        for node in {device.node for device in claim.devices}:
            found.setdefault(node, []).extend(f"{claim.namespace}/{pod}" for pod in claim.holders)
    return found


def progress_of(
    dataplanes: Iterable[DataplaneSight], labelled: Iterable[NodeSight], seen: int, rings: Mapping[str, list[str]] = NO_RINGS
) -> Progress:
    """What is left to do. A node is done when its label and its order are gone. rings: by node, the pods that hold one."""
    left = {node.name: "its label is there" for node in labelled}
    for dataplane in dataplanes:
        left[dataplane.name] = _what_it_does(dataplane)
    for node in left.keys() & rings.keys():
        left[node] = f"rings are held there by pod {', '.join(sorted(rings[node])[:MAX_NAMED])}: end it first"
    return Progress(tuple(f"{name} ({left[name]})" for name in sorted(left)), max(seen, len(left)))


def _what_it_does(dataplane: DataplaneSight) -> str:
    if is_empty(dataplane):
        return "clean, its pod is ending"
    if dataplane.failed:
        return "fell silent in its turn"
    if dataplane.status.waiting_for_turn:
        return "waits for its turn or is in it"
    return "has not answered" if dataplane.has_spoken else "no agent has ever reported from there"


async def _lead_if_nobody_does(config: Config, place: Place) -> None:
    """Contend for the lease like any replica; the one that holds it empties the nodes."""
    health, stop = Health(), threading.Event()
    try:
        while True:
            try:
                await _lead_once(config, place, health, stop)
            except Exception as error:
                log.warning("leading ended: %r", error)
            await asyncio.sleep(LEAD_RETRY_S)
    finally:
        stop.set()


async def _lead_once(config: Config, place: Place, health: Health, stop: threading.Event) -> None:
    lease = await asyncio.to_thread(make_lease, place, stop)
    if not await asyncio.to_thread(lease.acquire, stop):
        return
    say("No operator leads: doing its work.")
    lease.keep(alive=health.is_alive, lost=begin_anew)
    try:
        await operate(config, place, health, asyncio.Event())
    finally:
        await asyncio.shield(asyncio.to_thread(lease.release))


def say(text: str) -> None:
    """To standard output, at once: Helm shows it to the person who uninstalls."""
    os.write(1, f"{text}\n".encode())
