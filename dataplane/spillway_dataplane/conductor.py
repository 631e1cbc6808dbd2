"""The agent's one conductor: observe, plan, execute, tell. No threads, no waiting: agent.py gives it wake-ups and the time."""

from __future__ import annotations

import logging
from dataclasses import replace

from spillway_crds.errors import SpillwayError
from spillway_crds.filters import XdpMode
from spillway_crds.orders import NodeOrder, NodeState, NodeStatus
from spillway_crds.orders_wire import order_hash
from spillway_dataplane.builder import Builder
from spillway_dataplane.execute import Executor
from spillway_dataplane.foreman import Foreman, Situation
from spillway_dataplane.kept import records
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kept.counts import forgotten, rule_totals
from spillway_dataplane.kept.store import ON
from spillway_dataplane.memory import Memory, revisions_needed
from spillway_dataplane.node.findings import Finding, Reason, from_error
from spillway_dataplane.node.interfaces import Address
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.node.peers import OwnPeers, flows_in_force, gateways_of, peer_entries
from spillway_dataplane.observe import Observation, observe
from spillway_dataplane.plan import make_plan
from spillway_dataplane.planning.drafts import Draft, make_drafts, passing_draft
from spillway_dataplane.planning.standing import ring_findings, standing_drafts
from spillway_dataplane.planning.view import View
from spillway_dataplane.planning.wishes import Circumstances, Running
from spillway_dataplane.ports import Kernel
from spillway_dataplane.report import Picture, build_status, is_live
from spillway_dataplane.source import Built, EndpointsSeen, LinksChanged, OrderSeen, PeersSeen, SwitchSeen, Wakeup

LOG = logging.getLogger(__name__)
PASSING = passing_draft(XdpMode.AUTO)
MAX_ROUNDS = 8  # a round does all that can be done at once; more than three in a row mean that the node changes under us


