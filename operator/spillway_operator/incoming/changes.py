"""What a change of one object means: whose bell is rung, and when. No I/O.

An agent's word about readiness rings at once, its counts when they are due; a heartbeat and the echo of an own write ring nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from spillway_crds import names
from spillway_crds.orders import FilterStatus
from spillway_operator.api.cache import Change
from spillway_operator.filters.sights import ConfigSight, DataplaneSight, FilterSight, NodeSight
from spillway_operator.incoming.bells import ALL, Bells
from spillway_operator.work.filters import FilterWork
from spillway_operator.world import UNINSTALL_CONFIGMAP, World

log = logging.getLogger(__name__)
COUNTS_AFTER_S = 1.0  # so that what all agents report together is one write


class Changes:
    """Heeds each kind's changes."""

    def __init__(self, world: World, bells: Bells, filter_work: FilterWork) -> None:
        self._world, self._bells, self._filter_work = world, bells, filter_work

    def heed_node(self, change: Change[NodeSight]) -> None:
        """Labels decide who is selected, addresses who is a peer, reachability who gets a turn."""
        old, new = change.old, change.new
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self._world.forget_node(change.name)
        self._bells.node.ring(change.name)
        if old is None or new is None or old.addresses != new.addresses:
            self._bells.peers.ring(ALL)
        if old is None or new is None or (old.labels, old.reachable) != (new.labels, new.reachable):
            self._bells.turn.ring(ALL)
            self._bells.ring_filters()
        if old is None or new is None or old.labels != new.labels:
            self._contest_anew()

    def _contest_anew(self) -> None:
        self._world.forget_places()
        if self._world.streams_choose_nodes():
            self._bells.ring_streams()

    def heed_filter(self, change: Change[FilterSight]) -> None:
        """A new content goes to nodes once its revision is stored; all else goes at once."""
        old, new = change.old, change.new
        if old is not None and new is not None and (old.uid, old.generation) == (new.uid, new.generation):
            if old.report != new.report:  # our own write came as its answer; this is somebody's edit
                self._bells.filter.ring(change.name, after_s=self._filter_work.counts_due_s(change.name))
            return
        if old is not None and (new is None or new.uid != old.uid):
            self._filter_work.forget(old)
        self._world.forget_filters()
        if new is not None and new.order is not None and not self._world.is_stored(new.order.revision):
            self._bells.revision.ring(change.name)
        else:
            self._bells.ring_nodes()
        self._bells.filter.ring(change.name)

    def heed_dataplane(self, change: Change[DataplaneSight]) -> None:
        """An order that somebody edited is put right; what an agent says goes into the filters' statuses."""
        old, new = change.old, change.new
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self._bells.node.ring(change.name)
        self._bells.turn.ring(ALL)
        for name, after_s in self._concerned(old, new).items():
            self._bells.filter.ring(name, after_s=after_s)

    def _concerned(self, old: DataplaneSight | None, new: DataplaneSight | None) -> dict[str, float]:
        """Filters whose status this changes, and after how many seconds."""
        if _waits(old) != _waits(new) or self._world.hears(old) != self._world.hears(new):
            return dict.fromkeys(self._world.filters.names(), 0.0)
        before, after = _words(old), _words(new)
        rung: dict[str, float] = {}
        for name in before.keys() | after.keys():
            one, other = before.get(name), after.get(name)
            if one is None or other is None or replace(one, totals=other.totals, rules=other.rules) != other:
                rung[name] = 0.0
            elif one != other:
                rung[name] = max(COUNTS_AFTER_S, self._filter_work.counts_due_s(name))
        return rung

    def heed_config(self, change: Change[ConfigSight]) -> None:
        """Two ConfigMaps are ours to follow; whoever pulls the kill switch is obeyed by the agents themselves."""
        if change.name == names.PEERS_CONFIGMAP:
            self._bells.peers.ring(ALL)
        elif change.name == UNINSTALL_CONFIGMAP:
            log.warning("uninstalling: %s", "every node is being emptied" if self._world.emptying else "no, or not this release")
            self._bells.ring_everything()


def _words(dataplane: DataplaneSight | None) -> Mapping[str, FilterStatus]:
    return {each.name: each for each in dataplane.status.filters} if dataplane else {}


def _waits(dataplane: DataplaneSight | None) -> bool:
    return dataplane is not None and bool(dataplane.status.waiting_for_turn)
