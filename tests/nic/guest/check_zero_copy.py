"""Zero copy on a card's real driver: refused where the queue receives, granted and whole where it does not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from spillway_dataplane.kernel.cards import received_packets, zero_copy_refusal
from spillway_dataplane.kernel.xsk import XDP_ZEROCOPY, RingShape, Xsk, open_xsk
from spillway_dataplane.kernel.zero_copy import NOT_NOW, QueueWatch, Rings, kick, prove_zero_copy
from tests.nic.guest.cable import Cable, frame
from tests.nic.qemu import CARD_MAC, FAR_MAC

FRAMES = 1000
BATCH = 64
SHAPE = RingShape(frames=512, frame_bytes=2048, tx_slots=256, completion_slots=512, fill_slots=256, fill_frames=256)


@contextmanager
def bound(cable: Cable, queue: int) -> Iterator[Xsk]:
    cable.wait_for_carrier()
    xsk = open_xsk(cable.ifindex, queue, SHAPE, XDP_ZEROCOPY)
    try:
        yield xsk
    finally:
        xsk.close()


@pytest.mark.parametrize("queue", [1, 2, 3])
def test_a_queue_in_the_table_is_refused_and_the_command_for_it_helps(native: Cable, queue: int) -> None:
    refusal = zero_copy_refusal(native.ifname, queue)
    assert refusal is not None
    command = refusal.split("`")[1].split()
    native.ethtool(command[1], *command[3:])
    assert zero_copy_refusal(native.ifname, queue) is None


def test_queue_0_is_never_granted(native: Cable) -> None:
    native.spread_over(1, 2)
    assert "queue 0 receives" in (zero_copy_refusal(native.ifname, 0) or "")


@pytest.mark.parametrize("queue", [1, 2, 3])
def test_a_queue_taken_out_sends_and_the_others_lose_nothing(native: Cable, queue: int) -> None:
    native.spread_over(*({0, 1, 2, 3} - {queue}))
    with bound(native, queue) as xsk:
        assert prove_zero_copy(xsk, native.ifname, queue)
        far, near, before = native.listen_far(), native.listen(), received_packets(native.ifname, queue)
        traffic = Thread(target=native.send_from_far, args=(FRAMES,))
        traffic.start()
        send(xsk, FRAMES)
        traffic.join()
        assert far.numbers(FRAMES) == list(range(FRAMES))
        assert near.numbers(FRAMES) == list(range(FRAMES))
        assert received_packets(native.ifname, queue) == before
        assert QueueWatch(native.ifname, queue, xsk).look() == ""


def send(xsk: Xsk, count: int) -> None:
    """The plainest way through the rings: a batch, a kick, its completions."""
    target, source = (bytes.fromhex(mac.replace(":", "")) for mac in (FAR_MAC, CARD_MAC))
    with Rings(xsk) as rings:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            for number in numbers:
                rings.offer(frame(target, source, number), number % SHAPE.frames)
            wait_for_completions(xsk, rings, len(numbers))


def wait_for_completions(xsk: Xsk, rings: Rings, missing: int) -> None:
    ends = time.monotonic() + 20
    while missing:
        assert (refused := kick(xsk.fd)) in {0, *NOT_NOW}, os.strerror(refused)
        missing -= rings.take_back()
        assert time.monotonic() < ends, f"{missing} frames were not completed"
        time.sleep(0.001)
