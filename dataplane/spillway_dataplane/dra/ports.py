"""What the driver needs of others, so that its parts can be driven without a kernel and without an API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from spillway_dataplane.api.calls import Raw
from spillway_dataplane.stream.model import RingOrder, RingStatus


class Keeper(Protocol):
    """Keeps rings: stream/keeper.py. Any thread may call."""

    on_change: Callable[[], None]

    def open(self, order: RingOrder) -> RingStatus:
        """Open a ring, or say how the one of this key does. Raises SpillwayError."""

    def close(self, key: str) -> None:
        """Give a ring up; an unknown key is no error."""

    def statuses(self) -> tuple[RingStatus, ...]:
        """Return how every ring does."""


class Api(Protocol):
    """The calls of api.calls.ApiCalls that are used here. All raise Transient, ApiRefused among them."""

    def get(self, path: str, **query: str | int) -> Raw:
        """Return one object, or one list."""

    def apply(self, path: str, body: Raw, *, manager: str) -> Raw:
        """Server-side apply."""

    def get_bytes(self, path: str, content_type: str) -> bytes:
        """Return one object in another form than JSON."""

    def put_bytes(self, path: str, body: bytes, content_type: str, *, manager: str) -> None:
        """Replace an object, if nobody else changed it since."""

    def delete(self, path: str) -> None:
        """Delete an object; one that is not there is no error."""


MakeApi = Callable[[], Any]  # of an Api; raises Transient while there is no token
