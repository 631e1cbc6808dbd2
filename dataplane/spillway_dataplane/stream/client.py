"""One connection to a ring's socket. Nothing that comes over it is believed, and nothing that is sent over it is waited for."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from spillway_stream.wire import (
    MESSAGE_BYTES,
    HelloFlag,
    MessageType,
    WireError,
    decode_hello,
    encode_refused,
    encode_wait,
    open_message,
)

HELLO_FDS = 2  # xsk and memory of a ring that is resumed; the kernel drops what comes beyond them
_UCRED = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_INT_BYTES = array.array("i").itemsize


class Ended(Exception):
    """The other end is gone, or talks what is not this protocol."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A client's first message. descriptors: ours to close."""

    resuming: bool
    descriptors: tuple[int, ...]


class Client:
    """A connection, from its accept to its end."""

    def __init__(self, connection: socket.socket, now_s: float) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self.since_s = now_s
        self.greeted = False
        self.generation = 0
        self.name = _name(connection)

    def fileno(self) -> int:
        """For poll()."""
        return self._connection.fileno()

    def receive(self) -> Hello | None:
        """Take one message, None when none is there. Raises Ended.

        Descriptors are taken in with the greeting only: what comes later is dropped by the kernel.
        """
        if self.greeted:
            self._expect_silence()
            return None
        try:
            data, ancillary, flags, _ = self._connection.recvmsg(
                MESSAGE_BYTES, socket.CMSG_SPACE(HELLO_FDS * _INT_BYTES), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise Ended(str(error)) from error
        descriptors = tuple(_descriptors(ancillary))
        try:
            hello = Hello(_resuming(data, flags), descriptors)
        except WireError as error:
            close_all(descriptors)
            raise Ended(f"no greeting of this protocol: {error}") from error
        self.greeted = True
        return hello

    def _expect_silence(self) -> None:
        """A greeting is all that a client has to say. What else it sends ends the connection, its end does too."""
        try:
            data = self._connection.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise Ended(str(error)) from error
        raise Ended("it said more than a greeting" if data else "closed")

    def send(self, message: bytes, descriptors: Iterable[int] = ()) -> None:
        """Send one message at once. Raises Ended if the other end is gone or does not read."""
        rights = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        try:
            self._connection.sendmsg([message], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            raise Ended(str(error)) from error

    def wait(self, holder: str) -> None:
        """Tell who has the ring. Raises Ended."""
        self.send(encode_wait(holder))

    def refuse(self, errno: int, text: str) -> None:
        """Say why not, and close."""
        with suppress(Ended):
            self.send(encode_refused(errno, text))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _resuming(data: bytes, flags: int) -> bool:
    if not data:
        raise WireError("end", 0)
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise WireError("message cut", flags)
    kind, body = open_message(data)
    if kind is not MessageType.HELLO:
        raise WireError("message type", kind)
    return bool(decode_hello(body) & HelloFlag.RESUMING)


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> Iterable[int]:
    for level, kind, raw in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            yield from array.array("i", raw[: len(raw) // _INT_BYTES * _INT_BYTES])


def close_all(descriptors: Iterable[int]) -> None:
    """Close what a client sent."""
    for each in descriptors:
        with suppress(OSError):
            os.close(each)


def _name(connection: socket.socket) -> str:
    """Who it is, for people. The pid is 0 for a process in a pod whose process ids we do not see."""
    pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return f"a process of uid {uid}" if pid == 0 else f"process {pid} of uid {uid}"
