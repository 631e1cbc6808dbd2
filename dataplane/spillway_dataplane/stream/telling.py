"""A ring as others are told of it: the protocol's offer to its holder, the status for everybody."""

from __future__ import annotations

from dataclasses import replace

from spillway_crds.streams import BindMode
from spillway_dataplane.kernel.xsk import Xsk
from spillway_dataplane.stream.binding import Bound
from spillway_dataplane.stream.counting import Counting
from spillway_dataplane.stream.model import KernelCounters, RingOrder, RingStatus
from spillway_dataplane.way.plan import Way
from spillway_stream.wire import Bind, RingOffer

MODULUS = 1 << 32  # of a ring's free-running indices


def offer_of(order: RingOrder, bound: Bound) -> RingOffer:
    """What the holder is told of the ring."""
    shape, parameters = bound.xsk.shape, order.parameters
    return RingOffer(
        ifindex=bound.ifindex,
        queue=order.queue,
        frame_bytes=shape.frame_bytes,
        frames=shape.frames,
        tx_descriptors=shape.tx_slots,
        completion_descriptors=shape.completion_slots,
        fill_descriptors=shape.fill_slots,
        bind=Bind.ZERO_COPY if bound.mode is BindMode.ZERO_COPY else Bind.COPY,
        batch=parameters.ring.batch,
        flags=0,
        umem_bytes=shape.umem_bytes,
        packets_per_second=parameters.pacing.packets_per_second or 0,
        bits_per_second=parameters.pacing.bits_per_second or 0,
        interface=order.interface,
        stream=order.label,
    )


def status_of(order: RingOrder, way: Way, counting: Counting) -> RingStatus:
    """What is known without the kernel's socket."""
    return RingStatus(
        key=order.key,
        label=order.label,
        interface=order.interface,
        queue=order.queue,
        state=way.state,
        reason=way.reason,
        ifindex=way.ifindex,
        mac=way.mac.hex(":"),
        mtu_bytes=way.mtu_bytes,
        source=str(way.source or ""),
        next_hop=str(way.next_hop.address) if way.next_hop else "",
        next_hop_mac=way.next_hop_mac.hex(":"),
        **counting.shown(),
    )


def with_kernel(status: RingStatus, bound: Bound) -> RingStatus:
    """Add what the kernel's socket says of itself."""
    statistics, shape = bound.xsk.statistics(), bound.xsk.shape
    return replace(
        status,
        bind_mode=bound.mode,
        bind_note=bound.note,
        completed=bound.xsk.indices().completion_producer != 0,
        frames=shape.frames,
        umem_bytes=shape.umem_bytes,
        kernel=KernelCounters(tx_invalid_descriptors=statistics[2], tx_ring_empty_descriptors=statistics[5]),
    )


def is_disordered(xsk: Xsk) -> bool:
    """Whether the rings' indices are such as no order of events leaves: more in a ring than it has slots."""
    at, shape = xsk.indices(), xsk.shape
    sent = (at.tx_producer - at.tx_consumer) % MODULUS
    completed = (at.completion_producer - at.completion_consumer) % MODULUS
    return sent > shape.tx_slots or completed > shape.completion_slots
