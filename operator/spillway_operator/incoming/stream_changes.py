"""What a change of a stream, a claim or an offered queue means: whose bell is rung, and when. No I/O."""

from __future__ import annotations

from dataclasses import replace

from spillway_operator.api.cache import Change
from spillway_operator.incoming.bells import Bells
from spillway_operator.streams.sights import ClaimSight, SliceSight, StreamSight
from spillway_operator.work.streams import StreamWork
from spillway_operator.world import World


class StreamChanges:
    """Heeds each kind's changes. One stream's or claim's change may give another its queue: they are few, all are looked at."""

    def __init__(self, world: World, bells: Bells, work: StreamWork) -> None:
        self._world, self._bells, self._work = world, bells, work

    def heed_stream(self, change: Change[StreamSight]) -> None:
        """The echo of our own status rings nobody but the status, which then finds nothing to say."""
        old, new = change.old, change.new
        if old is not None and new is not None and (old.uid, old.generation) == (new.uid, new.generation):
            if old.report != new.report:
                self._bells.stream.ring(change.name)
            return
        if new is None:
            self._work.forget(change.name)
        self._contest_anew()
        self._bells.claim.ring(change.name)  # of a stream that has just gone, too
        self._bells.source.ring(change.name)

    def heed_claim(self, change: Change[ClaimSight]) -> None:
        """Counts concern the claim's own stream; all else may concern everybody."""
        old, new = change.old, change.new
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self._bells.stream.ring(change.name)
        if old is None or new is None or replace(old, version=new.version, words=new.words) != new:
            self._contest_anew()
            self._bells.claim.ring(change.name)
            self._ring_nodes(old, new)

    def _ring_nodes(self, old: ClaimSight | None, new: ClaimSight | None) -> None:
        """A node keeps its dataplane pod while a claim has a queue there."""
        before, after = (frozenset(each.devices) if each is not None else frozenset() for each in (old, new))
        for device in before ^ after:
            self._bells.node.ring(device.node)

    def heed_slice(self, change: Change[SliceSight]) -> None:
        """Other queues are offered than before."""
        old, new = change.old, change.new
        if old is None or new is None or old.offers != new.offers:
            self._contest_anew()

    def _contest_anew(self) -> None:
        self._world.forget_places()
        self._bells.ring_streams()
        self._bells.ring_all_waiting()
