"""What changes in the kernel's network tables, as wake-ups: the reader observes again, it never trusts the event's own content.

Only one thing is taken from the events, because no later observation can show it: which devices left and came back in between.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from spillway_dataplane.kernel.gathering import Gatherer
from spillway_dataplane.kernel.rtnetlink import (
    EVENTS,
    HEADER,
    IFLA_IFNAME,
    RECEIVE_BYTES,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    dump,
    links_request,
    of_default_route,
    open_socket,
    parse,
    slim,
    split,
)

PATIENCE_S = 0.25


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the last wake-up. went, came: names of devices; one in both has left and come back, or was made anew.

    lost: the kernel dropped events, so went and came may be incomplete.
    """

    went: frozenset[str] = frozenset()
    came: frozenset[str] = frozenset()
    lost: bool = False

    def __or__(self, later: Changes) -> Changes:
        return Changes(self.went | later.went, self.came | later.came, self.lost or later.lost)


class Watcher:
    """A selectable source of changes in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = open_socket(EVENTS)
        self._socket.setblocking(False)
        self._names = _present()  # after the socket is bound: what comes in between is told twice, never missed

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()

    def read(self) -> Changes | None:
        """Take everything that waits, without blocking. None: nothing in it concerns us."""
        found: Changes | None = None
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = (found or Changes()) | self._resume()
                continue
            for message in split(data):
                if (change := self._change(message)) is not None:
                    found = (found or Changes()) | change

    def _resume(self) -> Changes:
        before, self._names = self._names, _present()
        was, now = set(before.items()), set(self._names.items())
        return Changes(frozenset(name for _, name in was - now), frozenset(name for _, name in now - was), lost=True)

    def _change(self, message: bytes) -> Changes | None:
        kind = HEADER.unpack_from(message)[1]
        if kind in (RTM_NEWROUTE, RTM_DELROUTE):
            return Changes() if of_default_route(message) else None
        if kind in (RTM_NEWLINK, RTM_DELLINK):
            return self._link_change(message, kind)
        return Changes()

    def _link_change(self, message: bytes, kind: int) -> Changes | None:
        if message[HEADER.size] != 0:  # AF_BRIDGE: a port's own news; a port that leaves its bridge is told as DELLINK too
            return None
        index, name = _name(message)
        known = self._names.pop(index, None)
        went = frozenset({known} if known and (kind == RTM_DELLINK or known != name) else ())
        if kind == RTM_DELLINK:
            return Changes(went=went or frozenset({name}))
        self._names[index] = name
        return Changes(went, frozenset({name} if known != name else ()))


def _present() -> dict[int, str]:
    return dict(_name(each) for each in dump(RTM_GETLINK, links_request()))


def _name(message: bytes) -> tuple[int, str]:
    (link,) = parse([slim(message, frozenset({IFLA_IFNAME}))])
    return link["index"], link.get_attr("IFLA_IFNAME")


class Watch:
    """A thread that reports changes until it is closed."""

    def __init__(self, callback: Callable[[Changes], None]) -> None:
        self._watcher = Watcher()
        self._gatherer = Gatherer(
            self._watcher.fileno(),
            read=self._watcher.read,
            join=Changes.__or__,
            callback=callback,
            name="spillway-netlink",
            patience_s=PATIENCE_S,
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; no callback runs after this returns."""
        if self._gatherer.close():
            self._watcher.close()


def watch(callback: Callable[[Changes], None]) -> Watch:
    """Call `callback` from a thread of its own whenever links, addresses or default routes changed, many changes at once.

    The callback must not raise. Watches the calling thread's network namespace. Close the Watch, or use it in a `with` block.
    """
    return Watch(callback)
