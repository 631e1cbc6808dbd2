"""One filter's status: computed from what is known now, written if it says anything new, told as an Event if it matters."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator
from http import HTTPStatus

from spillway_crds import names
from spillway_crds.orders import FilterStatus
from spillway_operator import metrics
from spillway_operator.api.calls import FILTERS, ApiServer, Kind, tolerate
from spillway_operator.api.herald import Herald
from spillway_operator.filters.events import notes_between
from spillway_operator.filters.ledger import Ledger, Tally, tally_of
from spillway_operator.filters.report import FilterReport, encode_report
from spillway_operator.filters.sights import FilterSight, NodeSight
from spillway_operator.filters.status import plan_report, with_totals_of
from spillway_operator.filters.verdicts import Counted, NodeView, Surroundings, count
from spillway_operator.filters.wire import Raw
from spillway_operator.notes import Regarding
from spillway_operator.work.turns import TurnKeeper
from spillway_operator.world import World

LARGE_FILTER_BYTES = 32 * 1024
LARGE_INTERVAL_S = 300.0  # between two writes of a large filter's counts: each rewrites the whole object in etcd
FILTER_PLURALS = {names.FILTERS_PLURAL, names.DATAPLANES_PLURAL}  # without these no filter comes to a node
NODES_PER_SECOND = 50  # so many nodes make the counts of a filter come a second later each


class FilterWork:
    """answered: takes in what the API server answers to a write. unheard: called when a selected node's agent says nothing."""

    def __init__(
        self,
        api: ApiServer,
        world: World,
        turns: TurnKeeper,
        herald: Herald,
        *,
        answered: Callable[[Kind, Raw], None],
        unheard: Callable[[], None],
    ) -> None:
        self._api, self._world, self._turns, self._herald = api, world, turns, herald
        self._answered, self._unheard = answered, unheard
        self._ledgers: dict[str, Ledger] = {}  # by the filter's uid
        self._counted_at: dict[str, float] = {}  # by name: when its counts were written last
        self.unheard: dict[str, list[str]] = {}  # filter -> selected nodes whose agent says nothing of it
        self.pod_trouble = ""

    def counts_due_s(self, name: str) -> float:
        """Seconds until a filter's counts may be written again."""
        sight, now = self._world.filters.get(name), asyncio.get_running_loop().time()
        large = sight is not None and sight.size_bytes > LARGE_FILTER_BYTES
        interval_s = LARGE_INTERVAL_S if large else max(1.0, len(self._world.nodes) / NODES_PER_SECOND)
        return max(0.0, self._counted_at.get(name, now - interval_s) + interval_s - now)

    def forget(self, sight: FilterSight) -> None:
        """The filter is gone."""
        self._ledgers.pop(sight.uid, None)
        self._counted_at.pop(sight.name, None)
        self.unheard.pop(sight.name, None)

    async def report(self, name: str) -> None:
        """Write one filter's status, if it says anything new."""
        sight, known = self._world.filters.get(name), self._world.dataplanes.complete and self._world.nodes.complete
        if sight is None or not known or names.FILTERS_PLURAL in self._world.missing:
            return
        report = self._report(sight)
        if report == sight.report:
            return
        await self._write(sight, report)

    async def _write(self, sight: FilterSight, report: FilterReport) -> None:
        body = {"metadata": {"name": sight.name}, "status": encode_report(report)}
        with tolerate(HTTPStatus.NOT_FOUND):  # deleted; its absence is not obeyed yet
            self._answered(FILTERS, await self._api.apply(FILTERS, body, subresource="/status"))
            metrics.WRITES.labels(FILTERS.name).inc()
            regarding = Regarding(FILTERS.api_version, FILTERS.name, sight.name, sight.uid)
            await self._herald.tell(regarding, notes_between(sight.report, report))

    def _report(self, sight: FilterSight) -> FilterReport:
        around = self._surroundings()
        views = [self._view(sight, node) for node in self._world.selected_nodes(sight)]
        asked = views if sight.order is not None else ()  # without an order there is nothing that an agent could say
        self._note_unheard(sight.name, count(asked, sight.order, around))
        tally, existing = self._tally(sight), {each.uid for each in self._world.dataplanes}
        departed = self._ledgers[sight.uid].departed(sight.rule_names, existing)
        report = plan_report(sight, views, around, tally=tally, departed=departed)
        return self._with_due_counts(sight, report)

    def _note_unheard(self, name: str, counted: Counted) -> None:
        self.unheard[name] = list(counted.unanswered)
        if self.unheard[name]:
            self._unheard()

    def _with_due_counts(self, sight: FilterSight, report: FilterReport) -> FilterReport:
        """The counts of a large filter wait for their time, whatever else is written."""
        waits = sight.size_bytes > LARGE_FILTER_BYTES and self.counts_due_s(sight.name) > 0
        if waits and sight.report.generation == report.generation:
            return with_totals_of(report, sight.report)
        if report.totals != sight.report.totals:
            self._counted_at[sight.name] = asyncio.get_running_loop().time()
        return report

    def _tally(self, sight: FilterSight) -> Tally:
        ledger = self._ledgers.setdefault(sight.uid, Ledger(sight.report))
        return ledger.take(dict(self._tallies(sight.uid)), sight.rule_names)

    def _tallies(self, uid: str) -> Iterator[tuple[str, Tally]]:
        """What each NodeDataplane has counted since its own uid began; counts of an earlier one are in the base already."""
        for dataplane in self._world.dataplanes:
            if dataplane.status.counts_for == dataplane.uid and (entry := _entry(dataplane.status.filters, uid)):
                yield dataplane.uid, tally_of(entry)

    def _view(self, sight: FilterSight, node: NodeSight) -> NodeView:
        dataplane = self._world.dataplanes.get(node.name)
        heard = self._world.hears(dataplane)
        return NodeView(
            name=node.name,
            entry=_entry(dataplane.status.filters, sight.uid) if dataplane is not None and heard else None,
            over_limit=sight.name in self._world.resolved(node).over_limit,
            reported=heard,
            waiting=dataplane is not None and bool(dataplane.status.waiting_for_turn),
            turn_failed=node.name in self._turns.failed,
            reachable=node.reachable,
        )

    def _surroundings(self) -> Surroundings:
        missing = next(iter(sorted(self._world.missing & FILTER_PLURALS)), "")
        return Surroundings(
            now=timestamp(),
            turn_s=self._world.config.disruption.turn_s,
            turns_stopped=self._turns.stopped,
            pod_trouble=self.pod_trouble,
            emptying=self._world.emptying,
            missing_crd=f"{missing}.{names.GROUP}" if missing else "",
        )


def _entry(entries: tuple[FilterStatus, ...], uid: str) -> FilterStatus | None:
    return next((each for each in entries if each.uid == uid), None)


def timestamp() -> str:
    """Now, RFC 3339, whole seconds: what the API server keeps of a condition's time."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
