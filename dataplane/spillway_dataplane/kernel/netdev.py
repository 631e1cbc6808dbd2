"""What the kernel's `netdev` family says of a device: does it offer AF_XDP zero copy, and what came to each of its queues.

Source: Documentation/netlink/specs/netdev.yaml, nlctrl.yaml. Since Linux 6.3, queue counters since 6.9 and of a few drivers only.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spillway_dataplane.kernel.rtnetlink import (
    HEADER,
    NLA_TYPE_MASK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    raise_refusal,
    split,
)

NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 3, 1, 2
NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES, NETDEV_A_DEV_XDP_ZC_MAX_SEGS = 1, 1, 3, 4
NETDEV_CMD_QSTATS_GET, NETDEV_A_QSTATS_IFINDEX, NETDEV_A_QSTATS_QUEUE_TYPE, NETDEV_A_QSTATS_QUEUE_ID = 12, 1, 2, 3
NETDEV_A_QSTATS_SCOPE, NETDEV_A_QSTATS_RX_PACKETS = 4, 8
QSTATS_SCOPE_QUEUE, QUEUE_TYPE_RX = 1, 0
NETDEV_XDP_ACT_XSK_ZEROCOPY = 1 << 3

_GENL = struct.Struct("=BBH")  # struct genlmsghdr: command, version, reserved
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length with itself, type
_BUFFER_BYTES = 1 << 16


def offers_zero_copy(ifindex: int) -> bool | None:
    """Return whether a device says that it can zero copy; None when the kernel is too old to say.

    A no is an answer: the bind will say EOPNOTSUPP. A yes is none: some devices say it and their bind says EINVAL.
    """
    found = _device(ifindex)
    raw = found.get(NETDEV_A_DEV_XDP_FEATURES)
    return None if raw is None else bool(int.from_bytes(raw, sys.byteorder) & NETDEV_XDP_ACT_XSK_ZEROCOPY)


def zero_copy_segments(ifindex: int) -> int | None:
    """Return how many buffers a device takes for one packet in zero copy; None when neither it nor the kernel (6.6) says."""
    raw = _device(ifindex).get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS)
    return None if raw is None else int.from_bytes(raw, sys.byteorder)


def queue_received(ifindex: int, queue: int) -> int | None:
    """Return how many packets one RX queue received, by the kernel's own counter; None where it has none of this driver."""
    question = _attribute(NETDEV_A_QSTATS_IFINDEX, struct.pack("=I", ifindex))
    scope = _attribute(NETDEV_A_QSTATS_SCOPE, struct.pack("=I", QSTATS_SCOPE_QUEUE))
    with suppress(OSError), _family() as (opened, family):
        for message in _ask(opened, family, NLM_F_DUMP, NETDEV_CMD_QSTATS_GET, question + scope):
            found = {kind: int.from_bytes(raw, sys.byteorder) for kind, raw in _attributes(message)}
            if (found.get(NETDEV_A_QSTATS_QUEUE_TYPE), found.get(NETDEV_A_QSTATS_QUEUE_ID)) == (QUEUE_TYPE_RX, queue):
                return found.get(NETDEV_A_QSTATS_RX_PACKETS)
    return None


def _device(ifindex: int) -> dict[int, bytes]:
    """Return a device's attributes; none when there is no such family or device."""
    with suppress(OSError), _family() as (opened, family):
        question = _attribute(NETDEV_A_DEV_IFINDEX, struct.pack("=I", ifindex))
        return dict(_attributes(next(_ask(opened, family, 0, NETDEV_CMD_DEV_GET, question))))
    return {}


@contextmanager
def _family() -> Iterator[tuple[socket.socket, int]]:
    """Open a socket and ask for the family's number. Raises OSError: ENOENT where the kernel has no such family."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC) as opened:
        question = _attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0")
        found = dict(_attributes(next(_ask(opened, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, question))))
        yield opened, int.from_bytes(found[CTRL_ATTR_FAMILY_ID], sys.byteorder)


def _ask(opened: socket.socket, family: int, flags: int, command: int, attributes: bytes) -> Iterator[bytes]:
    """Ask and yield the answers, one of them or a whole dump. Raises OSError for a refusal."""
    body = _GENL.pack(command, 1, 0) + attributes
    opened.send(HEADER.pack(HEADER.size + len(body), family, NLM_F_REQUEST | flags, 1, 0) + body)
    while True:
        for message in split(opened.recv(_BUFFER_BYTES)):
            kind = HEADER.unpack_from(message)[1]
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                raise_refusal(message)
                return
            yield message
        if not flags & NLM_F_DUMP:
            return


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    offset = HEADER.size + _GENL.size
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & NLA_TYPE_MASK, message[offset + _ATTRIBUTE.size : offset + length]
        offset += -(-length // 4) * 4
