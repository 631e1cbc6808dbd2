"""Agents without kernels, for the operator's tests: they read their orders and answer as a real one would.

What they cannot prove: that a real agent answers so. tests/e2e/test_turns.py and the others run real ones.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from spillway_crds.filters import Mode
from spillway_crds.names import AGENT_FIELD_MANAGER
from spillway_crds.orders import (
    Attach,
    FilterOrder,
    FilterState,
    FilterStatus,
    InterfaceStatus,
    NodeState,
    NodeStatus,
    RuleTotals,
    Totals,
)
from spillway_crds.orders_wire import decode_order, decode_status, encode_status, order_hash
from tests.e2e.bare_api import ADMIN_TOKEN, BareApi

PATH = "/apis/spillway.dev/v1alpha1/nodedataplanes"


class Puppets:
    """One agent for each NodeDataplane; polls them all. silent: names that do not answer. packets: counted so far by each."""

    def __init__(self, api: BareApi, *, pause_s: float = 0.1) -> None:
        self._api, self._pause_s = api, pause_s
        self.silent: set[str] = set()
        self.packets: dict[str, int] = {}
        self.attached: set[str] = set()  # nodes with a link in their pretended kernel
        self.attaching: dict[str, float] = {}  # since when
        self.attach_takes_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.most_open = 0

    def __enter__(self) -> Puppets:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                items = self._call("GET", PATH)["items"]
            except (urllib.error.URLError, OSError):
                continue
            self.most_open = max(self.most_open, sum(each["spec"].get("attach") == Attach.ALLOWED for each in items))
            for each in items:
                if each["metadata"]["name"] not in self.silent:
                    self._answer(each)

    def _answer(self, raw: dict[str, Any]) -> None:
        name, order = raw["metadata"]["name"], decode_order(raw["spec"])
        waiting = self._act(name, order.state, order.attach)
        status = NodeStatus(
            observed_spec_hash=order_hash(order),
            agent_version="puppet",
            counts_for=raw["metadata"]["uid"],
            waiting_for_turn=("eth0",) if waiting else (),
            interfaces=(InterfaceStatus("eth0", link_id=1),) if name in self.attached else (),
            filters=tuple(self._filter(name, each) for each in order.filters),
        )
        if status != decode_status(raw.get("status")):
            try:
                self._call(
                    "PUT", f"{PATH}/{name}/status?fieldManager={AGENT_FIELD_MANAGER}", {**raw, "status": encode_status(status)}
                )
            except urllib.error.HTTPError as error:
                if error.code not in (404, 409):
                    raise

    def _act(self, name: str, state: NodeState, attach: Attach) -> bool:
        """Attach or detach, in a turn; return whether one is waited for."""
        wants_link = state is NodeState.ACTIVE or (state is NodeState.IDLE and name in self.attached)
        if wants_link == (name in self.attached):
            return False
        if attach is not Attach.ALLOWED:
            return True
        since = self.attaching.setdefault(name, time.monotonic())
        if time.monotonic() - since < self.attach_takes_s:
            return True
        del self.attaching[name]
        (self.attached.add if wants_link else self.attached.discard)(name)
        return False

    def _filter(self, name: str, order: FilterOrder) -> FilterStatus:
        running = FilterState.ENFORCING if order.mode is Mode.ENFORCE else FilterState.MONITORING
        count = self.packets.get(name, 0)
        totals = Totals(matched_packets=count, dropped_packets=count)
        state = running if name in self.attached else FilterState.PENDING
        return FilterStatus(
            order.name, order.uid, order.revision, state, totals=totals, rules=(RuleTotals("amplifiers", totals),)
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._api.port}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=10) as answer:
            return json.load(answer)
