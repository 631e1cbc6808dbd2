"""Open a ring on its queue in the mode that was asked for, or say in the kernel's own words why not."""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spillway_crds.errors import Conflict, KernelError, NotSupported, Transient
from spillway_crds.streams import BindMode
from spillway_dataplane.kernel.if_xdp import XDP_COPY, XDP_ZEROCOPY
from spillway_dataplane.kernel.netdev import zero_copy_segments
from spillway_dataplane.kernel.ways import link_named
from spillway_dataplane.kernel.xsk import RingShape, Xsk
from spillway_dataplane.kernel.xsk_bind import open_xsk, takes_several_buffers
from spillway_dataplane.kernel.zero_copy import prove_zero_copy
from spillway_dataplane.stream.model import RingOrder

SYS_NET = Path("/sys/class/net")
FILL_FRAMES = 256  # a power of two: what a card receives into, should it receive anything on a queue in zero copy
GIVEN_BACK_S = 1.0
NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}  # as the kernel writes it; Python knows the number as ENOTSUP
ZERO_COPY_REFUSED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPROTONOSUPPORT})

Refusal = Callable[[str, int], str | None]  # of zero copy on (interface, queue): why not, None when nothing speaks against it


@dataclass(frozen=True, slots=True)
class Bound:
    """A ring that the kernel gave. mode: COPY or ZERO_COPY, as the kernel says it. note: why it is not what was preferred."""

    xsk: Xsk
    ifindex: int
    mode: BindMode
    note: str = ""


def bind_ring(order: RingOrder, refusal: Refusal) -> Bound:
    """Open a ring.

    Raises Transient while there is no such interface, NotSupported for a queue or mode that cannot be had, Conflict while
    another socket holds the queue, KernelError for everything else.
    """
    link = link_named(order.interface)
    if link is None:
        raise Transient(operation="open ring", detail=f"there is no interface {order.interface} on this node now")
    _check_queue(order)
    _check_buffers(order)
    if order.parameters.bind_mode is BindMode.COPY:
        return _copied(order, link.ifindex)
    why = refusal(order.interface, order.queue) or _segments_refusal(order, link.ifindex)
    if not why:
        try:
            return _zero_copied(order, link.ifindex)
        except _Refused as refused:
            why = str(refused)
    if order.parameters.bind_mode is BindMode.ZERO_COPY:
        raise NotSupported(subject=f"zero copy on {order.interface} queue {order.queue}", detail=why)
    return _copied_instead(order, link.ifindex, f"no zero copy: {why}")


class _Refused(Exception):
    """The kernel or the card cannot do zero copy there."""


def _zero_copied(order: RingOrder, ifindex: int) -> Bound:
    """Open a ring in zero copy and see it work. While its link is down that is left to the holder's first frame."""
    xsk = _open(order, ifindex, XDP_ZEROCOPY, FILL_FRAMES)
    try:
        prove_zero_copy(xsk, order.interface, order.queue)
    except NotSupported as error:
        xsk.close()
        raise _Refused(error.detail) from error
    except BaseException:
        xsk.close()
        raise
    return Bound(xsk, ifindex, BindMode.ZERO_COPY)


def _copied(order: RingOrder, ifindex: int, note: str = "") -> Bound:
    return Bound(_open(order, ifindex, XDP_COPY, 0), ifindex, BindMode.COPY, note)


def _copied_instead(order: RingOrder, ifindex: int, note: str) -> Bound:
    """Copy on a queue where zero copy was just tried: the kernel gives the queue back from a worker, a moment later."""
    deadline_s = time.monotonic() + GIVEN_BACK_S
    while True:
        try:
            return _copied(order, ifindex, note)
        except Conflict:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(0.01)


def _open(order: RingOrder, ifindex: int, flags: int, fill_frames: int) -> Xsk:
    try:
        return open_xsk(ifindex, order.queue, shape_of(order, fill_frames), flags)
    except OSError as error:
        number, operation = error.errno or 0, str(error.args[1])
        said = f"{operation}: {NAMES.get(number, number)} ({os.strerror(number)})"
        if flags & XDP_ZEROCOPY and number in ZERO_COPY_REFUSED:
            raise _Refused(said) from error
        if number == errno.EBUSY:
            owner = f"another AF_XDP socket holds the queue: {said}"
            raise Conflict(subject=f"{order.interface} queue {order.queue}", owner=owner) from error
        raise KernelError(errno=number, operation=operation, ifname=order.interface, detail=os.strerror(number)) from error


def shape_of(order: RingOrder, fill_frames: int = 0) -> RingShape:
    """Size a ring: twice as many frames as its slots can hold, so that half can be written while the other half is sent."""
    size = order.parameters.ring
    return RingShape(
        frames=size.frames,
        frame_bytes=size.frame_bytes,
        tx_slots=size.descriptors,
        completion_slots=2 * size.descriptors,
        fill_slots=FILL_FRAMES,
        fill_frames=fill_frames,
    )


def _segments_refusal(order: RingOrder, ifindex: int) -> str:
    """Why the card cannot zero copy frames of this length, empty when nothing says so. The kernel's no has no number."""
    wanted, taken = order.parameters.ring.descriptors_per_frame, zero_copy_segments(ifindex)
    if taken is None or wanted <= taken:
        return ""
    limit = "one buffer" if taken == 1 else f"{taken} buffers"
    return f"the card takes at most {limit} a packet, frameBytes {order.parameters.ring.frame_bytes} needs {wanted}"


def _check_buffers(order: RingOrder) -> None:
    """Raise NotSupported where the kernel knows no packet of several buffers and the order's frames need them."""
    ring = order.parameters.ring
    if ring.descriptors_per_frame == 1:
        return
    try:
        if takes_several_buffers():
            return
    except OSError as error:
        raise KernelError(errno=error.errno or 0, operation="socket(AF_XDP)", ifname=order.interface) from error
    detail = (
        f"Linux {platform.release()} sends no AF_XDP packet of several buffers, 6.6 and later do: frameBytes can be 4096 here"
    )
    raise NotSupported(subject=f"frameBytes {ring.frame_bytes} on {order.interface} queue {order.queue}", detail=detail)


def _check_queue(order: RingOrder) -> None:
    queues = len(list((SYS_NET / order.interface / "queues").glob("tx-*")))
    if not queues:  # its folder goes before, and comes after, what netlink knows of it
        raise Transient(operation="open ring", detail=f"the interface {order.interface} is just coming or going")
    if order.queue >= queues:
        raise NotSupported(subject=f"{order.interface} queue {order.queue}", detail=f"the interface has {queues} TX queues")
