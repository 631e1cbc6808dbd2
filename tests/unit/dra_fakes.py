"""A keeper of rings, an API server in memory and kubelet's side of gRPC, for the driver of streams.

What they cannot prove: that the kernel binds a ring, that containerd reads our CDI file, admission, server-side apply's merging,
kubelet's own order of calls. tests/kernel and tests/e2e do.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc

from spillway_crds.errors import Conflict, SpillwayError
from spillway_crds.streams import BindMode
from spillway_dataplane.api.calls import ApiRefused
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.protocol import DRA, MESSAGES, REGISTRATION, SERVICES
from spillway_dataplane.stream.model import RingOrder, RingStatus
from spillway_dataplane.way.state import RingState

Raw = dict[str, Any]
NODE = "node-7"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/studio/resourceclaims"
PARAMETERS: Raw = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "RingParameters",
    "flow": {"destinationAddress": "239.10.0.1", "destinationPort": 5004},
}


def eventually(wanted: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class FakeKeeper:
    """Keeps one order a queue, as the kernel does; `refuse` is raised for a queue that is in it."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.rings: dict[str, RingStatus] = {}
        self.orders: dict[str, RingOrder] = {}
        self.refuse: dict[tuple[str, int], SpillwayError] = {}
        self.tried = 0

    def open(self, order: RingOrder) -> RingStatus:
        self.tried += 1
        assert order.directory.is_dir()
        if error := self.refuse.get((order.interface, order.queue)):
            raise error
        for other in self.rings.values():
            if (other.interface, other.queue) == (order.interface, order.queue) and other.key != order.key:
                raise Conflict(subject=f"{order.interface} queue {order.queue}", owner=f"{other.label} has it")
        self.orders[order.key] = order
        ring = RingStatus(order.key, order.label, order.interface, order.queue, RingState.READY, bind_mode=BindMode.COPY)
        return self.rings.setdefault(order.key, replace(ring, mac="02:00:00:00:00:01"))

    def close(self, key: str) -> None:
        self.rings.pop(key, None)

    def statuses(self) -> tuple[RingStatus, ...]:
        return tuple(self.rings.values())

    def change(self, key: str, **fields: Any) -> None:
        self.rings[key] = replace(self.rings[key], **fields)
        self.on_change()

    def __enter__(self) -> FakeKeeper:
        return self

    def __exit__(self, *error: object) -> None:
        self.rings.clear()


@dataclass
class MemoryApi:
    """Objects by path; whoever applies one replaces it. `fail`: this status for every call."""

    objects: dict[str, Raw] = field(default_factory=dict)
    applied: list[tuple[str, Raw]] = field(default_factory=list)
    fail: int = 0
    refused: int = 0
    version: int = 1
    watches: list[queue.Queue[Raw | None]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def get(self, path: str, **query: str | int) -> Mapping[str, Any]:
        self._may(path)
        with self.lock:
            if path in self.objects:
                return self.objects[path]
            if "fieldSelector" in query:
                items = [raw for each, raw in self.objects.items() if each.startswith(f"{path}/")]
                return {"items": items, "metadata": {"resourceVersion": str(self.version)}}
        raise ApiRefused(operation=f"GET {path}", status=404, detail="not found")

    def watch(self, path: str, **query: str | int) -> Iterator[Mapping[str, Any]]:
        waiting: queue.Queue[Raw | None] = queue.Queue()
        with self.lock:
            self.watches.append(waiting)
        while (event := waiting.get()) is not None:
            yield event

    def apply(self, path: str, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        self._may(path)
        assert manager == "spillway-streams"
        with self.lock:
            raw = {**body}
            if path.endswith("/status") and path.removesuffix("/status") not in self.objects:
                self.refused += 1
                raise ApiRefused(operation=f"PATCH {path}", status=404, detail="not found")
            self.applied.append((path, raw))
            if path.endswith("/status"):
                self.objects[path.removesuffix("/status")]["status"].update(raw["status"])
            else:
                self.put(path, raw)
        return raw

    def delete(self, path: str) -> None:
        self._may(path)
        with self.lock:
            if raw := self.objects.pop(path, None):
                self._tell(path, "DELETED", raw)

    def put(self, path: str, raw: Raw) -> None:
        with self.lock:
            kind = "MODIFIED" if path in self.objects else "ADDED"
            self.objects[path] = raw
            self._tell(path, kind, raw)

    def close(self) -> None:
        for each in self.watches:
            each.put(None)

    def slices(self) -> list[Raw]:
        with self.lock:
            return [raw for path, raw in sorted(self.objects.items()) if path.startswith(f"{SLICES}/")]

    def statuses(self, name: str) -> list[Raw]:
        with self.lock:
            return [body for path, body in self.applied if path == f"{CLAIMS}/{name}/status"]

    def _tell(self, path: str, kind: str, raw: Raw) -> None:
        self.version += 1
        if path.startswith(SLICES):
            for each in self.watches:
                each.put({"type": kind, "object": raw})

    def _may(self, path: str) -> None:
        if self.fail:
            raise ApiRefused(operation=path, status=self.fail, detail="told to fail")


def claim(name: str = "cam", uid: str = "uid-1", device: str = "eth1-tx1", **more: Any) -> Raw:
    """An allocated claim with one request `ring`, as the scheduler leaves it."""
    result = {"request": "ring", "driver": QUEUE_DRIVER, "pool": NODE, "device": device}
    config = [{"source": "FromClaim", "requests": ["ring"], "opaque": {"driver": QUEUE_DRIVER, "parameters": PARAMETERS}}]
    return {
        "metadata": {"name": name, "namespace": "studio", "uid": uid},
        "status": {"allocation": {"devices": {"results": [result], "config": config, **more}}},
    }


class KubeletSide:
    """What kubelet would call, over a socket."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)])

    def _method(self, service: str, method: str) -> Any:
        question, answer = SERVICES[service][method]
        return self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=MESSAGES[question].SerializeToString,
            response_deserializer=MESSAGES[answer].FromString,
        )

    def call(self, service: str, method: str, request: Any, timeout_s: float = 20) -> Any:
        return self._method(service, method)(request, timeout=timeout_s, wait_for_ready=True)

    def later(self, method: str, name: str, uid: str, timeout_s: float = 20) -> Any:
        """A call under way."""
        request = MESSAGES[f"{method}Request"]()
        request.claims.add(namespace="studio", name=name, uid=uid)
        return self._method(f"{DRA}.DRAPlugin", method).future(request, timeout=timeout_s, wait_for_ready=True)

    def info(self) -> Any:
        return self.call(f"{REGISTRATION}.Registration", "GetInfo", MESSAGES["InfoRequest"]())

    def notify(self, registered: bool = True, error: str = "") -> None:
        request = MESSAGES["RegistrationStatus"](plugin_registered=registered, error=error)
        self.call(f"{REGISTRATION}.Registration", "NotifyRegistrationStatus", request)

    def prepare(self, name: str = "cam", uid: str = "uid-1", timeout_s: float = 20) -> Any:
        return self._claims("NodePrepareResources", name, uid, timeout_s)

    def unprepare(self, name: str = "cam", uid: str = "uid-1", timeout_s: float = 20) -> Any:
        return self._claims("NodeUnprepareResources", name, uid, timeout_s)

    def _claims(self, method: str, name: str, uid: str, timeout_s: float) -> Any:
        request = MESSAGES[f"{method}Request"]()
        request.claims.add(namespace="studio", name=name, uid=uid)
        return self.call(f"{DRA}.DRAPlugin", method, request, timeout_s).claims[uid]

    def close(self) -> None:
        self.channel.close()
