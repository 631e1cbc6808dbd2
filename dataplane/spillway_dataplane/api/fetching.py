"""Revisions by name: fetched once, kept, and given to the agent together with the order that names them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spillway_crds.errors import SpillwayError, Transient
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeOrder
from spillway_crds.revisions import decode_revision
from spillway_dataplane.api.calls import NOT_FOUND, ApiCalls, ApiRefused
from spillway_dataplane.api.watching import Backoff
from spillway_dataplane.source import Inbox, OrderSeen

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as the API has it. uid: of the NodeDataplane."""

    order: NodeOrder
    uid: str


class Fetcher:
    """A thread with the newest order only: one that was overtaken is never carried out.

    What cannot be fetched holds nothing up: the order goes on with what is there, and the rest follows. What cannot be read is
    told and fetched again too: the operator makes right what somebody has edited.
    """

    def __init__(self, make_api: Callable[[], ApiCalls], namespace: str, answered: Callable[[bool], None]) -> None:
        self._make_api, self._answered = make_api, answered
        self._path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"
        self._contents: dict[str, FilterContent | SpillwayError] = {}
        self._said: dict[str, str] = {}  # what was logged of a revision: once, however often it is tried
        self._inbox = Inbox()
        self._news = threading.Condition()
        self._wanted: Wanted | None = None
        self._taken: Wanted | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="spillway-fetch", daemon=True)

    def start(self, inbox: Inbox, known: Mapping[str, FilterContent]) -> None:
        """Begin. known: revisions that need no fetching."""
        self._inbox = inbox
        self._contents = dict(known)
        self._thread.start()

    def want(self, wanted: Wanted) -> None:
        """Take the newest order."""
        with self._news:
            self._wanted = wanted
            self._news.notify()

    def stop(self) -> None:
        """Give nothing more to the agent."""
        with self._news:
            self._stopped = True
            self._news.notify()

    def _run(self) -> None:
        backoff = Backoff()
        given: OrderSeen | None = None
        pause_s: float | None = None
        while (wanted := self._next(pause_s)) is not None:
            seen = self._gather(wanted)
            if seen != given and not self._stopped:
                self._inbox.put(seen)
                given = seen
            complete = {each.revision for each in wanted.order.filters} <= self._readable
            pause_s = None if complete else backoff.next_s()
            if complete:
                backoff.reset()

    def _next(self, pause_s: float | None) -> Wanted | None:
        """Wait for another order, or for the time to try again; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._stopped or self._wanted is not self._taken, pause_s)
            self._taken = self._wanted
            return None if self._stopped else self._taken

    def _gather(self, wanted: Wanted) -> OrderSeen:
        names = {each.revision for each in wanted.order.filters}
        self._contents = {name: content for name, content in self._contents.items() if name in names}
        missing = names - self._readable
        self._said = {name: said for name, said in self._said.items() if name in missing}
        for name in sorted(missing):
            try:
                self._contents[name] = self._fetch(name)
            except SpillwayError as error:
                self._note(name, error)
        return OrderSeen(wanted.order, wanted.uid, dict(self._contents))

    @property
    def _readable(self) -> set[str]:
        return {name for name, content in self._contents.items() if isinstance(content, FilterContent)}

    def _note(self, name: str, error: SpillwayError) -> None:
        """Log an error once, and tell of one that is not just a matter of time. The same one again is no news."""
        if self._said.get(name) == str(error):
            return
        LOG.warning("revision %s: %s", name, error)
        self._said[name] = str(error)
        if not isinstance(error, Transient):
            self._contents[name] = error

    def _fetch(self, name: str) -> FilterContent:
        try:
            raw = self._make_api().get(f"{self._path}/{name}")
        except ApiRefused as error:
            self._answered(error.status == NOT_FOUND)
            raise
        except Transient:
            self._answered(False)
            raise
        return decode_revision(raw).content
