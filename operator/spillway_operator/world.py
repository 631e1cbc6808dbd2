"""All that the operator knows: the caches and what follows from them. No I/O.

Law: nothing is planned before every listing is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spillway_crds import names
from spillway_crds.failsafe import flows
from spillway_crds.grants import granted_interfaces
from spillway_crds.orders import FilterOrder
from spillway_crds.resolve import selects
from spillway_operator.api.cache import Cache
from spillway_operator.api.crds import CLAIM_PLURALS
from spillway_operator.config.settings import Config
from spillway_operator.filters.sights import ConfigSight, DataplaneSight, FilterSight, NodeSight, RevisionSight
from spillway_operator.plan import Candidate, Resolved, Rules, report_seconds, resolve_node
from spillway_operator.streams.contest import Place, Stakes, settle
from spillway_operator.streams.plan import Obstacle
from spillway_operator.streams.sights import ClaimSight, PodSight, SliceSight, StreamSight

UNINSTALL_CONFIGMAP = "spillway-uninstall"
UNINSTALL_OWNER_KEY = "deployment"  # uid of the Deployment that is being uninstalled; a leftover never binds a new release


class World:
    """deployment_uid: of the operator's own Deployment, empty outside a cluster. agents_since: when their DaemonSet was made.

    missing: plurals of CRDs that are not there.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.deployment_uid = self.agents_since = ""
        self.missing: set[str] = {names.FILTERS_PLURAL, names.DATAPLANES_PLURAL, names.STREAMS_PLURAL, *CLAIM_PLURALS}
        self.nodes: Cache[NodeSight] = Cache()
        self.filters: Cache[FilterSight] = Cache()
        self.dataplanes: Cache[DataplaneSight] = Cache()
        self.configs: Cache[ConfigSight] = Cache()
        self.streams: Cache[StreamSight] = Cache()
        self.claims: Cache[ClaimSight] = Cache()
        self.slices: Cache[SliceSight] = Cache()
        self.source_pods: dict[str, PodSight] = {}  # by the stream's name
        self.source_obstacles: dict[str, Obstacle | None] = {}
        self.waiting_pods: dict[str, str] = {}  # an application's stream or claim -> which pod waits for it, and why
        self.held_before = ""  # filters in orders from before this time (RFC 3339) went with their CRD: they are kept for a while
        self.revisions: dict[str, RevisionSight] = {}
        self.flows = tuple(flow for flow in flows(ceiling_pps=config.failsafe.ceiling_pps) if flow.name in config.failsafe.flows)
        self._stored: set[str] = set()  # names of revisions that are there with the right content
        self._published: dict[str, FilterOrder] = {}  # filter uid -> the last order whose revision was stored
        self._candidates: tuple[Candidate, ...] | None = None
        self._resolved: dict[str, Resolved] = {}
        self._places: Mapping[str, Place] | None = None

    # ---- what may be done -----------------------------------------------------------------------------------------------

    @property
    def emptying(self) -> bool:
        """Whether this release is being uninstalled."""
        wish = self.configs.get(UNINSTALL_CONFIGMAP)
        return wish is not None and wish.data.get(UNINSTALL_OWNER_KEY, "") == self.deployment_uid

    @property
    def may_plan(self) -> bool:
        """Whether every node's order can be computed: emptying needs no filters, all else needs all of them."""
        known = self.nodes.complete and self.dataplanes.complete and self.configs.complete
        return known and (self.filters.complete or self.emptying) and names.DATAPLANES_PLURAL not in self.missing

    def hears(self, dataplane: DataplaneSight | None) -> bool:
        """Whether an agent of the present DaemonSet has reported there.

        A release that was uninstalled without its hook leaves its nodes' last reports; what became of its programs nobody knows.
        """
        if dataplane is None or not dataplane.has_spoken:
            return False
        return not dataplane.reported_at or dataplane.reported_at >= self.agents_since

    def rules(self) -> Rules:
        """What holds for all nodes now."""
        return Rules(
            standby=self.config.standby.selector,
            standby_attach=self.config.standby.attach,
            idle_s=self.config.disruption.idle_s,
            report_seconds=report_seconds(len(self.nodes)),
            emptying=self.emptying,
            ring_interfaces=granted_interfaces(self.config.grants) if self.serves_claims and not self.emptying else (),
        )

    # ---- rings ----------------------------------------------------------------------------------------------------------

    @property
    def serves_claims(self) -> bool:
        """Whether the API serves what hands out transmit queues."""
        return not self.missing & CLAIM_PLURALS

    @property
    def knows_claims(self) -> bool:
        """Whether all claims and offered queues are known."""
        return self.serves_claims and self.claims.complete and self.slices.complete

    def has_ring(self, node: str) -> bool:
        """Whether a claim has a queue on a node; True while that is not known."""
        if self.serves_claims and not self.claims.complete:
            return True
        return any(device.node == node for claim in self.claims for device in claim.devices)

    def places(self) -> Mapping[str, Place]:
        """What every stream may have, by name."""
        if self._places is None or not self.nodes.complete:  # their listing may change no sight, and yet where sources may run
            self._places = settle(self.streams, self.stakes())
        return self._places

    def stakes(self) -> Stakes:
        """All that streams contend for, and who has it."""
        offers = tuple(offer for each in self.slices for offer in each.offers)
        labels = {node.name: node.labels for node in self.nodes} if self.nodes.complete else None
        return Stakes(self.config.grants, offers, tuple(self.claims), labels)

    def streams_choose_nodes(self) -> bool:
        """Whether any stream says on which nodes its source may run."""
        return any(each.subject is not None and each.subject.spec.node_selector is not None for each in self.streams)

    def forget_places(self) -> None:
        """A stream, a claim's devices, an offer or a node's labels changed."""
        self._places = None

    # ---- revisions ------------------------------------------------------------------------------------------------------

    def is_stored(self, revision: str) -> bool:
        """Whether nodes can fetch this revision."""
        return revision in self._stored

    def note_stored(self, sight: RevisionSight) -> None:
        """A revision was created, or was found with the content that its name says."""
        self.revisions[sight.name] = sight
        self._stored.add(sight.name)
        self.forget_filters()

    def note_revisions(self, listed: Iterable[RevisionSight]) -> None:
        """Take a whole listing in. What is not there any more, or is another object now, has to be looked at again."""
        found = {each.name: each for each in listed}
        self._stored = {
            name for name in self._stored if name in found and found[name].uid == self.revisions.get(name, found[name]).uid
        }
        self.revisions = found

    def note_deleted(self, revision: str) -> None:
        """A revision was deleted; whoever needs its content again has to store it again."""
        self.revisions.pop(revision, None)
        self._stored.discard(revision)

    def unpublished(self) -> list[FilterSight]:
        """Filters whose present revision is not known to be stored."""
        return [each for each in self.filters if each.order is not None and not self.is_stored(each.order.revision)]

    # ---- what filters mean ----------------------------------------------------------------------------------------------

    def order_of(self, sight: FilterSight) -> FilterOrder | None:
        """What nodes are told of a filter: its present revision once that is stored, until then the last one that was."""
        if sight.order is not None and self.is_stored(sight.order.revision):
            self._published[sight.uid] = sight.order
            return sight.order
        return None if sight.problem else self._published.get(sight.uid)

    def candidates(self) -> tuple[Candidate, ...]:
        """All filters, as planning sees them."""
        if self._candidates is None:
            known = (Candidate(each.name, each.uid, each.subject, self.order_of(each)) for each in self.filters)
            ghosts = self._ghosts()
            names_kept = {each.name for each in ghosts}
            self._candidates = (*(each for each in known if each.name not in names_kept), *ghosts)
            present = {each.uid for each in self.filters}
            self._published = {uid: order for uid, order in self._published.items() if uid in present}
        return self._candidates

    def _ghosts(self) -> tuple[Candidate, ...]:
        """Filters that only orders still name, and that stay there for now.

        Some are older than their own CRD: that was made anew, and nobody deleted them. Of others there is a namesake, made in
        their place, whose revision is not stored yet: between the two no packet is to come through.
        """
        there, uids = {each.name for each in self.filters}, {each.uid for each in self.filters}
        awaited = {each.name for each in self.filters if each.order is not None and self.order_of(each) is None}
        orders = (each.order.filters for each in self.dataplanes if each.order is not None)
        gone = {each.uid: each for filters in orders for each in filters if each.uid not in uids}
        kept = {uid: each.name for uid, each in gone.items() if each.name in awaited or self._is_held(each, there)}
        return tuple(Candidate(name, uid) for uid, name in sorted(kept.items()))

    def _is_held(self, order: FilterOrder, there: set[str]) -> bool:
        return order.created < self.held_before and order.name not in there

    def resolved(self, node: NodeSight) -> Resolved:
        """What the filters mean for one node."""
        if (found := self._resolved.get(node.name)) is not None:
            return found
        dataplane, candidates = self.dataplanes.get(node.name), self.candidates()
        resolved = resolve_node(node, dataplane.order if dataplane else None, candidates)
        if all(each.order is not None for each in candidates):  # else it depends on the node's present order
            self._resolved[node.name] = resolved
        return resolved

    def selected_nodes(self, sight: FilterSight) -> list[NodeSight]:
        """The nodes that a filter wants; those that run an earlier revision of it while its spec is invalid."""
        if sight.subject is not None:
            return [node for node in self.nodes if selects(sight.subject.spec.node_selector, node.labels)]
        return [node for node in self.nodes if self.resolved(node).concerns(sight.name)]

    def forget_filters(self) -> None:
        """Some filter or revision changed: what filters mean is computed anew."""
        self._candidates = None
        self._resolved.clear()

    def forget_node(self, name: str) -> None:
        """A node's labels changed."""
        self._resolved.pop(name, None)
