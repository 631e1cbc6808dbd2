"""A folder of manifests as the source of orders: what the operator and the API are to an agent in a cluster.

All of a folder counts or nothing of it: one fault anywhere keeps everything as it was, because a filter that a typing error made
invisible must not be taken for one that somebody deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from spillway_crds.filters import FilterContent, FloodFilter
from spillway_crds.orders import Attach, NodeOrder, NodeState, NodeStatus
from spillway_crds.resolve import Resolution, resolve
from spillway_crds.revisions import revision_name
from spillway_dataplane.cli.manifests import Loaded, load
from spillway_dataplane.kernel.inotify import FolderWatch
from spillway_dataplane.source import Inbox, OrderSeen


class FolderSource:
    """Reads the folder when it begins and after every change.

    labels: of this machine, for nodeSelector. tell_loaded: gets every look at the folder; tell_status: every report.
    """

    def __init__(
        self,
        folder: Path,
        labels: Mapping[str, str],
        *,
        tell_loaded: Callable[[Loaded, Resolution], None],
        tell_status: Callable[[NodeStatus], None],
    ) -> None:
        self._folder, self._labels = folder, labels
        self._tell_loaded, self._tell_status = tell_loaded, tell_status
        self._inbox: Inbox | None = None
        self._watch: FolderWatch | None = None
        self._errors = 0

    def start(self, inbox: Inbox, _known: Mapping[str, FilterContent]) -> None:
        """Begin to watch, then look: what changes in between is looked at twice, never missed."""
        self._inbox = inbox
        self._watch = FolderWatch(self._folder, self._changed)
        self._changed(frozenset())

    def _changed(self, _names: frozenset[str]) -> None:
        loaded = load([str(self._folder)])
        resolution = resolve(map(with_uid, loaded.filters), self._labels)
        self._tell_loaded(loaded, resolution)
        if not is_whole(loaded):
            self._errors += 1
        elif self._inbox is not None:
            self._inbox.put(order_seen(self._folder, loaded, resolution))

    def report(self, status: NodeStatus) -> None:
        """Show it."""
        self._tell_status(status)

    def stop(self, timeout_s: float) -> None:
        """End watching; nothing waits to be sent."""
        if self._watch is not None:
            self._watch.close()

    @property
    def connected(self) -> bool:
        """A folder is always at hand."""
        return True

    @property
    def errors(self) -> int:
        """How many looks found a fault."""
        return self._errors


def is_whole(loaded: Loaded) -> bool:
    """Whether a look at the folder may become an order: everything was read, and all of it is valid."""
    return not loaded.faults and not loaded.unreadable


def with_uid(each: FloodFilter) -> FloodFilter:
    """Give a filter that no API server has seen its name as uid: its counts stay with it for as long as it has that name."""
    return each if each.uid else replace(each, uid=f"file:{each.name}")


def order_seen(folder: Path, loaded: Loaded, resolution: Resolution) -> OrderSeen:
    """Return the order that a folder's filters come to. There is nobody to take turns with: attaching is allowed.

    Counts belong to the folder, however it was named: a restart from another working directory counts on.
    """
    order = NodeOrder(
        state=NodeState.ACTIVE if resolution.orders else NodeState.IDLE, attach=Attach.ALLOWED, filters=resolution.orders
    )
    contents = {revision_name(each.name, each.spec.content): each.spec.content for each in loaded.filters}
    wanted = {each.revision for each in resolution.orders}
    return OrderSeen(
        order, f"folder:{folder.absolute()}", {name: content for name, content in contents.items() if name in wanted}
    )
