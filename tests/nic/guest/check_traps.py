"""What real drivers do that their flags and tables do not say, and that we see it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from spillway_crds.errors import NotSupported
from spillway_dataplane.kernel.cards import zero_copy_refusal
from spillway_dataplane.kernel.if_xdp import XDP_ZEROCOPY
from spillway_dataplane.kernel.steering import rss_table
from spillway_dataplane.kernel.xsk import RingShape, Xsk
from spillway_dataplane.kernel.xsk_bind import open_xsk
from spillway_dataplane.kernel.zero_copy import QueueWatch, complete_a_frame, prove_zero_copy
from tests.nic.guest.cable import Cable

SHAPE = RingShape(frames=512, frame_bytes=2048, tx_slots=256, completion_slots=512, fill_slots=256, fill_frames=256)
QUEUE = 3
PACKETS = 200


@contextmanager
def bound(cable: Cable) -> Iterator[Xsk]:
    """The kernel gives zero copy whatever is asked below: whether it is worth something is the question."""
    cable.wait_for_carrier()
    xsk = open_xsk(cable.ifindex, QUEUE, SHAPE, XDP_ZEROCOPY)
    try:
        assert xsk.zero_copy
        cable.wait_for_carrier()
        yield xsk
    finally:
        xsk.close()


def test_without_a_native_program_nothing_is_granted(cable: Cable) -> None:
    cable.spread_over(0, 1, 2)
    assert (
        zero_copy_refusal(cable.ifname, QUEUE)
        == f"{cable.ifname} has no native XDP program; a driver may bind without one and then send nothing"
    )


def test_a_driver_that_binds_without_a_program_is_seen_to_send_nothing(cable: Cable) -> None:
    """igb says zero copy and refuses each kick; virtio_net needs no program."""
    cable.spread_over(0, 1, 2)
    with bound(cable) as xsk:
        if cable.driver == "virtio_net":
            assert complete_a_frame(xsk, cable.ifname, QUEUE)
            return
        with pytest.raises(NotSupported, match=r"the bind was granted, but sending says EINVAL \(Invalid argument\)"):
            complete_a_frame(xsk, cable.ifname, QUEUE)


def test_a_table_that_the_device_forgot_is_seen_by_its_traffic(cable: Cable) -> None:
    """virtio_net forgets the table at an attach and goes on showing it; igb keeps it."""
    cable.spread_over(0, 1, 2)
    with cable.native_program():
        table = rss_table(cable.ifname)
        assert table is not None
        assert QUEUE not in table.entries
        assert zero_copy_refusal(cable.ifname, QUEUE) is None
        traffic = Thread(target=cable.send_from_far, args=(20 * PACKETS,))
        with bound(cable) as xsk:
            traffic.start()
            if cable.driver == "virtio_net":
                with pytest.raises(NotSupported, match=f"packets come to queue {QUEUE} of {cable.ifname}"):
                    prove_zero_copy(xsk, cable.ifname, QUEUE)
            else:
                assert prove_zero_copy(xsk, cable.ifname, QUEUE)
            traffic.join()


def test_a_table_that_is_put_back_under_a_ring_is_told(native: Cable) -> None:
    native.spread_over(0, 1, 2)
    with bound(native) as xsk:
        assert prove_zero_copy(xsk, native.ifname, QUEUE)
        watch = QueueWatch(native.ifname, QUEUE, xsk)
        assert watch.look() == ""
        native.spread_over(0, 1, 2, 3)
        assert "the RSS table spreads to queue 3" in watch.look()


def test_what_comes_to_the_queue_all_the_same_passes_on_and_is_not_in_the_holders_memory(native: Cable) -> None:
    native.spread_over(0, 1, 2)
    with bound(native) as xsk:
        assert prove_zero_copy(xsk, native.ifname, QUEUE)
        holders = os.pread(xsk.umem_fd, SHAPE.umem_bytes, 0)
        watch, mark = QueueWatch(native.ifname, QUEUE, xsk), xsk.received_mark()
        native.spread_over(QUEUE)
        near = native.listen()
        native.send_from_far(PACKETS)
        assert near.numbers(PACKETS) == list(range(PACKETS))
        assert xsk.received_mark() != mark
        assert watch.traffic().startswith(f"packets come to queue {QUEUE}")
        assert watch.traffic() == ""
        assert os.pread(xsk.umem_fd, SHAPE.umem_bytes, 0) == holders
