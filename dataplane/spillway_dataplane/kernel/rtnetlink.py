"""A plain netlink socket for dumps and events; pyroute2 reads the messages.

pyroute2's own sockets bring an event loop for each thread and refuse to work inside a running one; the agent asks from both.
Sizes and flags: include/uapi/linux/netlink.h, rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from pyroute2.netlink.rtnl.marshal import MarshalRtnl

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400
EVENTS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLM_F_DUMP_INTR = 0x10
RECEIVE_BYTES = 1 << 16  # the kernel sends dumps in pieces of at most 32 KiB
BUFFER_BYTES = 4 << 20
ATTEMPTS = 5

NLA_TYPE_MASK = 0x3FFF
IFLA_IFNAME, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 3, 29, 1 << 3
IFINFOMSG = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
RT_TABLE_MAIN = 254
RTMSG = struct.Struct("=8BI")  # struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags

Message = Any  # pyroute2's nlmsg: a dict with get_attr()


def open_socket(groups: int = 0) -> socket.socket:
    """Open an rtnetlink socket in the calling thread's network namespace. groups: RTMGRP_*, 0 for none."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    opened.bind((0, groups))
    return opened


def split(data: bytes) -> Iterator[bytes]:
    """Cut what one receive gave into messages, header included."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length = HEADER.unpack_from(data, offset)[0]
        if length < HEADER.size:
            return
        yield data[offset : offset + length]
        offset += -(-length // 4) * 4


def dump(kind: int, body: bytes) -> list[bytes]:
    """Ask for a table and return its messages, unread. A dump that the kernel calls inconsistent is asked for again.

    kind: RTM_GET*; body: its struct, with attributes. Raises OSError for a refusal.
    """
    with open_socket() as asked:
        for attempt in range(1, ATTEMPTS + 1):
            asked.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, attempt, 0) + body)
            messages, whole = _collect(asked, attempt)
            if whole:
                return messages
    return messages  # of a table that never rests; the next change wakes us anyway


def ask(kind: int, body: bytes) -> bytes:
    """Ask for one thing and return its message. Raises OSError for a refusal, ENODEV for a link that is not there."""
    with open_socket() as asked:
        asked.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST, 1, 0) + body)
        (message, *_) = split(asked.recv(RECEIVE_BYTES))
    if HEADER.unpack_from(message)[1] == NLMSG_ERROR:
        raise_refusal(message)
    return message


def _collect(asked: socket.socket, sequence: int) -> tuple[list[bytes], bool]:
    messages: list[bytes] = []
    whole = True
    while True:
        for message in split(asked.recv(RECEIVE_BYTES)):
            _, kind, flags, number, _ = HEADER.unpack_from(message)
            if number != sequence:
                continue
            whole = whole and not flags & NLM_F_DUMP_INTR
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                raise_refusal(message)
                return messages, whole
            messages.append(message)


def raise_refusal(message: bytes) -> None:
    """Both an error and the end of a dump carry a number: 0, or a negative errno."""
    (result,) = struct.unpack_from("=i", message.ljust(HEADER.size + 4, b"\0"), HEADER.size)
    if result < 0 and -result != errno.EINTR:
        raise OSError(-result, f"netlink: {os.strerror(-result)}")


def parse(messages: list[bytes]) -> Iterator[Message]:
    """Read messages with pyroute2."""
    reader = MarshalRtnl()
    for message in messages:
        yield from reader.parse(message)


def slim(message: bytes, wanted: frozenset[int]) -> bytes:
    """Leave out a link message's attributes that nobody reads: decoding the forty of each link is most of what a look costs."""
    kept = [message[: HEADER.size + IFINFOMSG.size]]
    offset = HEADER.size + IFINFOMSG.size
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        padded = -(-length // 4) * 4
        if kind & NLA_TYPE_MASK in wanted:
            kept.append(message[offset : offset + padded])
        offset += padded
    body = b"".join(kept)
    return struct.pack("=I", len(body)) + body[4:]


def links_request() -> bytes:
    """Return the body of RTM_GETLINK for all links, without their statistics."""
    return IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + struct.pack("=HHI", 8, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)


def link_request(ifname: str) -> bytes:
    """Return the body of RTM_GETLINK for one link by its name."""
    name = ifname.encode(errors="surrogateescape") + b"\0"
    padding = bytes(-len(name) % 4)
    return links_request() + struct.pack("=HH", 4 + len(name), IFLA_IFNAME) + name + padding


def routes_request(family: int) -> bytes:
    """Return the body of RTM_GETROUTE for one address family."""
    return RTMSG.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0)


def of_default_route(message: bytes) -> bool:
    """Whether a route message is of a default route in the main table: read cheaply, a router has a million others."""
    _, dst_len, _, _, table, _, _, _, _ = RTMSG.unpack_from(message, HEADER.size)
    return (dst_len, table) == (0, RT_TABLE_MAIN)
