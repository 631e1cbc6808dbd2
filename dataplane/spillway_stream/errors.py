"""What can go wrong with a ring.

    RingError
    +-- NoRing             no socket is known, or nothing answers at it
    +-- Held               another process holds the ring; `holder` says which
    +-- Refused            the node said no; `errno` and text are its own
    +-- BadOffer           what the node sent makes no ring
    +-- NotDrained         the last holder's frames do not go out
    +-- NotReady           nothing was sent: the way to the destination is not open; `state`, `reason`
    |   +-- Starting       the node has not looked yet
    |   +-- Unresolved     the next hop's MAC address is not known
    |   +-- NoRoute        no route leads to the destination over this interface
    |   +-- LinkDown       the interface is down
    |   +-- Gone           the interface, or the claim, is gone: connect again
    +-- FrameTooLong       `index`, `size_bytes`, `limit_bytes`
    +-- RingFull           the card did not give back enough frames in time; `wanted`, `free`
    +-- KickFailed         the kernel refused to send; `errno`
    +-- Lost               the node gave the ring to somebody else: connect again
    +-- Misuse             an argument makes no sense

Of a send() that failed, `sent` says how many packets went before. Those that did not stay reserved.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NamedTuple

from spillway_stream.pages import LinkState


class Code(IntEnum):
    """enum spw_code of core/spillway_ring.h."""

    NO_RING = 1
    HELD = 2
    REFUSED = 3
    BAD_OFFER = 4
    NOT_DRAINED = 5
    NOT_READY = 6
    FRAME_TOO_LONG = 7
    RING_FULL = 8
    KICK_FAILED = 9
    LOST = 10
    INTERRUPTED = 11
    MISUSE = 12


class RingError(Exception):
    """Something about a ring. sent: packets that went before. errno: of the kernel or the node, 0 when there is none."""

    sent: int = 0
    errno: int = 0


class NoRing(RingError):
    """No socket is known, or nothing answers at it."""


class Held(RingError):
    """Another process holds the ring. holder: which, in the node's words."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"the ring is held by {holder}")
        self.holder = holder


class Refused(RingError):
    """The node said no."""

    def __init__(self, text: str, errno: int) -> None:
        super().__init__(f"refused by the node: {text} ({os.strerror(errno)})")
        self.errno = errno


class BadOffer(RingError):
    """What the node sent makes no ring."""


class NotDrained(RingError):
    """The last holder's frames do not go out."""


class NotReady(RingError):
    """Nothing was sent: the way to the destination is not open. reason: the node's words."""

    def __init__(self, state: LinkState, reason: str) -> None:
        super().__init__(f"{state.name}: {reason}" if reason else state.name)
        self.state, self.reason = state, reason


class Starting(NotReady):
    """The node has not looked yet."""


class Unresolved(NotReady):
    """The next hop's MAC address is not known."""


class NoRoute(NotReady):
    """No route leads to the destination over this interface."""


class LinkDown(NotReady):
    """The interface is down."""


class Gone(NotReady):
    """The interface, or the claim, is gone: connect again."""


class FrameTooLong(RingError):
    """A packet does not fit MTU and frame. index: of the frame. Sizes of payload, or of raw frames."""

    def __init__(self, text: str, index: int, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(text)
        self.index, self.size_bytes, self.limit_bytes = index, size_bytes, limit_bytes


class RingFull(RingError):
    """The card did not give back enough frames in time."""

    def __init__(self, text: str, wanted: int, free: int) -> None:
        super().__init__(text)
        self.wanted, self.free = wanted, free


class KickFailed(RingError):
    """The kernel refused to send."""


class Lost(RingError):
    """The node gave the ring to somebody else, or does not know it: connect again."""


class Misuse(RingError, ValueError):
    """An argument makes no sense."""


NOT_READY: dict[LinkState, type[NotReady]] = {
    LinkState.STARTING: Starting,
    LinkState.UNRESOLVED: Unresolved,
    LinkState.NO_ROUTE: NoRoute,
    LinkState.LINK_DOWN: LinkDown,
    LinkState.GONE: Gone,
}
PLAIN: dict[Code, type[RingError]] = {
    Code.NO_RING: NoRing,
    Code.BAD_OFFER: BadOffer,
    Code.NOT_DRAINED: NotDrained,
    Code.KICK_FAILED: KickFailed,
    Code.LOST: Lost,
    Code.MISUSE: Misuse,
}


class Failure(NamedTuple):
    """A filled struct spw_error of core/spillway_ring.h, as the C extension hands it over."""

    code: int
    errno: int
    state: int
    sent: int
    frame: int
    size: int
    limit: int
    text: str


def translate(fields: tuple[int, int, int, int, int, int, int, str]) -> BaseException:
    """The exception for a failure."""
    failure = Failure(*fields)
    if failure.code == Code.INTERRUPTED:
        return KeyboardInterrupt(failure.text)
    error = error_of(Code(failure.code), failure)
    error.sent, error.errno = failure.sent, failure.errno
    return error


def error_of(code: Code, failure: Failure) -> RingError:
    """The error of this code, with the fields it has."""
    text = failure.text
    if code == Code.NOT_READY:
        return NOT_READY.get(LinkState(failure.state), NotReady)(LinkState(failure.state), text)
    if code == Code.HELD:
        return Held(text)
    if code == Code.REFUSED:
        return Refused(text, failure.errno)
    if code == Code.FRAME_TOO_LONG:
        return FrameTooLong(text, failure.frame, failure.size, failure.limit)
    if code == Code.RING_FULL:
        return RingFull(text, failure.size, failure.limit)
    return PLAIN[code](text)
