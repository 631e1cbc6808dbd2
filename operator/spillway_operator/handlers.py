"""kopf, and only kopf: what it watches, how it is set, and the handlers that hand sights on.

Only `on.event` handlers: kopf then writes nothing to any object. All others, timers and daemons too, add a finalizer, an
annotation or a status of kopf's own. kopf has a thread and a loop of its own, because at its end it cancels every task of its
loop; so it can be ended and begun again when a CRD goes and comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import kopf

from spillway_operator.api.calls import Kind
from spillway_operator.config.forms import join_endpoint
from spillway_operator.filters.wire import Raw

log = logging.getLogger(__name__)
STOP_WITHIN_S = 15.0
Sink = Callable[[str, str | None, Raw], None]
QUIET_LOGGERS = {
    "kopf.objects": logging.WARNING,  # else a line for each event that a handler has seen
    "kopf._core.reactor.running": logging.ERROR,  # that signals are ignored outside the main thread: main handles them
}


class Backoffs:
    """Half-second to five-second steps for about two minutes, with new jitter at each use; then kopf ends, and main decides."""

    def __iter__(self) -> Iterator[float]:
        for step_s in (0.5, 1.0, 2.0, *[5.0] * 24):
            yield step_s * random.uniform(0.5, 1.0)


def settings() -> kopf.OperatorSettings:
    """How kopf is to watch. Source of each figure: measured with 1,000 nodes."""
    wanted = kopf.OperatorSettings()
    wanted.process.ultimate_exiting_timeout = None  # it would kill the whole process
    wanted.posting.enabled = False
    wanted.peering.standalone = True
    wanted.scanning.disabled = True  # no watch on CRDs and namespaces, and no right needed for it
    # An API server that lost its power says nothing any more: its watches are begun anew, at another one, within this time. A new
    # watch goes on where the old one ended and costs one request.
    wanted.watching.server_timeout = 30
    wanted.watching.client_timeout = 35
    wanted.watching.connect_timeout = 5
    wanted.watching.chunk_size = 250
    wanted.networking.request_timeout = 30
    wanted.networking.connect_timeout = 5
    wanted.networking.error_backoffs = Backoffs()
    wanted.queueing.worker_limit = None  # an idle worker keeps its slot: a limit divided by idle_timeout is the event rate
    wanted.queueing.idle_timeout = 0.1  # until then a worker keeps its object's last body
    return wanted


def in_cluster_server() -> str:
    """The API server as kubelet tells every pod. kopf would ask the cluster's DNS for it, which may be what a flood is at."""
    return f"https://{join_endpoint(os.environ['KUBERNETES_SERVICE_HOST'], int(os.environ['KUBERNETES_SERVICE_PORT']))}"


def register(kinds: tuple[Kind, ...], sink: Sink) -> kopf.OperatorRegistry:
    """One handler for each kind. They are `async` although they wait for nothing: kopf runs plain functions in threads."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(id="login", registry=registry)
    def login(**kwargs: Any) -> Any:
        found = kopf.login_with_service_account(**kwargs)
        return replace(found, server=in_cluster_server()) if found else kopf.login_with_kubeconfig(**kwargs)

    for kind in kinds:
        group, _, version = kind.api_version.rpartition("/")
        kopf.on.event(group, version, kind.plural, id=f"see-{kind.plural}", registry=registry)(_handler(kind.plural, sink))
    return registry


def _handler(plural: str, sink: Sink) -> Any:
    async def see(event: Any, **_: Any) -> None:
        sink(plural, event["type"], event["object"])

    return see


class Watch:
    """kopf over some kinds, until stopped. ended: done when kopf has ended, with what made it end.

    namespace: of the kinds that have namespaces only those in this one are seen; empty: in all.
    sink: called in the loop that started the watch.
    """

    def __init__(self, kinds: tuple[Kind, ...], namespace: str, sink: Sink) -> None:
        self._kinds, self._namespace = kinds, namespace
        self._outer = asyncio.get_running_loop()
        self._sink = sink
        self._inner: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self.ended: asyncio.Future[None] = self._outer.create_future()

    def start(self) -> None:
        """Begin; returns at once."""
        for name, level in QUIET_LOGGERS.items():
            logging.getLogger(name).setLevel(level)
        threading.Thread(target=self._run, name="kopf", daemon=True).start()

    async def stop(self) -> None:
        """End it, and wait until it has ended. Raises TimeoutError when it does not: nothing would be seen any more."""
        self._stopping.set()
        if self._inner is not None and self._task is not None and not self.ended.done():
            with contextlib.suppress(RuntimeError):  # its loop has just ended by itself
                self._inner.call_soon_threadsafe(self._task.cancel)
        async with asyncio.timeout(STOP_WITHIN_S):
            await asyncio.wait({self.ended})

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._operate())
        except asyncio.CancelledError:
            pass
        except BaseException as raised:
            error = raised
        self._outer.call_soon_threadsafe(self._settle, error)

    async def _operate(self) -> None:
        self._inner, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping.is_set():
            return
        registry = register(self._kinds, self._hand_over)
        os.environ.setdefault("USER", "spillway")  # kopf asks for the user's name, and a container's uid has none
        place: dict[str, Any] = {"namespaces": [self._namespace]} if self._namespace else {"clusterwide": True}
        await kopf.operator(registry=registry, settings=settings(), standalone=True, **place)

    def _hand_over(self, plural: str, event_type: str | None, raw: Raw) -> None:
        self._outer.call_soon_threadsafe(self._sink, plural, event_type, raw)

    def _settle(self, error: BaseException | None) -> None:
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
            self.ended.exception()  # seen: whoever stopped the watch does not ask
