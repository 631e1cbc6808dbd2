"""An application that wants to do harm with the ring that it was given: everything that the protocol lets it touch, at random.

Random bytes into the rings, the frames and the report, nothing ever completed, huge lengths, greetings that are none, connections
closed in the middle. Uses the protocol and no library of ours: docs/ring-protocol.md.
"""

from __future__ import annotations

import array
import mmap
import os
import random
import socket
import struct
import time

HELLO = struct.pack("<IHHI", int.from_bytes(b"SPWR", "little"), 1, 1, 0)
PATH = os.environ["SPILLWAY_RING"]
AF_XDP, SOL_XDP, XDP_MMAP_OFFSETS = 44, 283, 1
TX_RING, COMPLETION_RING = 0x80000000, 0x180000000
RING_BYTES = 16384
CHAOS = random.Random(1)
ROUNDS = 12


def greeting() -> tuple[socket.socket, list[int]]:
    """Connect and take the ring as an honest holder would."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.settimeout(10)
    link.connect(PATH)
    link.send(HELLO)
    while True:
        message, extra, _, _ = link.recvmsg(4096, socket.CMSG_SPACE(4 * 4))
        fds = array.array("i")
        for _, _, data in extra:
            fds.frombytes(data[: len(data) - len(data) % 4])
        if fds or not message:
            return link, list(fds)


def scribble(fd: int, length: int, offset: int = 0) -> None:
    """Random bytes over all of a mapping that may be written."""
    try:
        with mmap.mmap(fd, length, offset=offset) as memory:
            memory[:] = CHAOS.randbytes(length)
    except (OSError, ValueError):
        pass


def kick(fd: int) -> None:
    ring = socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(fd))
    with ring:
        for _ in range(20):
            try:
                ring.send(b"", socket.MSG_DONTWAIT)
            except OSError:
                pass


def misuse_once() -> None:
    link, (xsk, umem, page, report) = greeting()
    with link:
        for offset in (TX_RING, COMPLETION_RING):
            scribble(xsk, RING_BYTES, offset)
            kick(xsk)
        scribble(umem, 1 << 20)
        scribble(report, 4096)
        scribble(page, 4096)
        for _ in range(10):
            try:
                link.send(CHAOS.randbytes(CHAOS.randint(1, 4000)))
            except OSError:
                break
    for fd in (xsk, umem, page, report):
        os.close(fd)


def strangers() -> None:
    """Connections that say nonsense, and some that say nothing and are closed in the middle."""
    for _ in range(20):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            try:
                link.connect(PATH)
                link.send(CHAOS.choice([HELLO[:5], CHAOS.randbytes(300), HELLO, HELLO + b"x" * 2000]))
            except OSError:
                time.sleep(0.05)


def main() -> None:
    for number in range(ROUNDS):
        try:
            misuse_once()
        except (OSError, ValueError) as error:
            print(f"round {number}: {error}", flush=True)
        strangers()
    print('{"harm": "done"}', flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
