"""Rings as a node keeps them, on a card's real driver: refused where the queue receives, granted and whole where it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import pytest

from spillway_crds.errors import Conflict, NotSupported
from spillway_crds.streams import BindMode, Flow, RingParameters, RingSize
from spillway_dataplane.kernel.cards import received_packets
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from tests.nic.guest.cable import FAR_ADDRESS, Cable

FRAMES = 1000
NOBODY = 65534
FLOW = Flow(destination=ip_address(FAR_ADDRESS), destination_port=5004)
RINGS = Path("/run/rings")


@pytest.fixture
def keeper(cable: Cable) -> Iterator[RingKeeper]:
    cable.wait_for_carrier()
    made = RingKeeper(patience_s=5)
    yield made
    for status in made.statuses():
        made.close(status.key)
    made.stop()


def order(cable: Cable, queue: int, mode: BindMode, name: str = "cam") -> RingOrder:
    directory = RINGS / name
    directory.mkdir(parents=True, exist_ok=True)
    parameters = RingParameters(FLOW, mode, ring=RingSize(descriptors=256, batch=32))
    return RingOrder(f"{name}/ring", directory, cable.ifname, queue, parameters, f"studio/{name}")


def application(wanted: RingOrder) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.nic.guest.application", str(wanted.directory / "ring.sock"), str(FRAMES)]
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
