"""Writes Events. Law: an Event that cannot be written is lost, and nothing else waits or fails for it."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Iterable

from spillway_operator import metrics
from spillway_operator.api.calls import EVENTS, ApiServer, within
from spillway_operator.notes import Note, Regarding, Sieve, encode_event

log = logging.getLogger(__name__)


class Herald:
    """instance: name of this pod, as Events say it."""

    def __init__(self, api: ApiServer, instance: str) -> None:
        self._api, self._instance = api, instance
        self._sieve = Sieve()

    async def tell(self, regarding: Regarding, notes: Iterable[Note]) -> None:
        """Write what passes the sieve."""
        for note in notes:
            if self._sieve.passes(regarding.uid, note, asyncio.get_running_loop().time()):
                await self._write(note, regarding)

    async def _write(self, note: Note, regarding: Regarding) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        try:
            kind = within(EVENTS, regarding.event_namespace)
            await self._api.create(kind, encode_event(note, regarding, instance=self._instance, now=now))
        except Exception as error:
            log.warning("Event %s of %s %s not written: %r", note.reason, regarding.kind, regarding.name, error)
        else:
            metrics.WRITES.labels(EVENTS.name).inc()
