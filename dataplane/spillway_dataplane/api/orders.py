"""Orders from the API and reports to it: this node's own NodeDataplane, two ConfigMaps, revisions by name. Nothing else is read.

An object that is missing is no order: not the NodeDataplane (the operator makes it again), not its CRD, not the ConfigMap of the
peers. Only the kill switch means something by its absence, and only when a whole list was seen without it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from spillway_crds import names
from spillway_crds.errors import SpillwayError
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeStatus
from spillway_crds.orders_wire import decode_order
from spillway_dataplane import __version__
from spillway_dataplane.api.calls import ApiCalls, Raw, load_configuration
from spillway_dataplane.api.fetching import Fetcher, Wanted
from spillway_dataplane.api.reporting import Reporter
from spillway_dataplane.api.watching import ListWatch, Objects
from spillway_dataplane.source import EndpointsSeen, Inbox, PeersSeen, SwitchSeen

LOG = logging.getLogger(__name__)
KNOWN_SWITCHES = ("", "on", names.SWITCH_OFF.lower())
DATAPLANES = f"/apis/{names.API_VERSION}/{names.DATAPLANES_PLURAL}"


class ApiSource:
    """The API server as the source of orders, for one node."""

    def __init__(self, node_name: str, namespace: str) -> None:
        self._node_name, self._namespace = node_name, namespace
        self._lock = threading.Lock()
        self._client: ApiCalls | None = None
        self._inbox = Inbox()
        self._peers: Mapping[str, str] | None = None
        self._off: bool | None = None
        self._switch = ""
        self._fetcher = Fetcher(self._api, namespace, self._answered)
        self._reporter = Reporter(self._api, f"{DATAPLANES}/{node_name}/status", node_name, self._answered)
        self._watches = (
            ListWatch(
                self._api,
                DATAPLANES,
                selector=f"metadata.name={node_name}",
                deliver=self._see_dataplane,
                answered=self._answered,
            ),
            ListWatch(
                self._api, f"/api/v1/namespaces/{namespace}/configmaps", deliver=self._see_configmaps, answered=self._answered
            ),
        )
        self.connected = False
        self.errors = 0

    def start(self, inbox: Inbox, known: Mapping[str, FilterContent]) -> None:
        """Begin to watch."""
        self._inbox = inbox
        self._fetcher.start(inbox, known)
        self._reporter.start()
        for each in self._watches:
            each.start()

    def report(self, status: NodeStatus) -> None:
        """Send the newest status when possible."""
        self._reporter.take(status)

    def stop(self, timeout_s: float) -> None:
        """Send the last report if that is possible in this time; then nothing more."""
        for each in self._watches:
            each.stop()
        self._fetcher.stop()
        self._reporter.stop(timeout_s)

    def _api(self) -> ApiCalls:
        """Return the client. Raises Transient until there is a token and an address."""
        with self._lock:
            if self._client is None:
                self._client = ApiCalls(load_configuration(), f"spillway-dataplane/{__version__}")
            return self._client

    def _answered(self, good: bool) -> None:
        again, self.connected = good and not self.connected, good
        self.errors += not good
        if again and (found := self._api().endpoints()):
            self._inbox.put(EndpointsSeen(found))

    def _see_dataplane(self, objects: Objects) -> None:
        found = objects.get(self._node_name)
        if found is None:
            LOG.info("there is no NodeDataplane %s: the last order stays", self._node_name)
            return
        uid = found["metadata"]["uid"]
        self._reporter.expect(uid, reported=bool((found.get("status") or {}).get("observedSpecHash")))
        try:
            order = decode_order(found.get("spec") or {})
        except SpillwayError as error:
            LOG.error("the order cannot be read, the last one stays: %s", error)
            return
        self._fetcher.want(Wanted(order, uid))

    def _see_configmaps(self, objects: Objects) -> None:
        peers = objects.get(names.PEERS_CONFIGMAP)
        data = (peers.get("data") or {}) if peers is not None else self._peers
        if data is not None and data != self._peers:
            self._peers = data
            self._inbox.put(PeersSeen(data))
        said = switch_of(objects.get(names.SWITCH_CONFIGMAP))
        if said != self._switch and said.lower() not in KNOWN_SWITCHES:
            LOG.warning("ConfigMap %s says %r, neither Off nor On: filters go on enforcing", names.SWITCH_CONFIGMAP, said)
        self._switch, off = said, is_off(said)
        if off != self._off:
            self._off = off
            self._inbox.put(SwitchSeen(off))


def switch_of(configmap: Raw | None) -> str:
    """What the kill switch says; empty if it is missing, or says nothing."""
    data = (configmap or {}).get("data") or {}
    return str(data.get(names.SWITCH_KEY, "")).strip()


def is_off(said: str) -> bool:
    """Whether the kill switch is pulled. Who pulls it in a hurry may write `off` or OFF, or leave a line's end behind it."""
    return said.lower() == names.SWITCH_OFF.lower()
