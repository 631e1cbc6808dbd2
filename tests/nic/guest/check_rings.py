"""Rings as a node keeps them, on a card's real driver: refused where the queue receives, granted and whole where it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from threading import Thread

import pytest

from spillway_crds.errors import Conflict, NotSupported
from spillway_crds.streams import BindMode
from spillway_dataplane.kernel.cards import received_packets
from spillway_dataplane.kernel.netdev import zero_copy_segments
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from spillway_stream import LinkState, connect
from tests.nic.guest.application import send
from tests.nic.guest.cable import Cable, run
from tests.nic.guest.rings import order, until, wait_for

FRAMES = 1000
LATER = 1_000_000  # numbers of a second application's frames
NOBODY = 65534


def application(wanted: RingOrder, count: int = FRAMES) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.nic.guest.application", str(wanted.directory / "ring.sock"), str(count)]
    return subprocess.Popen(argv, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("queue", [1, 2, 3])
def test_a_queue_in_the_table_is_refused(native: Cable, keeper: RingKeeper, queue: int) -> None:
    with pytest.raises(NotSupported, match=f"the RSS table spreads to queue {queue}; `ethtool -X"):
        keeper.open(order(native, queue, BindMode.ZERO_COPY))
    assert keeper.statuses() == ()


def test_a_queue_in_the_table_copies_where_zero_copy_was_only_preferred(native: Cable, keeper: RingKeeper) -> None:
    status = keeper.open(order(native, 2, BindMode.PREFER))
    assert status.bind_mode is BindMode.COPY
    assert status.bind_note.startswith("no zero copy: the RSS table spreads to queue 2")


def test_queue_0_is_refused_also_out_of_the_table(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(1, 2, 3)
    with pytest.raises(NotSupported, match="queue 0 receives what no table and no rule sends elsewhere"):
        keeper.open(order(native, 0, BindMode.ZERO_COPY))


@pytest.mark.parametrize("queue", [1, 2, 3])
def test_a_queue_taken_out_sends_every_frame_and_the_others_lose_none(native: Cable, keeper: RingKeeper, queue: int) -> None:
    native.spread_over(*({0, 1, 2, 3} - {queue}))
    wanted = order(native, queue, BindMode.ZERO_COPY)
    status = keeper.open(wanted)
    assert (status.bind_mode, status.completed, status.bind_note) == (BindMode.ZERO_COPY, True, "")
    far, near, before = native.listen_far(), native.listen(), received_packets(native.ifname, queue)
    traffic = Thread(target=native.send_from_far, args=(FRAMES,))
    traffic.start()
    with application(wanted) as started:
        said, _ = started.communicate(timeout=120)
    traffic.join()
    assert (started.returncode, said) == (0, f"{FRAMES}\n")
    assert far.numbers(FRAMES) == list(range(FRAMES))
    assert near.numbers(FRAMES) == list(range(FRAMES))
    assert received_packets(native.ifname, queue) == before


def test_long_frames_copy_on_a_card_that_takes_one_buffer(native: Cable, keeper: RingKeeper) -> None:
    """The driver's own number decides before the card is touched, and the copies arrive."""
    native.spread_over(0, 1, 2)
    assert zero_copy_segments(native.ifindex) == 1
    with pytest.raises(NotSupported, match="the card takes at most one buffer a packet, frameBytes 16384 needs 4"):
        keeper.open(order(native, 3, BindMode.ZERO_COPY, frame_bytes=16384))
    wanted = order(native, 3, BindMode.PREFER, frame_bytes=16384)
    status = keeper.open(wanted)
    assert (status.bind_mode, status.frames) == (BindMode.COPY, 128)
    assert status.bind_note.startswith("no zero copy: the card takes at most one buffer a packet")
    far = native.listen_far()
    with connect(str(wanted.directory / "ring.sock"), timeout_s=30) as ring:
        send(ring, range(FRAMES))
    assert far.numbers(FRAMES) == list(range(FRAMES))


def test_a_queue_that_was_given_back_receives_again(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(0, 1, 2)
    keeper.open(order(native, 3, BindMode.ZERO_COPY))
    keeper.close("cam/ring")
    native.spread_over(3)
    near = native.listen()
    native.send_from_far(200)
    assert near.numbers(200) == list(range(200))


def test_a_queue_that_another_ring_has_is_a_conflict(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(0, 1, 2)
    keeper.open(order(native, 3, BindMode.ZERO_COPY))
    with pytest.raises(Conflict, match="studio/cam"):
        keeper.open(order(native, 3, BindMode.ZERO_COPY, "other"))


def test_an_application_that_is_killed_leaves_the_ring_to_the_next(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(0, 1, 2)
    wanted = order(native, 3, BindMode.ZERO_COPY)
    keeper.open(wanted)
    with application(wanted, count=LATER) as started:
        until(keeper, lambda status: status.counters.packets > 100)
        started.kill()
        started.communicate()
    far = native.listen_far()
    with connect(str(wanted.directory / "ring.sock"), timeout_s=30) as ring:
        send(ring, range(LATER, LATER + 200))
    seen = [number for number in far.numbers(200) if number >= LATER]
    assert seen == list(range(LATER, LATER + 200))


def test_a_table_that_is_put_back_ends_zero_copy_and_taken_out_again_begins_it(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(0, 1, 2)
    keeper.open(order(native, 3, BindMode.ZERO_COPY))
    native.spread_over(0, 1, 2, 3)
    ended = until(keeper, lambda status: status.bind_mode is None)
    assert "the RSS table spreads to queue 3" in ended.reason
    native.spread_over(0, 1, 2)
    assert until(keeper, lambda status: status.bind_mode is BindMode.ZERO_COPY).completed


def test_where_it_was_only_preferred_a_copy_takes_over(native: Cable, keeper: RingKeeper) -> None:
    native.spread_over(0, 1, 2)
    assert keeper.open(order(native, 3, BindMode.PREFER)).bind_mode is BindMode.ZERO_COPY
    native.spread_over(0, 1, 2, 3)
    copies = until(keeper, lambda status: status.bind_mode is BindMode.COPY)
    assert "the RSS table spreads to queue 3" in copies.bind_note


def down_and_up(cable: Cable) -> None:
    run("ip", "link", "set", cable.ifname, "down")
    run("ip", "link", "set", cable.ifname, "up")


def new_ring_sizes(cable: Cable) -> None:
    """igb takes all its queues down and up for it."""
    if cable.driver == "igb":
        cable.ethtool("-G", "tx", "512")


@pytest.mark.parametrize("disturb", [down_and_up, new_ring_sizes])
def test_a_ring_goes_on_behind_a_card_that_was_reset(native: Cable, keeper: RingKeeper, disturb: Callable[[Cable], None]) -> None:
    native.spread_over(0, 1, 2)
    wanted = order(native, 3, BindMode.ZERO_COPY)
    keeper.open(wanted)
    far = native.listen_far()
    with connect(str(wanted.directory / "ring.sock"), timeout_s=30) as ring:
        send(ring, range(200))
        disturb(native)
        native.wait_for_carrier()
        wait_for(lambda: ring.facts.state is LinkState.READY)
        send(ring, range(200, 400))
    assert far.numbers(400) == list(range(400))
    assert keeper.statuses()[0].bind_mode is BindMode.ZERO_COPY
