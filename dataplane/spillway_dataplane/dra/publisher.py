"""This node's ResourceSlices, kept as they should be: kubelet wipes them when it starts, and when we were away for 30 s."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from spillway_crds.errors import Transient
from spillway_dataplane.api.calls import Raw
from spillway_dataplane.api.watching import Backoff, ListWatch, Objects
from spillway_dataplane.dra.devices import QueueDevice
from spillway_dataplane.dra.names import FIELD_MANAGER, QUEUE_DRIVER, SLICES
from spillway_dataplane.dra.ports import Api, MakeApi
from spillway_dataplane.dra.slices import SliceAction, WriteSlice, encode_slice, plan_slices

LOG = logging.getLogger(__name__)
SETTLE_S = 0.5  # after a write: the watch has to tell of it before the next plan, or it would be written again


class SlicePublisher:
    """A watch on our own slices, and a thread that writes them."""

    def __init__(self, node_name: str, make_api: MakeApi, answered: Callable[[bool], None]) -> None:
        self._node_name, self._make_api, self._answered = node_name, make_api, answered
        self._news = threading.Condition()
        self._devices: tuple[QueueDevice, ...] | None = None
        self._found: Mapping[str, Raw] | None = None
        self._stopped = False
        selector = f"spec.driver={QUEUE_DRIVER},spec.nodeName={node_name}"
        self._watch = ListWatch(make_api, SLICES, selector=selector, deliver=self._see, answered=answered)
        self._thread = threading.Thread(target=self._run, name="spillway-slices", daemon=True)

    def start(self) -> None:
        """Begin to watch and to write."""
        self._watch.start()
        self._thread.start()

    def offer(self, devices: tuple[QueueDevice, ...]) -> None:
        """Say what is to be offered from now on."""
        with self._news:
            self._devices = devices
            self._news.notify()

    def stop(self, timeout_s: float) -> None:
        """Write nothing more. The slices stay: kubelet takes them away if no driver comes back."""
        self._watch.stop()
        with self._news:
            self._stopped = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _see(self, objects: Objects) -> None:
        with self._news:
            self._found = objects
            self._news.notify()

    def _plan(self) -> tuple[SliceAction, ...]:
        """Return what is to be done; nothing before both sides are known."""
        if self._devices is None or self._found is None:
            return ()
        return plan_slices(self._node_name, self._devices, self._found)

    def _next(self) -> tuple[SliceAction, ...]:
        """Wait for something to do; nothing at the end."""
        with self._news:
            self._news.wait_for(lambda: self._stopped or self._plan() != ())
            return () if self._stopped else self._plan()

    def _run(self) -> None:
        backoff = Backoff()
        while actions := self._next():
            try:
                self._carry_out(actions)
            except Transient as error:
                LOG.warning("the ResourceSlices cannot be written: %s", error)
                self._answered(False)
                self._pause(backoff.next_s())
            else:
                backoff.reset()
                self._pause(SETTLE_S)

    def _carry_out(self, actions: tuple[SliceAction, ...]) -> None:
        api: Api = self._make_api()
        node_uid = api.get(f"/api/v1/nodes/{self._node_name}")["metadata"]["uid"]
        for action in actions:
            if isinstance(action, WriteSlice):
                api.apply(f"{SLICES}/{action.name}", encode_slice(action, self._node_name, node_uid), manager=FIELD_MANAGER)
            else:
                api.delete(f"{SLICES}/{action.name}")
        written = [each for each in actions if isinstance(each, WriteSlice)]
        LOG.info("%d queues are offered in %d ResourceSlices", sum(len(each.spec["devices"]) for each in written), len(written))
        self._answered(True)

    def _pause(self, seconds: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._stopped, seconds)
