"""Wake-ups for what may change a stream's header: links, addresses, routes, rules, next hops and the neighbours in use.

Only a wake-up: the reader observes again. Source: include/uapi/linux/rtnetlink.h (groups), neighbour.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from spillway_crds.streams import Address
from spillway_dataplane.kernel.rtnetlink import (
    EVENTS,
    HEADER,
    RECEIVE_BYTES,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    RTMSG,
    open_socket,
    split,
)

RTMGRP_NEIGH, RTMGRP_IPV4_RULE, RTMGRP_IPV6_RULE, RTMGRP_NEXTHOP = 0x4, 0x80, 0x40000, 0x80000000
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
_IFINDEX = struct.Struct("=4xi")  # of struct ndmsg
RTA_DST = 1
READS = 64  # of one look: what a storm brings more is read at the next


@dataclass(frozen=True, slots=True)
class InUse:
    """What streams use. ifindexes: devices of their next hops. destinations: where they go."""

    ifindexes: frozenset[int] = frozenset()
    destinations: frozenset[Address] = frozenset()


class WayNews:
    """A selectable source of changes in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = open_socket(EVENTS | RTMGRP_NEIGH | RTMGRP_IPV4_RULE | RTMGRP_IPV6_RULE | RTMGRP_NEXTHOP)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()

    def read(self, used: InUse) -> bool:
        """Take what waits; returns whether anything may concern streams."""
        concerned = False
        for _ in range(READS):
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return concerned
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return True  # events were lost: any of them may have concerned us
            concerned = concerned or any(_concerns(message, used) for message in split(data))
        return concerned


def _concerns(message: bytes, used: InUse) -> bool:
    """A node with many pods learns neighbours all the time, a router routes: those that no stream uses are none of ours."""
    kind = HEADER.unpack_from(message)[1]
    if kind in (RTM_NEWNEIGH, RTM_DELNEIGH) and len(message) >= HEADER.size + _IFINDEX.size:
        return _IFINDEX.unpack_from(message, HEADER.size)[0] in used.ifindexes
    if kind in (RTM_NEWROUTE, RTM_DELROUTE) and len(message) >= HEADER.size + RTMSG.size:
        return _leads_to(message, used.destinations)
    return True


def _leads_to(message: bytes, destinations: frozenset[Address]) -> bool:
    """Whether a route's prefix holds one of the destinations."""
    family, bits = RTMSG.unpack_from(message, HEADER.size)[:2]
    prefix = _prefix(message)
    for each in destinations:
        width = len(each.packed) * 8
        if (family == socket.AF_INET6) is not (width == 128):
            continue
        if bits == 0 or (len(prefix) * 8 == width and (int(each) ^ int.from_bytes(prefix, "big")) >> (width - bits) == 0):
            return True
    return False


def _prefix(message: bytes) -> bytes:
    offset = HEADER.size + RTMSG.size
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if kind == RTA_DST:
            return message[offset + 4 : offset + length]
        offset += max(4, -(-length // 4) * 4)
    return b""
