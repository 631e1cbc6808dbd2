"""What the way of a ring's packets is like, in a word."""

from __future__ import annotations

from enum import StrEnum


class RingState(StrEnum):
    """What the way of a ring's packets is like. Everything but READY comes with a reason that a person understands."""

    STARTING = "Starting"  # nothing is known yet
    READY = "Ready"
    UNRESOLVED = "Unresolved"  # the next hop's MAC address is not known
    NO_ROUTE = "NoRoute"  # no route through this interface, or no address to send from
    LINK_DOWN = "LinkDown"  # set down, or no carrier
    GONE = "Gone"  # the interface left the node; the ring is opened anew when it is back
