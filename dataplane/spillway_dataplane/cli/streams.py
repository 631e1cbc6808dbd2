"""`spillway streams`: the rings of a cluster, from the API. `spillway streams evict`: end the pods that hold one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from spillway_crds import names
from spillway_dataplane import __version__
from spillway_dataplane.api.calls import NOT_FOUND, ApiCalls, ApiRefused, Raw, load_configuration
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.streams_view import RingView, age_text, holders, is_ours, view_rings
from spillway_dataplane.dra.names import RESOURCE_API, claim_path

COLUMNS = (
    "Namespace",
    "Name",
    "Ready",
    "Node",
    "Interface",
    "Queue#",
    "Mode",
    "Core#",
    "Packets/s#",
    "Packets#",
    "Late#",
    "Pod",
    "Age",
)
TOO_MANY_REQUESTS = 429  # a PodDisruptionBudget
PAGE = 500


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """List, or evict. Raises CommandError for what cannot be done, Transient while the API cannot be asked."""
    api = ApiCalls(load_configuration(), f"spillway-cli/{__version__}")
    try:
        if arguments.action == "evict":
            return evict(api, arguments.namespace, arguments.name, say)
        return show(api, arguments.namespace, say)
    finally:
        api.close()


def show(api: ApiCalls, namespace: str, say: Say) -> Exit:
    """Say what there is. namespace: empty for all."""
    streams = _list(api, f"/apis/{names.API_VERSION}", namespace, names.STREAMS_PLURAL)
    claims = _list(api, f"/apis/{RESOURCE_API}", namespace, "resourceclaims")
    rings = view_rings(streams, claims, datetime.now(UTC))
    if say.is_json:
        say.value({"rings": [asdict(each) for each in rings]})
    elif not rings:
        say.line("No stream, and no claim for a transmit queue.")
    else:
        say.table("Rings", COLUMNS, map(_row, rings))
        for each in rings:
            if not each.ready:
                say.line(f"{each.namespace}/{each.name}: {each.why}")
    return Exit.OK


def _list(api: ApiCalls, group: str, namespace: str, plural: str) -> Iterator[Raw]:
    """Yield all objects, page by page. A kind that this API server does not have has none."""
    path = f"{group}/namespaces/{namespace}/{plural}" if namespace else f"{group}/{plural}"
    more = ""
    while True:
        try:
            found = api.get(path, limit=PAGE, **({"continue": more} if more else {}))
        except ApiRefused as error:
            if error.status == NOT_FOUND:
                return
            raise
        yield from found.get("items", ())
        more = (found.get("metadata") or {}).get("continue", "")
        if not more:
            return


def _row(ring: RingView) -> tuple[object, ...]:
    queue, core = ("" if each is None else each for each in (ring.queue, ring.core))
    rate, packets, late = (ring.packets_per_second, ring.packets, ring.late) if ring.node else ("", "", "")
    ready = "yes" if ring.ready else "no"
    pods = " ".join(ring.pods)
    age = age_text(ring.age_seconds)
    return (ring.namespace, ring.name, ready, ring.node, ring.interface, queue, ring.mode, core, rate, packets, late, pods, age)


def evict(api: ApiCalls, namespace: str, name: str, say: Say) -> Exit:
    """Evict every pod that holds the claim of this name: a stream's claim has the stream's name, also after its deletion."""
    subject = f"{namespace}/{name}"
    pods = holders(_claim(api, namespace, name))
    if not pods:
        say.line(f"{subject}: no pod holds it")
    answers = {pod: _evict_one(api, namespace, pod) for pod in pods}
    for pod, problem in answers.items():
        say.line(f"{subject}: pod {pod} {problem or 'is evicted and ends within its grace period'}")
    if say.is_json:
        say.value({"claim": subject, "evicted": [pod for pod, problem in answers.items() if not problem]})
    kept = [f"pod {pod} {problem}" for pod, problem in answers.items() if problem]
    if kept:
        raise CommandError(Exit.REFUSED, subject, "; ".join(kept))
    return Exit.OK


def _claim(api: ApiCalls, namespace: str, name: str) -> Raw:
    subject = f"{namespace}/{name}"
    try:
        claim = api.get(claim_path(namespace, name))
    except ApiRefused as error:
        if error.status == NOT_FOUND:
            raise CommandError(Exit.INVALID, subject, "there is no claim of this name, so nobody holds its ring") from error
        raise
    if not is_ours(claim):
        raise CommandError(Exit.INVALID, subject, "this claim is not for a transmit queue; its pods are left alone")
    return claim


def _evict_one(api: ApiCalls, namespace: str, pod: str) -> str:
    """Return what kept a pod, nothing if it goes. A pod that is gone already is no problem."""
    body: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    try:
        api.create(f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body)
    except ApiRefused as error:
        if error.status == TOO_MANY_REQUESTS:
            return f"is kept by a PodDisruptionBudget: {error.detail}"
        return "" if error.status == NOT_FOUND else f"cannot be evicted: {error.detail}"
    return ""
