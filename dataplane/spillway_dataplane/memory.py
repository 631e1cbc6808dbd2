"""What the agent knows between two wake-ups, and its copy on disk: the same after a crash, a reboot, or without any API.

Every setter writes what changed before anything acts on it. A disk that is full costs the memory of a restart, not the filter.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from spillway_crds.errors import SpillwayError
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeOrder, NodeStatus
from spillway_crds.orders_wire import decode_order, encode_order
from spillway_crds.revisions import decode_revision, encode_revision
from spillway_dataplane.kept.counts import CountBook, begun_anew
from spillway_dataplane.kept.records import Records
from spillway_dataplane.kept.store import COUNTS, ORDER, PEERS, RECORDS, REVISIONS, SWITCH, TROUBLE, Store
from spillway_dataplane.kept.wire import decode_book, decode_records, encode_book, encode_records
from spillway_dataplane.node.interfaces import Address
from spillway_dataplane.node.peers import ClusterPeers, Endpoint, gateways_known, parse_endpoint, read_cluster_peers
from spillway_dataplane.planning.wishes import Contents
from spillway_dataplane.source import OrderSeen

LOG = logging.getLogger(__name__)


class Memory:
    """The persistent half of the agent. order None: never had one, so nothing is touched.

    peers_lost: there was an order, but who its failsafe peers are cannot be read; true until somebody is heard.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.order: NodeOrder | None = None
        self.uid = ""
        self.contents: dict[str, FilterContent | SpillwayError] = {}
        self.records = Records()
        self.book = CountBook()
        self.cluster_peers = ClusterPeers()
        self.endpoints: frozenset[Endpoint] = frozenset()
        self.gateways: frozenset[Address] = frozenset()
        self.switched_off = False
        self.peers_lost = False
        self._peer_data: Mapping[str, str] | None = None
        self._written: dict[str, object] = {}

    def restore(self) -> None:
        """Read everything back. What is damaged is as good as never written."""
        self.records = decode_records(self.store.read_json(RECORDS))
        self.book = decode_book(self.store.read_json(COUNTS))
        self.switched_off = bool((self.store.read_json(SWITCH) or {}).get("off", False))
        peers = self.store.read_json(PEERS)
        self._restore_peers(peers or {})
        self.contents = dict(self._read_revisions())
        raw = self.store.read_json(ORDER)
        if raw is not None:
            try:
                self.order, self.uid = decode_order(raw["spec"]), str(raw["uid"])
            except (SpillwayError, KeyError) as error:
                LOG.warning("the last order cannot be read and is not carried out: %s", error)
        self.peers_lost = self.order is not None and not peers
        if self.peers_lost:
            LOG.warning("%s is missing or damaged: what runs keeps its failsafe peers", self.store.root / PEERS)

    def _restore_peers(self, raw: Mapping[str, Any]) -> None:
        try:
            self.endpoints = frozenset(parse_endpoint(text) for text in raw.get("endpoints", ()))
            self.gateways = frozenset(ip_address(text) for text in raw.get("gateways", ()))
        except ValueError:
            LOG.warning("the saved API endpoints and gateways cannot be read")
        if isinstance(data := raw.get("data"), dict):
            self.cluster_peers, _ = read_cluster_peers(data)
            self._peer_data = data

    def _read_revisions(self) -> Mapping[str, FilterContent]:
        found = {}
        for name in self.store.names(REVISIONS):
            raw = self.store.read_json(f"{REVISIONS}/{name}")
            try:
                revision = decode_revision(raw or {})
            except SpillwayError as error:
                LOG.warning("revision %s cannot be read: %s", name, error)
                continue
            found[revision.name] = revision.content
        return found

    @property
    def known(self) -> Mapping[str, FilterContent]:
        """Revisions that need no fetching."""
        return {name: content for name, content in self.contents.items() if isinstance(content, FilterContent)}

    def take_order(self, seen: OrderSeen) -> None:
        """Make this the order. The contents that it names, and those that still run, lie on disk before it does."""
        fresh = {name: content for name, content in seen.contents.items() if self.contents.get(name) != content}
        self.contents |= fresh
        for order in seen.order.filters:
            content = fresh.get(order.revision)
            if isinstance(content, FilterContent):
                body = encode_revision(order.name, content, number=1, namespace="")
                self._write(f"{REVISIONS}/{order.revision}.json", body)
        self.order, self.uid, self.peers_lost = seen.order, seen.uid, False
        self._write_peers()  # also where nobody names any: a missing file means that it was lost
        self._write(ORDER, {"uid": seen.uid, "spec": encode_order(seen.order)})
        self.take_book(begun_anew(self.book, seen.uid))

    def take_records(self, records: Records) -> None:
        """Remember where we are attached and what with."""
        if records != self.records:
            self.records = records
            self._write(RECORDS, encode_records(records))

    def take_book(self, book: CountBook) -> None:
        """Remember counts. Not flushed: a process that dies loses nothing, a power cut at most the last report."""
        if book is not self.book:
            self.book = book
            self._write(COUNTS, encode_book(book), durable=False)

    def take_peers(self, data: Mapping[str, str]) -> None:
        """Remember who the operator says the failsafe peers are."""
        self._peer_data = dict(data)
        self.cluster_peers, problems = read_cluster_peers(data)
        for problem in problems:
            LOG.warning("ConfigMap spillway-peers: %s", problem)
        self._write_peers()

    def take_endpoints(self, endpoints: frozenset[Endpoint]) -> None:
        """Remember where our own API connection leads; what was known before stays known, the latest sixteen."""
        if endpoints - self.endpoints:
            self.endpoints = frozenset([*endpoints, *sorted(self.endpoints - endpoints, key=str)][:16])
            self._write_peers()

    def take_gateways(self, now: frozenset[Address]) -> None:
        """Remember the gateways of the default routes, and of a family that has none at the moment the last ones."""
        known = gateways_known(now, self.gateways)
        if known != self.gateways:
            self.gateways = known
            if not self.peers_lost:  # a file that is there says that nothing was lost
                self._write_peers()

    def _write_peers(self) -> None:
        endpoints = [f"[{address}]:{port}" for address, port in sorted(self.endpoints, key=str)]
        gateways = sorted(map(str, self.gateways))
        self._write(PEERS, {"endpoints": endpoints, "gateways": gateways, "data": self._peer_data})

    def take_switch(self, off: bool) -> None:
        """Remember the cluster's kill switch."""
        self.switched_off = off
        self._write(SWITCH, {"off": off})

    def take_trouble(self, status: NodeStatus) -> None:
        """Leave for `spillway status` why filters are not as ordered: nobody needs it back, and it is written when it changes."""
        told = {each.uid: {"reason": each.reason, "message": each.message} for each in status.filters if each.reason}
        self._write(TROUBLE, told, durable=False)

    def forget_revisions(self, in_use: frozenset[str]) -> None:
        """Keep the contents that an order or a running program needs."""
        unused = [name for name in self.contents if name not in in_use]
        for name in unused:
            del self.contents[name]
            self._written.pop(f"{REVISIONS}/{name}.json", None)  # one that comes back has to be written again
        self.store.remove(f"{REVISIONS}/{name}.json" for name in unused)

    def _write(self, name: str, value: object, *, durable: bool = True) -> None:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        if self._written.get(name) == hash(text):
            return
        try:
            self.store.write_bytes(name, text.encode(), durable=durable)
            self._written[name] = hash(text)
        except OSError as error:
            LOG.error("%s cannot be written: %s", self.store.root / name, error)


def revisions_needed(order: NodeOrder | None, records: Records, running: frozenset[str], contents: Contents) -> frozenset[str]:
    """Return the revisions that an order names, and those of programs that run, as far as they are known."""
    ordered = {each.revision for each in order.filters} if order is not None else set()
    kept = {member.revision for digest in running for member in records.members(digest)}
    return frozenset((ordered | kept) & contents.keys())
