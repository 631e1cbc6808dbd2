"""What an application imports to send through a ring. Imports nothing else of Spillway's; numpy is used where it is there.

`Ring`, `connect` and what belongs to them need the C extension and are loaded at first use: the node's own programs take only
the protocol (wire.py, pages.py) from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spillway_stream.errors import (
    BadOffer,
    FrameTooLong,
    Gone,
    Held,
    KickFailed,
    LinkDown,
    Lost,
    Misuse,
    NoRing,
    NoRoute,
    NotDrained,
    NotReady,
    Refused,
    RingError,
    RingFull,
    Starting,
    Unresolved,
)
from spillway_stream.pages import LinkState, Report, quantile_ns

if TYPE_CHECKING:
    from spillway_stream.ring import Facts, Hole, Ring, Rtp, connect, tai_ns

__all__ = [
    "BadOffer",
    "Facts",
    "FrameTooLong",
    "Gone",
    "Held",
    "Hole",
    "KickFailed",
    "LinkDown",
    "LinkState",
    "Lost",
    "Misuse",
    "NoRing",
    "NoRoute",
    "NotDrained",
    "NotReady",
    "Refused",
    "Report",
    "Ring",
    "RingError",
    "RingFull",
    "Rtp",
    "Starting",
    "Unresolved",
    "connect",
    "quantile_ns",
    "tai_ns",
]


def __getattr__(name: str) -> Any:
    if name in ("Facts", "Hole", "Ring", "Rtp", "connect", "tai_ns"):
        return getattr(import_module("spillway_stream.ring"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
