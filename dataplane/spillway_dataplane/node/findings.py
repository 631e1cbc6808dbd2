"""What stands in the way of a filter on an interface, as values. A finding's reason becomes a condition's reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spillway_crds.errors import SpillwayError


class Reason(StrEnum):
    """Every reason that an agent gives."""

    INTERFACE_NOT_FOUND = "InterfaceNotFound"
    QUEUE_NOT_FOUND = "QueueNotFound"
    NOT_SUPPORTED = "NotSupported"
    INVALID_INTENT = "InvalidIntent"
    LINK_DOWN = "LinkDown"
    CONFLICT = "Conflict"
    DETACHED = "Detached"
    WAITING_FOR_TURN = "WaitingForTurn"
    KERNEL_ERROR = "KernelError"
    TRANSIENT = "Transient"
    COMPILING = "Compiling"
    RINGS_NEED_NATIVE = "RingsNeedNative"


PENDING_REASONS = frozenset({Reason.WAITING_FOR_TURN, Reason.TRANSIENT, Reason.COMPILING})
HARMLESS_REASONS = frozenset({Reason.LINK_DOWN, Reason.RINGS_NEED_NATIVE})


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to tell. ifname empty: not about one interface. uid empty: about every filter of the interface."""

    reason: Reason
    message: str
    ifname: str = ""
    uid: str = ""


def from_error(error: SpillwayError, *, ifname: str = "", uid: str = "") -> Finding:
    """Turn an error into what is reported: its class name is the reason."""
    return Finding(Reason(error.reason), str(error), ifname, uid)
