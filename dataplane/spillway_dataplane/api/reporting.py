"""The agent's status on its way to the API: the newest only, and only when it differs from what was last sent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from spillway_crds import names
from spillway_crds.errors import Transient
from spillway_crds.orders import NodeStatus
from spillway_crds.orders_wire import encode_status, trim_status
from spillway_dataplane.api.calls import ApiCalls
from spillway_dataplane.api.watching import Backoff

LOG = logging.getLogger(__name__)


class Reporter:
    """A thread that applies the newest status to the object that it belongs to.

    The object's uid goes along: counts that belong to one object are never written into its successor.
    """

    def __init__(self, make_api: Callable[[], ApiCalls], path: str, node_name: str, answered: Callable[[bool], None]) -> None:
        self._make_api, self._path, self._node_name, self._answered = make_api, path, node_name, answered
        self._news = threading.Condition()
        self._status: NodeStatus | None = None
        self._uid = ""
        self._sent: dict[str, Any] | None = None
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="spillway-report", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def take(self, status: NodeStatus) -> None:
        """Take the newest status."""
        with self._news:
            self._status = status
            self._news.notify()

    def expect(self, uid: str, *, reported: bool) -> None:
        """Say which object there is now, and whether it has a status: one without gets ours, also if we sent it before."""
        with self._news:
            if uid != self._uid or not reported:
                self._uid, self._sent = uid, None
                self._news.notify()

    def stop(self, timeout_s: float) -> None:
        """Send what there is within this time, and end."""
        with self._news:
            self._stop_at = time.monotonic() + timeout_s
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _body(self) -> dict[str, Any] | None:
        """Return what is to be sent, None when there is nothing new, or nobody whom it belongs to."""
        if self._status is None or not self._uid or self._status.counts_for != self._uid:
            return None
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "NodeDataplane",
            "metadata": {"name": self._node_name, "uid": self._uid},
            "status": encode_status(trim_status(self._status)),
        }
        return body if body != self._sent else None

    def _next(self) -> dict[str, Any] | None:
        """Wait for something to send; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._stop_at is not None or self._body() is not None)
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                return None
            return self._body()

    def _run(self) -> None:
        backoff = Backoff()
        while (body := self._next()) is not None:
            try:
                self._make_api().apply(self._path, body, manager=names.AGENT_FIELD_MANAGER)
            except Transient as error:
                LOG.warning("the status cannot be written: %s", error)
                self._answered(False)
                self._pause(backoff.next_s())
            else:
                self._answered(True)
                backoff.reset()
                with self._news:
                    self._sent = body if body["metadata"]["uid"] == self._uid else None

    def _pause(self, seconds: float) -> None:
        """Let time pass; the end does not wait for it."""
        with self._news:
            self._news.wait_for(lambda: self._stop_at is not None, seconds)
