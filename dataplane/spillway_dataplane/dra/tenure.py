"""One process's time with the node's lock: offer queues, hold claims, report. Every wake-up leads to a whole look at the node."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from queue import Empty
from typing import Protocol

from spillway_crds.errors import SpillwayError
from spillway_dataplane.dra.claims import ClaimRecord
from spillway_dataplane.dra.metrics import Snapshot
from spillway_dataplane.dra.offering import Offering
from spillway_dataplane.dra.ports import Keeper
from spillway_dataplane.dra.prepare import Claims
from spillway_dataplane.dra.report import Report, report_claim
from spillway_dataplane.dra.reporter import ClaimReporter
from spillway_dataplane.dra.steal import observe_steal
from spillway_dataplane.dra.surroundings import PtpClock
from spillway_dataplane.source import Inbox, Stop, Wakeup
from spillway_dataplane.stream.model import RingStatus

LOG = logging.getLogger(__name__)
LOOK_S = 5.0  # what nobody tells of, as a program attached by bpf_link, is seen after this
GATHER_S = 0.1  # many news are one look
FORGET_S = 300.0  # how long the API server has to say of a claim that nobody uses: it is gone


class Beat(Protocol):
    """Takes the latest figures after each look."""

    def __call__(self, snapshot: Snapshot) -> None:
        """Take them."""


class Tenure:
    """The loop. wanted_by_another: whether a newer process asks for the node. clocks: the PTP clocks there are."""

    def __init__(
        self,
        *,
        keeper: Keeper,
        claims: Claims,
        offering: Offering,
        reporter: ClaimReporter,
        inbox: Inbox,
        tell: Beat,
        wanted_by_another: Callable[[], bool],
        clocks: Callable[[], tuple[PtpClock, ...]],
    ) -> None:
        self._keeper, self._claims, self._offering, self._reporter = keeper, claims, offering, reporter
        self._inbox, self._tell, self._wanted_by_another, self._clocks = inbox, tell, wanted_by_another, clocks
        self._since: dict[str, float] = {}
        self._gone_since: dict[str, float] = {}
        self._errors = 0

    def run(self) -> bool:
        """Act until told to stop (True), or until a newer process asks for the node (False)."""
        while True:
            self._turn(time.monotonic())
            if any(isinstance(each, Stop) for each in self._wait()):
                return True
            if self._wanted_by_another():
                LOG.info("handing over to a newer process")
                return False

    def _turn(self, now: float) -> None:
        """One look. A mistake of ours ends neither the loop nor any ring: it is logged and tried again."""
        rings: tuple[RingStatus, ...] = ()
        try:
            self._offering.look(now)
            self._claims.retry()
            rings = self._keeper.statuses()
            by_key = {each.key: each for each in rings}
            self._note_connections(by_key)
            self._reporter.take(self._reports(by_key, now))
            self._forget(by_key, now)
        except SpillwayError as error:
            self._errors += 1
            LOG.warning("%s", error)
        except Exception:
            self._errors += 1
            LOG.exception("this look failed; rings and what is offered stay")
        self._tell(self._snapshot(rings))

    def _note_connections(self, rings: Mapping[str, RingStatus]) -> None:
        for record in self._claims.prepared:
            if not record.connected and any(each.holder or each.counters.packets for each in _of(record, rings)):
                self._claims.note_connected(record.ref.uid)

    def _reports(self, rings: Mapping[str, RingStatus], now: float) -> list[Report]:
        prepared = self._claims.prepared
        self._since = {each.ref.uid: self._since.get(each.ref.uid, now) for each in prepared}
        clocks = self._clocks() if any(each.peaks.clock for each in rings.values()) else ()
        told = [report_claim(each, rings, now - self._since[each.ref.uid], clocks) for each in prepared]
        return told + [each for each in self._claims.failed if each.ref.uid not in self._since and each.devices]

    def _forget(self, rings: Mapping[str, RingStatus], now: float) -> None:
        """Give up claims that are gone from the API and that kubelet never gave back, once nobody uses their rings."""
        gone = {each.uid for each in self._reporter.gone}
        unused = [each for each in self._claims.prepared if each.ref.uid in gone and not any(r.holder for r in _of(each, rings))]
        self._gone_since = {each.ref.uid: self._gone_since.get(each.ref.uid, now) for each in unused}
        for record in unused:
            if now - self._gone_since[record.ref.uid] >= FORGET_S:
                LOG.warning("claim %s is gone and was never given back; its ring is free now", record.ref)
                self._claims.unprepare(record.ref.uid)

    def _wait(self) -> list[Wakeup]:
        """Wait for a wake-up, or for the next look; then gather what comes with it."""
        found: list[Wakeup] = []
        try:
            found.append(self._inbox.get(timeout=LOOK_S))
            until = time.monotonic() + GATHER_S
            while not isinstance(found[-1], Stop):
                found.append(self._inbox.get(timeout=max(0.0, until - time.monotonic())))
        except Empty:
            pass
        return found

    def _snapshot(self, rings: tuple[RingStatus, ...]) -> Snapshot:
        return Snapshot(
            rings=rings,
            offered=len(self._offering.offer.devices),
            withheld=len(self._offering.offer.withheld),
            claims=len(self._claims.prepared),
            unopened=len(self._claims.unopened),
            steal_seconds=observe_steal(),
            errors=self._errors,
            acting=True,
        )


def _of(record: ClaimRecord, rings: Mapping[str, RingStatus]) -> list[RingStatus]:
    return [rings[key] for ring in record.rings if (key := record.key(ring)) in rings]
