"""Zero copy as real drivers do it: proved by a frame and by silence before a ring is handed out, watched while it is held.

The kernel's flag proves nothing: igb without a native program binds, says zero copy, and refuses every kick with EINVAL.
A table proves nothing either: virtio_net forgets it at an attach and goes on showing it. Source: docs/platforms.md.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import struct
import sys
import threading
import time

from spillway_crds.errors import NotSupported, SpillwayError
from spillway_dataplane.kernel.cards import received_packets, zero_copy_refusal
from spillway_dataplane.kernel.if_xdp import (
    ADDRESS_BYTES,
    AF_XDP,
    DESCRIPTOR,
    DESCRIPTOR_BYTES,
    OFFSETS,
    PGOFF_COMPLETION_RING,
    PGOFF_TX_RING,
    SOL_XDP,
    XDP_MMAP_OFFSETS,
)
from spillway_dataplane.kernel.ways import link_named
from spillway_dataplane.kernel.xsk import Xsk
from spillway_dataplane.way.seen import SeenLink

PROBE_BYTES = 60  # the least that Ethernet carries
ETH_P_802_EX1 = 0x88B5  # IEEE 802 local experimental: no host takes it for anything
COMPLETION_S = 5.0  # a bind may restart the card's queues, and its link with them
QUIET_S = 0.5
LOOK_S = 0.01
NOT_NOW = frozenset({errno.ENETDOWN, errno.EAGAIN, errno.EBUSY, errno.ENOBUFS})  # of a kick: the link, or too early
_ORDER = threading.Lock()


def prove_zero_copy(xsk: Xsk, ifname: str, queue: int, quiet_s: float = QUIET_S) -> bool:
    """Find out whether a ring that was just bound may be handed out as zero copy. Nobody else may use its rings meanwhile.

    Returns whether a frame was completed; False when the link is down, so that nothing can be.
    Raises NotSupported if it sends nothing, or if its queue receives something within `quiet_s`.
    """
    completed = complete_a_frame(xsk, ifname, queue)
    watch = QueueWatch(ifname, queue, xsk)
    time.sleep(quiet_s)
    if told := watch.traffic():
        raise NotSupported(subject=f"zero copy on {ifname} queue {queue}", detail=told)
    return completed


class QueueWatch:
    """What comes to a queue, look by look. xsk: its ring, whose fill frames change with every packet that comes."""

    def __init__(self, ifname: str, queue: int, xsk: Xsk) -> None:
        self._ifname, self._queue, self._xsk = ifname, queue, xsk
        self._mark, self._restless = self._marked(), False

    def look(self) -> str:
        """Return what speaks against this ring now, empty when nothing does.

        Tables come first: they say what to do about it. Packets are told when they came before two looks running: one that a
        card lets slip at a reset passes on to the kernel and ends no stream.
        """
        try:
            if refusal := zero_copy_refusal(self._ifname, self._queue):
                return refusal
        except SpillwayError:
            return ""  # no interface, or a driver that is being reset: nothing is known, and the ring's state says so
        came, before = self.traffic(), self._restless
        self._restless = bool(came)
        return came if before else ""

    def traffic(self) -> str:
        """Return what was received since the last time, empty for nothing."""
        before, self._mark = self._mark, self._marked()
        if self._mark == before:
            return ""
        return f"packets come to queue {self._queue} of {self._ifname}, whatever its RSS table shows"

    def _marked(self) -> tuple[int | None, int]:
        return received_packets(self._ifname, self._queue), self._xsk.received_mark()


def complete_a_frame(xsk: Xsk, ifname: str, queue: int) -> bool:
    """Send one frame and wait until the card is done with it. Its way ends at the next switch: it is addressed to its sender.

    Returns False when the link is down. Raises NotSupported if a kick is refused or the frame does not come back.
    """
    subject, ends = f"zero copy on {ifname} queue {queue}", time.monotonic() + COMPLETION_S
    if not _link(ifname).up:
        return False
    with Rings(xsk) as rings:
        rings.offer(_probe_frame(ifname))
        while time.monotonic() < ends:
            refused = kick(xsk.fd)
            if refused and refused not in NOT_NOW:
                said = f"{errno.errorcode.get(refused, refused)} ({os.strerror(refused)})"
                raise NotSupported(subject=subject, detail=f"the bind was granted, but sending says {said}")
            if rings.take_back():
                return True
            time.sleep(LOOK_S)
        rings.withdraw()
    if _link(ifname).carrier:
        raise NotSupported(subject=subject, detail=f"the bind was granted, but no frame was completed in {COMPLETION_S:g} s")
    return False


def _link(ifname: str) -> SeenLink:
    return link_named(ifname) or SeenLink(ifname, 0, up=False, carrier=False)


def _probe_frame(ifname: str) -> bytes:
    mac = _link(ifname).mac
    return (mac + mac + struct.pack(">H", ETH_P_802_EX1) + b"spillway: does this queue send?").ljust(PROBE_BYTES, b"\0")


def _duplicate(fd: int) -> socket.socket:
    return socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(fd))  # Python cannot find out the family: no getsockname


def kick(fd: int) -> int:
    """Ask the kernel to send; returns the errno of its refusal, 0 for none."""
    with _duplicate(fd) as opened:
        try:
            opened.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            return error.errno or errno.EIO
    return 0


class Rings:
    """TX and completion ring of a socket that nobody else uses yet, and its frames. Use in a `with` block."""

    def __init__(self, xsk: Xsk) -> None:
        with _duplicate(xsk.fd) as opened:
            self._at = OFFSETS.unpack(opened.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))
        shape, self._mask, self._frame_bytes = xsk.shape, xsk.shape.tx_slots - 1, xsk.shape.frame_bytes
        self._tx = mmap.mmap(xsk.fd, self._at[6] + shape.tx_slots * DESCRIPTOR_BYTES, offset=PGOFF_TX_RING)
        self._done = mmap.mmap(xsk.fd, self._at[14] + shape.completion_slots * ADDRESS_BYTES, offset=PGOFF_COMPLETION_RING)
        self._frames = mmap.mmap(xsk.umem_fd, shape.frames * shape.frame_bytes)

    def __enter__(self) -> Rings:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._tx, self._done, self._frames):
            each.close()

    def offer(self, octets: bytes, frame: int = 0) -> None:
        """Put one packet into a frame and the frame into the TX ring. The ring must have room, the frame be ours."""
        address = frame * self._frame_bytes
        self._frames[address : address + len(octets)] = octets
        producer = _read(self._tx, self._at[4])
        slot = self._at[6] + (producer & self._mask) * DESCRIPTOR_BYTES
        DESCRIPTOR.pack_into(self._tx, slot, address, len(octets), 0)
        with _ORDER:  # on arm64 a store must not pass another; a lock taken and given back keeps them apart
            pass
        _write(self._tx, self._at[4], producer + 1)

    def take_back(self) -> int:
        """Return how many frames were completed since the last time, and make room for more completions."""
        producer, consumer = _read(self._done, self._at[12]), _read(self._done, self._at[13])
        _write(self._done, self._at[13], producer)
        return (producer - consumer) & 0xFFFFFFFF

    def withdraw(self) -> None:
        """Take back what the kernel has not looked at: a link that comes up would send it."""
        _write(self._tx, self._at[4], _read(self._tx, self._at[5]))


def _read(ring: mmap.mmap, at: int) -> int:
    return int.from_bytes(ring[at : at + 4], sys.byteorder)


def _write(ring: mmap.mmap, at: int, count: int) -> None:
    ring[at : at + 4] = (count & 0xFFFFFFFF).to_bytes(4, sys.byteorder)
