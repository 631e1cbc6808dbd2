"""A list and its changes, as whole pictures: who is told gets every object each time, so that no event can be missed."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping

from spillway_crds.errors import Transient
from spillway_dataplane.api.calls import ApiCalls, Raw

LOG = logging.getLogger(__name__)
FIRST_S = 0.5
LONGEST_S = 8.0  # a filter may be urgent when the API server is back; a thousand nodes then ask 350 times a second, cheaply
Objects = Mapping[str, Raw]  # by name


class Backoff:
    """Pauses that grow, each a random share of its step: a thousand nodes do not come back at the same moment."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._step_s = first_s

    def next_s(self) -> float:
        """Return the next pause."""
        step, self._step_s = self._step_s, min(self._longest_s, self._step_s * 2)
        return step * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin anew: it went well."""
        self._step_s = self._first_s


class ListWatch:
    """A thread that lists, watches, and tells. It tells only what it has seen whole: an error tells nobody anything."""

    def __init__(
        self,
        make_api: Callable[[], ApiCalls],
        path: str,
        *,
        selector: str = "",
        deliver: Callable[[Objects], None],
        answered: Callable[[bool], None],
    ) -> None:
        self._make_api, self._path, self._selector = make_api, path, selector
        self._deliver, self._answered = deliver, answered
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"spillway-watch-{path.rpartition('/')[2]}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Tell nothing more. The thread ends when its watch does."""
        self._stopped.set()

    def _run(self) -> None:
        backoff = Backoff()
        said = ""
        while not self._stopped.is_set():
            try:
                self._once(backoff)
                said = ""
            except Transient as error:
                self._answered(False)
                if str(error) != said:
                    LOG.warning("%s", error)
                said = str(error)
                self._stopped.wait(backoff.next_s())

    def _once(self, backoff: Backoff) -> None:
        """One list and its watch to the end."""
        api = self._make_api()
        query = {"fieldSelector": self._selector} if self._selector else {}
        listed = api.get(self._path, **query)
        objects = {each["metadata"]["name"]: each for each in listed.get("items", ())}
        self._tell(objects)
        self._answered(True)
        version = listed.get("metadata", {}).get("resourceVersion", "")
        for event in api.watch(self._path, resourceVersion=version, **query):
            if self._stopped.is_set():
                return
            backoff.reset()
            if event.get("type") == "ERROR":  # 410: what we saw is too old to go on from
                raise Transient(operation=f"watch {self._path}", detail=str(event.get("object", {}).get("message", "")))
            if self._changed(objects, event):
                self._tell(objects)

    def _changed(self, objects: dict[str, Raw], event: Raw) -> bool:
        kind, found = event.get("type"), event.get("object", {})
        name = found.get("metadata", {}).get("name", "")
        if kind == "DELETED":
            objects.pop(name, None)
        elif kind in ("ADDED", "MODIFIED"):
            objects[name] = found
        return kind != "BOOKMARK"

    def _tell(self, objects: Objects) -> None:
        if not self._stopped.is_set():
            self._deliver(dict(objects))
