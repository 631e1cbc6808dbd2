"""How sights get into the caches: events, answers to writes, listings.

Law: an absence is obeyed with care. A filter's only after its CRD was read and stays. An order's is no order to anybody: it is
given again. A Node's order is deleted only after one more read of the Node (work/nodes.py).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from spillway_operator import metrics
from spillway_operator.api.cache import Cache, Change
from spillway_operator.api.calls import ApiFailure, ApiServer, Kind
from spillway_operator.api.crds import CLAIM_PLURALS, PLURALS, Crds
from spillway_operator.filters.wire import Raw
from spillway_operator.incoming.bells import Bells
from spillway_operator.streams.wire import key_of

log = logging.getLogger(__name__)
AUDIT_AFTER_S = 3.0  # after kopf has begun a new stream


@dataclass(frozen=True, slots=True)
class Count:
    """How many objects of a kind were there, and how many were known then."""

    there: int
    known: int


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched kind: where its sights are kept, how they are made, what a change of one means.

    guarded: its CRD is asked before an absence is obeyed. namespaced: watched in all namespaces, and known by `namespace/name`.
    concerns: whether an object is of any interest; None: all are.
    """

    kind: Kind
    cache: Cache[Any]
    reduce: Callable[[Raw], Any]
    heed: Callable[[Change[Any]], None]
    guarded: bool = False
    namespaced: bool = False
    concerns: Callable[[Raw], bool] | None = None

    def is_of_interest(self, raw: Raw) -> bool:
        """Whether an object is to be known."""
        return self.concerns is None or self.concerns(raw)

    def may_lack(self, now: Count, before: Count) -> bool:
        """Whether a deletion may have gone unseen. Of a kind that is known in part only a fall of its number says so."""
        return now != before and (now.there != now.known if self.concerns is None else now.there < before.there)

    def key(self, raw: Raw) -> str:
        """What an object is known by."""
        return key_of(raw) if self.namespaced else str(raw["metadata"]["name"])


class Intake:
    """One for all kinds."""

    def __init__(self, api: ApiServer, crds: Crds, bells: Bells) -> None:
        self._api, self._crds, self._bells = api, crds, bells
        self._watched: dict[str, Watched] = {}
        self._counted: dict[str, Count] = {}  # by kind
        self._suspects: dict[str, dict[str, int]] = defaultdict(dict)  # kind -> name -> version at which it was absent

    def watch(self, table: Iterable[Watched]) -> None:
        """Say what is watched."""
        self._watched = {each.kind.plural: each for each in table}

    def served_kinds(self) -> tuple[Kind, ...]:
        """What can be watched now: a kind whose CRD is gone cannot."""
        return tuple(each.kind for each in self._served())

    def scopes(self) -> tuple[tuple[tuple[Kind, ...], bool], ...]:
        """The same as watches are made of them: kinds, and whether they are watched in all namespaces."""
        everywhere = {each.kind.plural for each in self._served() if each.namespaced}
        one = tuple(kind for kind in self.served_kinds() if kind.plural not in everywhere)
        every = tuple(kind for kind in self.served_kinds() if kind.plural in everywhere)
        return tuple((kinds, scope) for kinds, scope in ((one, False), (every, True)) if kinds)

    def _served(self) -> list[Watched]:
        missing = self._crds.missing()
        return [each for each in self._watched.values() if each.kind.plural not in missing]

    def take_event(self, plural: str, event_type: str | None, raw: Raw) -> None:
        """Take one watch event in. A listed object (type None) means a new stream: what vanished before it was not told."""
        watched = self._watched[plural]
        if event_type is None:
            self._bells.audit.ring(plural, after_s=AUDIT_AFTER_S)
        if not watched.is_of_interest(raw):
            return
        if event_type == "DELETED":
            self._note_absence(watched, watched.key(raw), int(raw["metadata"]["resourceVersion"]))
        elif (change := watched.cache.put(watched.reduce(raw))) is not None:
            watched.heed(change)

    def take_answer(self, kind: Kind, raw: Raw) -> None:
        """What was written is known at once, so that a bell before the event of it does not write it again."""
        self.take_event(kind.plural, "MODIFIED", raw)

    async def count(self) -> None:
        """Look whether there are as many objects as are known, kind by kind, and audit where not.

        kopf's watch may break and begin anew with a listing at any time. What went in between is in no event, and a listing with
        nothing in it is not told at all: whoever deleted the last filter then would wait for the next resync.
        """
        for watched in self._served():
            plural = watched.kind.plural
            now = Count(await self._api.count(watched.kind), len(watched.cache))
            before = self._counted.get(plural, Count(0, 0))
            self._counted[plural] = now
            if watched.may_lack(now, before):
                self._bells.audit.ring(plural)

    async def audit(self, plural: str) -> None:
        """Put one cache right by a full listing."""
        watched = self._watched[plural]
        if plural in self._crds.missing():
            return
        try:
            raws, version = await self._api.list(watched.kind)
        except ApiFailure as failure:
            if failure.status != HTTPStatus.NOT_FOUND or plural not in {*PLURALS, *CLAIM_PLURALS}:
                raise
            await self._crds.refresh()  # a kind that is not served has no objects that could be missed
            return
        self._take_listing(watched, raws, version)

    def _take_listing(self, watched: Watched, raws: list[Raw], version: int) -> None:
        was_complete = watched.cache.complete
        changes, missing = watched.cache.take_listing(map(watched.reduce, filter(watched.is_of_interest, raws)), version)
        for change in changes:
            watched.heed(change)
        for name in missing:
            self._note_absence(watched, name, version)
        if not was_complete:
            self._bells.ring_everything()
        metrics.OBJECTS.labels(watched.kind.name).set(len(watched.cache))

    def _note_absence(self, watched: Watched, name: str, version: int) -> None:
        if watched.guarded:
            suspects = self._suspects[watched.kind.plural]
            suspects[name] = max(version, suspects.get(name, 0))
            self._bells.absence.ring(watched.kind.plural)
        else:
            self._drop(watched, name, version)

    async def judge_absence(self, plural: str) -> None:
        """Obey what was noted before the CRD is read, if the CRD stays; else keep it in mind until the CRD is back."""
        noted, watched = dict(self._suspects[plural]), self._watched[plural]
        if not watched.guarded:
            return
        standing = await self._crds.standing(plural)
        for name, version in noted.items():
            sight = watched.cache.get(name)
            if sight is None or standing.binds(sight.created):
                self._forget_suspect(plural, name, version)
                self._drop(watched, name, version)
        if held := self._suspects[plural]:
            log.warning("%d absent %s are no order yet: their CRD is gone, going, or new", len(held), plural)
        if held and standing.obeyed:
            self._bells.absence.ring(plural, after_s=standing.wait_s)

    def _forget_suspect(self, plural: str, name: str, version: int) -> None:
        if self._suspects[plural].get(name) == version:
            del self._suspects[plural][name]

    def _drop(self, watched: Watched, name: str, version: int) -> None:
        if (change := watched.cache.drop(name, version)) is not None:
            watched.heed(change)
