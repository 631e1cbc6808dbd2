"""Why a pod does not run, in its own status's words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spillway_operator.filters.wire import Raw

FINE_REASONS = {"ContainerCreating", "PodInitializing", "Completed"}
MAX_MESSAGE_CHARS = 300


def pod_trouble(pod: Raw) -> str:
    """Why a pod cannot run; empty if it runs or is merely starting."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _text(condition)
    return next((_text(waiting) for waiting in _waiting(status)), "")


def _waiting(status: Raw) -> Iterator[Any]:
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") and waiting["reason"] not in FINE_REASONS:
            yield waiting


def _text(said: Raw) -> str:
    return f"{said.get('reason', '')}: {said.get('message', '')}".rstrip(": ")[:MAX_MESSAGE_CHARS]
