"""Hands a plan's actions to those who carry them out, and remembers what was refused: no plan asks for it again at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spillway_crds.errors import NotSupported, SpillwayError
from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import XdpMode
from spillway_crds.orders import FilterOrder
from spillway_dataplane.actions import Action, Attach, Build, Detach, Reattach, Replace, WritePeers
from spillway_dataplane.builder import Builder, BuildOrder
from spillway_dataplane.execute import Executor
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode
from spillway_dataplane.observe import Observation
from spillway_dataplane.planning.drafts import Draft
from spillway_dataplane.planning.explain import explain
from spillway_dataplane.planning.refusals import Refusals, hurried, refused, succeeded
from spillway_dataplane.planning.view import Plan, attempt_of, native_attempt_of
from spillway_dataplane.planning.wishes import RefusedKey, Running
from spillway_dataplane.source import Built

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Situation:
    """The last look, and what was made of it. findings: of the drafts and the plan."""

    seen: Observation
    drafts: dict[str, Draft] = field(default_factory=dict)
    running: Running = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    findings: tuple[Finding, ...] = ()


class Foreman:
    """refused: filters that no program can be had with. refusals: attempts on the kernel that failed, and of those which the
    driver answered with having no native XDP.

    trouble: what else failed the last time; it is tried again soon. errors: how many there were, ever.
    """

    def __init__(self, executor: Executor, builder: Builder, artifacts: ArtifactCache) -> None:
        self._executor, self._builder, self._artifacts = executor, builder, artifacts
        self.refused: dict[RefusedKey, Finding] = {}
        self.refusals, self._native_refusals = Refusals(), Refusals()
        self.peers_written: tuple[PeerEntry, ...] | None = None
        self.trouble: tuple[Finding, ...] = ()
        self.compile_seconds = 0.0
        self.errors = 0

    @property
    def building(self) -> frozenset[str]:
        """Digests at the compiler."""
        return frozenset(self._builder.building)

    @property
    def built(self) -> frozenset[str]:
        """Digests that can be loaded now."""
        return self._artifacts.digests

    def links_changed(self, now: float) -> None:
        """Try again soon: what stood in the way may be gone."""
        self.refusals, self._native_refusals = hurried(self.refusals, now), hurried(self._native_refusals, now)

    def without_native(self, node: ObservedNode, now: float) -> Mapping[str, Finding]:
        """Return where no native program is to be asked for now, with what the driver said.

        Asking takes off what runs in the generic hook: where that is ours, only another interface than it was is asked.
        """
        known = {each.name: (each, self._native_refusals.entries.get(native_attempt_of(each))) for each in node.interfaces}
        return {
            name: refusal.finding
            for name, (seen, refusal) in known.items()
            if refusal is not None and (refusal.retry_at > now or _runs_generic(seen))
        }

    def ask_anew(self) -> None:
        """Forget what was refused: somebody knows better."""
        self.refusals, self._native_refusals = Refusals(), Refusals()

    def order_changed(self, before: tuple[FilterOrder, ...], after: tuple[FilterOrder, ...]) -> None:
        """Forget what was refused of revisions that are no longer ordered, and all of it when a filter is gone."""
        ordered = {each.revision for each in after}
        self.refused = {key: finding for key, finding in self.refused.items() if key[2] in ordered}
        if {each.uid for each in before} - {each.uid for each in after}:
            self.refused = {}  # what could not be had together with it may be had now

    def take_built(self, built: Built, situation: Situation | None, now: float) -> None:
        """Take in the compiler's answer."""
        self._builder.building.discard(built.digest)
        self.compile_seconds = built.seconds
        self.refused |= built.refused
        if built.failed is None or situation is None:
            return
        self.errors += 1
        for ifname, draft in situation.drafts.items():
            if draft.digest == built.digest:
                self._remember(ifname, replace(built.failed, ifname=ifname), situation, now)

    def carry_out(self, situation: Situation, now: float) -> bool:
        """Do what the plan says; once a step fails, that interface's others are left out. Returns whether to look again."""
        news = False
        failed: set[str] = set()
        self.trouble = ()
        for action in situation.plan.actions:
            ifname = getattr(action, "ifname", "")
            if isinstance(action, Build):
                self._request(action, situation)
            elif ifname not in failed:
                error = self._try(action, situation)
                if error is not None:
                    failed.add(ifname)
                news |= error is None or self._refused(action, error, situation, now)
        return news

    def _try(self, action: Action, situation: Situation) -> SpillwayError | None:
        try:
            self._executor.execute(action, situation.seen.node)
        except SpillwayError as error:
            LOG.warning("%s", error)
            self.errors += 1
            return error
        self._succeed(action)
        return None

    def _refused(self, action: Action, error: SpillwayError, situation: Situation, now: float) -> bool:
        """Remember a refusal. Returns whether the next plan differs for it; data that cannot be written is just tried again."""
        ifname = getattr(action, "ifname", "")
        finding = explain(error, ifname, situation.seen.node)
        seen = situation.seen.node.interface(ifname)
        if isinstance(action, Attach) and isinstance(error, NotSupported) and seen is not None:
            self._native_refusals = refused(self._native_refusals, native_attempt_of(seen), finding, now)
        if isinstance(action, Attach | Reattach | Replace) or (isinstance(action, Detach) and action.again):
            if isinstance(action, Attach | Replace) and finding.reason is Reason.KERNEL_ERROR:
                self._artifacts.discard(action.digest)  # verified by another kernel, maybe: this one gets its own look
            return self._remember(ifname, finding, situation, now)
        self.trouble = (*self.trouble, finding)
        return False

    def _succeed(self, action: Action) -> None:
        if isinstance(action, Attach) and action.mode is XdpMode.NATIVE:
            self._native_refusals = succeeded(self._native_refusals, action.ifname)
        match action:
            case Attach(ifname) | Reattach(ifname) | Replace(ifname):
                LOG.info("%s on %s", type(action).__name__, ifname)
                self.refusals = succeeded(self.refusals, ifname)
            case WritePeers(entries):
                self.peers_written = entries
            case Detach(ifname):
                self.refusals = succeeded(self.refusals, ifname)  # what was refused there had to do with what is gone now
            case _:
                LOG.debug("%s", action)

    def _request(self, build: Build, situation: Situation) -> None:
        members = situation.drafts[build.ifname].members
        running = situation.running.get(build.ifname, ())
        good = frozenset(each.order.uid for each in members if each.record in running)
        self._builder.request(BuildOrder(build.ifname, build.digest, build.spec, members, good))

    def _remember(self, ifname: str, finding: Finding, situation: Situation, now: float) -> bool:
        seen, draft = situation.seen.node.interface(ifname), situation.drafts.get(ifname)
        if seen is None or draft is None:
            self.trouble = (*self.trouble, finding)
            return False
        self.refusals = refused(self.refusals, attempt_of(seen, draft), finding, now)
        return True


def _runs_generic(seen: ObservedInterface) -> bool:
    return seen.pinned is not None and seen.attached is not None and seen.attached.mode is XdpMode.GENERIC