class Conductor:
    """One tenure of the node: from the lock to its end. Everything that has to outlive it lies in memory's files."""

    def __init__(
        self, kernel: Kernel, memory: Memory, artifacts: ArtifactCache, builder: Builder, addresses: frozenset[Address]
    ) -> None:
        self._kernel, self.memory, self._artifacts, self._addresses = kernel, memory, artifacts, addresses
        self._executor = Executor(kernel, memory, artifacts)
        self.foreman = Foreman(self._executor, builder, artifacts)
        self.situation: Situation | None = None
        self._spec_hash = ""
        self._trouble: tuple[Finding, ...] = ()

    def take(self, wakeup: Wakeup, now: float) -> None:
        """Take in what was said. Nothing is done yet: many wake-ups may be one change."""
        match wakeup:
            case OrderSeen(order):
                before = self.memory.order.filters if self.memory.order is not None else ()
                self.foreman.order_changed(before, order.filters)
                self._count_before(wakeup)
                self.memory.take_order(wakeup)
            case PeersSeen(data):
                self.memory.take_peers(data)
            case SwitchSeen(off):
                self.memory.take_switch(off)
            case EndpointsSeen(endpoints):
                self.memory.take_endpoints(endpoints)
            case LinksChanged(left):
                self.memory.take_records(records.with_left(self.memory.records, left))
                self.foreman.links_changed(now)
            case Built():
                self.foreman.take_built(wakeup, self.situation, now)
            case _:
                pass  # markers are looked at with everything else; what is left is agent.py's

    def _count_before(self, seen: OrderSeen) -> None:
        """Packets up to now belong to the object that was; a new one begins with the next."""
        if self.memory.uid and seen.uid != self.memory.uid:
            self.read_counts()

    def settle(self, now: float) -> None:
        """Bring the node to what is ordered, as far as that can be done now. Never raises for what a node can do to us."""
        try:
            rounds = 0
            while self._round(now) and rounds < MAX_ROUNDS:
                rounds += 1
            self._tidy()
            self._trouble = ()
        except SpillwayError as error:
            self._give_up(from_error(error))
        except OSError as error:
            self._give_up(Finding(Reason.TRANSIENT, str(error)))

    def _give_up(self, finding: Finding) -> None:
        LOG.warning("the node cannot be settled: %s", finding.message)
        self.foreman.errors += 1
        self._trouble = (finding,)

    @property
    def settled(self) -> bool:
        """Whether everything was done that can be done: nothing at the compiler, nothing that failed in a way that passes."""
        return not self.troubled and not self.foreman.building

    @property
    def troubled(self) -> bool:
        """Whether the last attempt ended before its end."""
        return bool(self._trouble or self.foreman.trouble)

    def _round(self, now: float) -> bool:
        """Look, plan and act once. Returns whether it is worth looking again."""
        seen = observe(self._kernel, self.memory.store)
        order = self.memory.order
        if order is None:
            self.situation = Situation(seen)
            return False
        self.memory.take_gateways(gateways_of(seen.node))
        live = frozenset(each.name for each in seen.node.interfaces if is_live(each))
        self.memory.take_records(records.with_returned(self.memory.records, live))
        running = self._running(seen.node)
        if seen.on_word:
            self.foreman.ask_anew()
        drafts, told = self._draft(order, seen, running, now)
        self._remember_programs(drafts)
        plan = make_plan(self._view(order, seen, drafts, now))
        self.situation = Situation(seen, drafts, running, plan, (*told, *plan.findings))
        news = self.foreman.carry_out(self.situation, now)
        if seen.on_word:
            self.memory.store.remove([ON])
        if not news and not self.foreman.building and not self.foreman.trouble:
            self._spec_hash = order_hash(order)
        return news

    def _running(self, node: ObservedNode) -> Running:
        known = self.memory.records
        return {each.name: known.members(each.pinned.digest) for each in node.interfaces if each.pinned is not None}

    def _unknown(self, node: ObservedNode) -> frozenset[str]:
        known = {*self.memory.records.programs, PASSING.digest}
        return frozenset(each.name for each in node.interfaces if each.pinned is not None and each.pinned.digest not in known)

    def _draft(
        self, order: NodeOrder, seen: Observation, running: Running, now: float
    ) -> tuple[dict[str, Draft], tuple[Finding, ...]]:
        given = self._circumstances(seen.node, running, now)
        active = order if order.state is NodeState.ACTIVE else replace(order, filters=())
        flows = flows_in_force(self.memory.cluster_peers, self._own_peers(seen))
        made = make_drafts(active, given, self.memory.records.slots, flows)
        self._executor.use_slots(made.slots, with_maps(seen.node))
        standing = standing_drafts(order, seen.node, self.memory.records, self._addresses)
        drafts = {**standing, **made.interfaces}
        return drafts, (*made.findings, *ring_findings(order, drafts))

    def _circumstances(self, node: ObservedNode, running: Running, now: float) -> Circumstances:
        return Circumstances(
            contents=self.memory.contents,
            node=node,
            node_addresses=self._addresses,
            running=running,
            refused=self.foreman.refused,
            unknown=self._unknown(node),
            peers_lost=self.memory.peers_lost,
            without_native=self.foreman.without_native(node, now),
        )

    def _own_peers(self, seen: Observation) -> OwnPeers:
        return OwnPeers(self.memory.endpoints, seen.resolvers, self.memory.gateways)

    def _remember_programs(self, drafts: dict[str, Draft]) -> None:
        """Before a program can run anywhere, what it is made of lies on disk."""
        known = self.memory.records
        for draft in drafts.values():
            if draft.spec is not None:
                known = records.with_program(known, draft.digest, tuple(member.record for member in draft.members))
        self.memory.take_records(known)

    def _view(self, order: NodeOrder, seen: Observation, drafts: dict[str, Draft], now: float) -> View:
        peers = peer_entries(self.memory.cluster_peers, self._own_peers(seen))
        in_kernel = self.memory.peers_lost and bool(with_maps(seen.node))  # as an earlier agent knew them
        return View(
            order=order,
            node=seen.node,
            records=self.memory.records,
            drafts=drafts,
            built=self.foreman.built,
            building=self.foreman.building,
            switches=seen.switches,
            enforcement=not (self.memory.switched_off or seen.off),
            refused=self.foreman.refusals.active(now),
            peers=peers,
            peers_written=peers if in_kernel else self.foreman.peers_written,
            on_word=seen.on_word,
        )

    def _tidy(self) -> None:
        """Give free what nobody needs any more: slots, records, revisions, bytecode."""
        order, situation = self.memory.order, self.situation
        if order is None or situation is None:
            return
        node = situation.seen.node
        self._executor.release_slots(with_maps(node))
        links = [each.pinned for each in node.interfaces] + [link for _, link in node.orphans]
        digests = frozenset(link.digest for link in links if link is not None)
        digests |= {draft.digest for draft in situation.drafts.values()}
        self.memory.take_records(records.keeping_programs(self.memory.records, digests))
        self.memory.forget_revisions(revisions_needed(order, self.memory.records, digests, self.memory.contents))
        self._artifacts.trim(digests)
        if order.state is NodeState.EMPTY and not (digests or with_maps(node)):
            self._kernel.purge()  # what all interfaces share; next to nothing when that has gone already
            self.foreman.peers_written = None

    def read_counts(self) -> None:
        """Take in what the kernel has counted. What cannot be read now is read the next time: nothing is lost by waiting."""
        if self.situation is None:
            return
        self._executor.read_counts(with_maps(self.situation.seen.node))
        self.memory.take_book(forgotten(self.memory.book, self._ordered_uids()))

    def _ordered_uids(self) -> frozenset[str]:
        return frozenset(each.uid for each in self.memory.order.filters) if self.memory.order is not None else frozenset()

    def status(self, previous: NodeStatus | None, now: str) -> NodeStatus | None:
        """Return what is to be reported, None before there ever was an order. now: RFC 3339."""
        if self.memory.order is None or self.situation is None:
            return None
        seen = self.situation.seen
        picture = Picture(
            order=self.memory.order,
            spec_hash=self._spec_hash,
            uid=self.memory.uid,
            node=seen.node,
            drafts=self.situation.drafts,
            switches=seen.switches,
            records=self.memory.records,
            contents=self.memory.contents,
            findings=(*self._trouble, *self.foreman.trouble, *self.situation.findings),
            waiting_for_turn=self.situation.plan.waiting_for_turn,
            off_by=self._off_by(seen),
            rules=rule_totals(self.memory.book, self.memory.records.slots),
            left=self.memory.book.left,
        )
        status = build_status(picture, previous, now)
        self.memory.take_trouble(status)
        return status

    def _off_by(self, seen: Observation) -> str:
        who = ["ConfigMap spillway-switch"] if self.memory.switched_off else []
        who += ["spillway off on this node"] if seen.off else []
        return " and ".join(who)


def with_maps(node: ObservedNode) -> list[str]:
    """Return the interfaces whose counters can be read, present or not."""
    return [each.name for each in node.interfaces if each.maps_pinned] + [name for name, _ in node.orphans]
