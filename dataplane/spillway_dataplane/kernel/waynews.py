"""Wake-ups for what may change a stream's header: links, addresses, routes, rules, next hops and the neighbours in use.

Only a wake-up: the reader observes again. Source: include/uapi/linux/rtnetlink.h (groups), neighbour.h.
"""

from __future__ import annotations

import errno
import struct

from spillway_dataplane.kernel.rtnetlink import EVENTS, HEADER, RECEIVE_BYTES, open_socket, split

RTMGRP_NEIGH, RTMGRP_IPV4_RULE, RTMGRP_IPV6_RULE, RTMGRP_NEXTHOP = 0x4, 0x80, 0x40000, 0x80000000
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
_IFINDEX = struct.Struct("=4xi")  # of struct ndmsg
READS = 64  # of one look: what a storm brings more is read at the next


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

    def read(self, ifindexes: frozenset[int]) -> bool:
        """Take what waits; returns whether anything may concern streams. ifindexes: devices whose neighbours are in use."""
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
            concerned = concerned or any(_concerns(message, ifindexes) for message in split(data))
        return concerned


def _concerns(message: bytes, ifindexes: frozenset[int]) -> bool:
    """A node with many pods learns neighbours all the time; those of other devices are none of ours."""
    if HEADER.unpack_from(message)[1] not in (RTM_NEWNEIGH, RTM_DELNEIGH) or len(message) < HEADER.size + _IFINDEX.size:
        return True
    return _IFINDEX.unpack_from(message, HEADER.size)[0] in ifindexes
