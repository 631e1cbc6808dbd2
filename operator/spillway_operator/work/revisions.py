"""Revisions in the API: stored before any order names them, kept while anything may need them.

Nothing owns them: whoever deletes a filter with the operator away must not take from a node what it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus

from spillway_crds import names
from spillway_crds.errors import InvalidIntent, Transient
from spillway_crds.revisions import decode_revision, encode_revision
from spillway_operator import metrics
from spillway_operator.api.calls import FILTERS, ApiFailure, ApiServer, revisions
from spillway_operator.filters.sights import FilterSight, RevisionSight
from spillway_operator.filters.wire import Raw, checked_filter, reduce_revision
from spillway_operator.world import World

log = logging.getLogger(__name__)


class RevisionWork:
    """Reads and writes ControllerRevisions of the operator's namespace."""

    def __init__(self, api: ApiServer, world: World, namespace: str) -> None:
        self._api, self._world, self._namespace = api, world, namespace
        self._kind = revisions(namespace)
        self._turn = asyncio.Lock()  # what a sweep found unneeded must not be found stored before it is deleted

    async def refresh(self) -> None:
        """List them, by their metadata alone."""
        listed, _ = await self._api.list(self._kind, query={"labelSelector": names.REVISION_LABEL}, metadata_only=True)
        self._world.note_revisions(map(reduce_revision, listed))

    async def store(self, sight: FilterSight) -> None:
        """See to it that the revision of a filter is there, with its content. Raises Transient if that takes another try."""
        if sight.order is None:
            return
        async with self._turn:
            raw = await self._found_or_created(sight, sight.order.revision)
        if raw is not None:
            self._world.note_stored(reduce_revision(raw))

    async def _found_or_created(self, sight: FilterSight, revision: str) -> Raw | None:
        raw = await self._api.get(self._kind, revision)
        if raw is None:
            return await self._create(sight)
        if not _is_sound(raw):
            await self._api.delete(self._kind, revision, uid=raw["metadata"]["uid"])
            raise Transient(operation=f"storing {revision}", detail="its content is not what its name says")
        return raw

    async def _create(self, sight: FilterSight) -> Raw | None:
        """None if the filter is another one by now; its event brings the next try."""
        found = await self._api.get(FILTERS, sight.name)
        if found is None or (found["metadata"]["uid"], found["metadata"].get("generation")) != (sight.uid, sight.generation):
            return None
        # Its number is the generation that had this content first: grows with each new one, and needs nothing to be read.
        body = encode_revision(sight.name, checked_filter(found).spec.content, number=sight.generation, namespace=self._namespace)
        try:
            created = await self._api.create(self._kind, body)
        except ApiFailure as failure:
            if failure.status == HTTPStatus.CONFLICT:
                raise Transient(operation=f"storing {body['metadata']['name']}", detail="somebody else made it") from failure
            raise
        metrics.WRITES.labels(self._kind.name).inc()
        return created

    async def sweep(self) -> None:
        """See what is there, and delete what nobody needs any more."""
        async with self._turn:
            await self._sweep()

    async def _sweep(self) -> None:
        await self.refresh()
        if not (self._world.may_plan and self._world.filters.complete):
            return
        filters = {sight.name for sight in self._world.filters}
        for each in surplus(self._world.revisions.values(), filters, self._named()):
            log.info("revision %s goes: no node names it", each.name)
            self._world.note_deleted(each.name)  # first: a filter that goes back to it meanwhile stores it anew
            await self._api.delete(self._kind, each.name, uid=each.uid)

    def _named(self) -> set[str]:
        """Revisions that a filter, an order or a node's report names."""
        named = {each.order.revision for each in self._world.filters if each.order is not None}
        named |= {each.report.revision for each in self._world.filters}
        for dataplane in self._world.dataplanes:
            named |= {each.revision for each in dataplane.status.filters}
            named |= {each.revision for each in dataplane.order.filters} if dataplane.order else set()
        return named


def surplus(sights: Iterable[RevisionSight], filters: set[str], named: set[str]) -> list[RevisionSight]:
    """Return what may go: of a filter beyond its newest REVISION_HISTORY_LIMIT, of a deleted filter all; never what is named."""
    by_filter: dict[str, list[RevisionSight]] = defaultdict(list)
    for each in sights:
        by_filter[each.filter_name].append(each)
    going: list[RevisionSight] = []
    for filter_name, own in by_filter.items():
        own.sort(key=lambda each: each.version, reverse=True)
        kept = names.REVISION_HISTORY_LIMIT if filter_name in filters else 0
        going += [each for each in own[kept:] if each.name not in named]
    return going


def _is_sound(raw: Raw) -> bool:
    try:
        decode_revision(raw)
    except InvalidIntent:
        return False
    return True
