"""Streams and claims for transmit queues as rows of a table. Pure.

What a node says of a ring stands in its claim; a stream without a ring says itself what it waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spillway_dataplane.dra.names import QUEUE_DRIVER

Raw = Mapping[str, Any]
READY = "Ready"


@dataclass(frozen=True, slots=True)
class RingView:
    """One ring, or a stream that has none. stream: a BypassStream stands behind it. why: what Ready says when it is not True.

    mode: empty until the kernel gave one and, for zero copy, a frame was completed.
    core: a built-in source's. pods: that hold the claim, by name.
    """

    namespace: str
    name: str
    stream: bool
    ready: bool = False
    why: str = ""
    node: str = ""
    interface: str = ""
    queue: int | None = None
    mode: str = ""
    packets_per_second: int = 0
    packets: int = 0
    late: int = 0
    core: int | None = None
    holder: str = ""
    pods: tuple[str, ...] = ()
    age_seconds: int = 0


def view_rings(streams: Iterable[Raw], claims: Iterable[Raw], now: datetime) -> tuple[RingView, ...]:
    """Join what the API lists, in order of namespace and name: every stream, and every claim for a queue that has no stream."""
    by_key = {_key(each): each for each in claims}
    named = {_key(each): each for each in streams}
    rows = [row for key, each in named.items() for row in _of_stream(each, by_key.get(key), now)]
    rows += [row for key, each in by_key.items() if key not in named and is_ours(each) for row in _of_claim(each, now, False)]
    return tuple(sorted(rows, key=lambda row: (row.namespace, row.name, row.interface, row.queue or 0)))


def is_ours(claim: Raw) -> bool:
    """Whether a claim asks for transmit queues, allocated or not."""
    requests = ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ()
    asked = [each.get("exactly") or {} for each in requests] + [
        one for each in requests for one in each.get("firstAvailable") or ()
    ]
    return any(str(each.get("deviceClassName", "")).endswith(QUEUE_DRIVER) for each in asked)


def holders(claim: Raw) -> tuple[str, ...]:
    """Return the names of the pods that a claim is reserved for."""
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    return tuple(each["name"] for each in reserved if each.get("resource") == "pods")


def _of_stream(stream: Raw, claim: Raw | None, now: datetime) -> list[RingView]:
    if claim is not None and (rows := _of_claim(claim, now, stream=True)) and any(row.node for row in rows):
        return rows
    ready = _condition(stream.get("status") or {}, READY)
    why = _why(ready) if ready else "the operator has not looked at it yet"
    interface = (stream.get("spec") or {}).get("interface", "")
    namespace, name = _key(stream)
    pods = holders(claim) if claim else ()
    return [RingView(namespace, name, True, why=why, interface=interface, pods=pods, age_seconds=_age(stream, now))]


def _of_claim(claim: Raw, now: datetime, stream: bool) -> list[RingView]:
    status = claim.get("status") or {}
    told = {each.get("device"): each for each in status.get("devices") or () if each.get("driver") == QUEUE_DRIVER}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    ours = [each for each in results if each.get("driver") == QUEUE_DRIVER]
    namespace, name = _key(claim)
    age, pods = _age(claim, now), holders(claim)
    if not ours:
        return [RingView(namespace, name, stream, why="no pod has it, or no node has the queue free", pods=pods, age_seconds=age)]
    return [_of_device(RingView(namespace, name, stream, pods=pods, age_seconds=age), each, told) for each in ours]


def _of_device(row: RingView, result: Raw, told: Mapping[Any, Raw]) -> RingView:
    device = told.get(result.get("device")) or {}
    data, ready = device.get("data") or {}, _condition(device, READY)
    return RingView(
        row.namespace,
        row.name,
        row.stream,
        ready=ready.get("status") == "True",
        why=_why(ready) if ready else "its node has not prepared it yet",
        node=str(result.get("pool", "")),
        interface=str(data.get("interface", "")),
        queue=_number(data, "queue"),
        mode=str(data.get("bindMode", "")),
        core=_number(data, "core"),
        packets_per_second=_number(data, "packetsPerSecond") or 0,
        packets=_number(data, "packets") or 0,
        late=_number(data, "late") or 0,
        holder=str(data.get("holder", "")),
        pods=row.pods,
        age_seconds=row.age_seconds,
    )


def _number(data: Raw, key: str) -> int | None:
    """None for what a node said that is no number: the table shows the others all the same."""
    found = data.get(key)
    return found if isinstance(found, int) else None


def _condition(holder: Raw, kind: str) -> Raw:
    return next((each for each in holder.get("conditions") or () if each.get("type") == kind), {})


def _why(condition: Raw) -> str:
    if condition.get("status") == "True":
        return ""
    return f"{condition.get('reason', '')}: {condition.get('message', '')}"


def _key(raw: Raw) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def _age(raw: Raw, now: datetime) -> int:
    created = raw["metadata"].get("creationTimestamp")
    return int((now - datetime.fromisoformat(created)).total_seconds()) if created else 0


def age_text(seconds: int) -> str:
    """An age as kubectl would say it."""
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"
