"""Rings on real queues: opened by mode, handed to one holder after the other, known again after a restart."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.kernel.netpair import NetnsPair, ip, open_descriptors
from tests.kernel.ring_client import HeldRing, ask, hold, receive, refusal
from tests.kernel.ring_lab import keeping, make_order, numbered, numbers, until

from spillway_crds.errors import Conflict, NotSupported, Transient
from spillway_crds.streams import BindMode
from spillway_dataplane.kernel.if_xdp import XDP_COPY
from spillway_dataplane.kernel.xsk import Xsk
from spillway_dataplane.kernel.xsk_bind import open_xsk
from spillway_dataplane.stream import server
from spillway_dataplane.stream.binding import shape_of
from spillway_dataplane.stream.follower import Followed, Follower
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from spillway_dataplane.way.state import RingState
from spillway_stream.pages import LinkState
from spillway_stream.wire import Bind, MessageType


@pytest.fixture
def order(tmp_path: Path) -> RingOrder:
    return make_order(tmp_path / ("claims-of-a-path-longer-than-an-address-of-a-unix-socket-can-be" * 2))


def hold_queue(node: NetnsPair, order: RingOrder) -> Xsk:
    """As a stranger; the kernel gives a closed socket's queue back from a worker."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return open_xsk(node.ifindex, order.queue, shape_of(order), XDP_COPY)
        except OSError as error:
            assert error.errno == errno.EBUSY and time.monotonic() < deadline
            time.sleep(0.01)


def ready(directory: Path) -> HeldRing:
    held = hold(directory)
    held.until(LinkState.READY)
    return held


def test_a_ring_from_order_to_wire(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    keeper.open(order)
    held = ready(order.directory)
    assert (held.offer.queue, held.offer.bind, held.offer.frames, held.offer.stream) == (1, Bind.COPY, 512, "studio/cam")
    with node.peer_listen() as listener:
        held.send(numbered(held, 0, 1000))
        assert numbers(listener.frames(1000)) == list(range(1000))
    status = until(keeper, holder=f"process {os.getpid()} of uid 0")
    assert (order.directory / "ring.sock").stat().st_mode & 0o777 == 0o666
    assert (status.state, status.completed, status.mac) == (RingState.READY, True, node.mac.hex(":"))
    assert (status.source, status.next_hop, status.next_hop_mac) == ("10.9.0.1", "10.9.0.2", node.peer_mac.hex(":"))
    held.close()
    until(keeper, holder="")


def test_zero_copy_that_the_driver_has_not_is_refused_with_the_kernels_answer(keeper: RingKeeper, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="zero copy on spw0 queue 1: bind: EOPNOTSUPP"):
        keeper.open(make_order(tmp_path, mode=BindMode.ZERO_COPY))
    assert keeper.statuses() == ()


def test_preferred_zero_copy_falls_to_a_copy_and_says_so(keeper: RingKeeper, tmp_path: Path) -> None:
    status = keeper.open(make_order(tmp_path, mode=BindMode.PREFER))
    assert (status.bind_mode, status.bind_note) == (
        BindMode.COPY,
        "no zero copy: bind: EOPNOTSUPP (Operation not supported)",
    )


def test_a_copy_that_was_asked_for_needs_no_remark(keeper: RingKeeper, order: RingOrder) -> None:
    status = keeper.open(order)
    assert (status.bind_mode, status.bind_note, status.frames, status.umem_bytes) == (BindMode.COPY, "", 512, 512 * 2048)


def test_a_queue_that_is_not_there(keeper: RingKeeper, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="spw0 queue 4: the interface has 4 TX queues"):
        keeper.open(make_order(tmp_path, 4))


def test_an_interface_that_is_not_there(keeper: RingKeeper, order: RingOrder) -> None:
    ip("link set spw0 down")
    ip("link set spw0 name lan0")
    with pytest.raises(Transient, match="no interface spw0"):
        keeper.open(order)


def test_the_same_order_again_only_tells(keeper: RingKeeper, order: RingOrder) -> None:
    keeper.open(order)
    held = ready(order.directory)
    assert keeper.open(order).state is RingState.READY
    assert len(keeper.statuses()) == 1
    held.send(numbered(held, 0, 10))


def test_a_strangers_queue_is_a_conflict(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    stranger = open_xsk(node.ifindex, 1, shape_of(order), XDP_COPY)
    with pytest.raises(Conflict, match="spw0 queue 1: another AF_XDP socket holds the queue: bind: EBUSY"):
        keeper.open(order)
    stranger.close()
    assert keeper.open(order).bind_mode is BindMode.COPY


def test_a_queue_that_comes_free_is_waited_for(node: NetnsPair, order: RingOrder) -> None:
    stranger = open_xsk(node.ifindex, 1, shape_of(order), XDP_COPY)
    with keeping(patience_s=8) as keeper:
        threading.Timer(0.4, stranger.close).start()
        assert keeper.open(order).bind_mode is BindMode.COPY


def refused(keeper: RingKeeper, order: RingOrder) -> None:
    with pytest.raises(Conflict):
        keeper.open(order)


def test_waiting_for_a_queue_hinders_nobody(node: NetnsPair, tmp_path: Path) -> None:
    with keeping(patience_s=2.5) as keeper:
        keeper.open(make_order(tmp_path))
        late = threading.Thread(target=refused, args=(keeper, make_order(tmp_path, name="late")))
        late.start()
        began = time.monotonic()
        keeper.open(make_order(tmp_path, 2, name="other"))
        assert time.monotonic() - began < 2
        late.join()


def test_the_second_of_two_for_one_queue_learns_who_has_it(keeper: RingKeeper, order: RingOrder, tmp_path: Path) -> None:
    keeper.open(order)
    second = make_order(tmp_path, name="backup")
    with pytest.raises(Conflict, match="spw0 queue 1: studio/cam holds the queue"):
        keeper.open(second)
    keeper.close(order.key)
    assert keeper.open(second).bind_mode is BindMode.COPY


def test_two_rings_on_two_queues_send_side_by_side(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    rings = []
    for queue in (0, 3):
        each = make_order(tmp_path, queue, name=f"cam{queue}")
        keeper.open(each)
        rings.append(ready(each.directory))
    with node.peer_listen() as listener:
        for turn in range(5):
            for number, held in enumerate(rings):
                held.send(numbered(held, 1000 * number + 50 * turn, 50))
        expected = sorted([*range(250), *range(1000, 1250)])
        assert sorted(numbers(listener.frames(500))) == expected


# ---- holders --------------------------------------------------------------------------------------------------------------


def test_who_comes_second_waits_and_gets_the_same_ring(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    keeper.open(order)
    first, second = ready(order.directory), ask(order.directory)
    kind, text, _ = receive(second)
    assert (kind, text.decode()) == (MessageType.WAIT, f"process {os.getpid()} of uid 0 holds the ring of studio/cam")
    until(keeper, waiting=1)
    with node.peer_listen() as listener:
        first.send(numbered(first, 0, 100))
        cookie = first.socket.getsockopt(socket.SOL_SOCKET, 57, 8)
        first.close()
        heir = HeldRing.taken(second)
        assert heir.socket.getsockopt(socket.SOL_SOCKET, 57, 8) == cookie
        heir.send(numbered(heir, 100, 100))
        assert numbers(listener.frames(200)) == list(range(200))
    heir.close()


def test_an_application_killed_with_frames_in_flight(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    """What it had put into the ring leaves when the next holder kicks, then the next holder's own."""
    keeper.open(order)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        held = ready(order.directory)
        held.put(numbered(held, 0, 64))
        os.write(writing, b"!")
        signal.pause()
    assert os.read(reading, 1) == b"!"
    waiting = ask(order.directory)
    assert receive(waiting)[0] is MessageType.WAIT
    with node.peer_listen() as listener:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        heir = HeldRing.taken(waiting)
        heir.drain()
        heir.send(numbered(heir, 64, 64))
        assert numbers(listener.frames(128)) == list(range(128))
    heir.close()
    os.close(reading)
    os.close(writing)


def test_one_holder_at_any_time(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    """Six that come and go as they like; what each sends while it holds the ring arrives, and nobody is forgotten."""
    keeper.open(order)
    inside, turns, failures = [0], [0], list[str]()

    def come_and_go() -> None:
        for _ in range(5):
            held = hold(order.directory)
            inside[0] += 1
            if inside[0] != 1:
                failures.append("two at once")
            held.send(numbered(held, 0, 20))
            inside[0] -= 1
            turns[0] += 1
            held.close()

    first = ready(order.directory)
    with node.peer_listen() as listener:
        threads = [threading.Thread(target=come_and_go) for _ in range(6)]
        for each in threads:
            each.start()
        first.close()
        for each in threads:
            each.join(20)
        assert (failures, turns, len(numbers(listener.frames(600)))) == ([], [30], 600)


def test_a_ring_left_in_disorder_is_opened_anew(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    """Indices that no order of events leaves would have the next holder drain for hours."""
    keeper.open(order)
    vandal = ready(order.directory)
    at = vandal._at[4]
    vandal.tx[at : at + 4] = (1 << 30).to_bytes(4, "little")
    vandal.close()
    heir = ready(order.directory)
    with node.peer_listen() as listener:
        heir.send(numbered(heir, 0, 100))
        assert numbers(listener.frames(100)) == list(range(100))
    heir.close()


def test_a_zero_copy_queue_that_begins_to_receive_ends_the_ring(
    keeper: RingKeeper, order: RingOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No driver here has zero copy, so the watch of its queue is a fake; tests/nic has real ones."""
    monkeypatch.setattr(server, "INSPECT_EVERY_S", 0.1)
    keeper.open(order)
    held = ready(order.directory)
    ring = keeper._kept[order.key].ring
    ring._watch = SimpleNamespace(look=lambda: "the RSS table spreads to queue 1")
    number, text = refusal(held.connection)
    assert (number, text) == (errno.ESTALE, "zero copy ended: the RSS table spreads to queue 1")
    held.close()
    ready(order.directory).close()


def test_a_ring_given_back_tells_its_holder(keeper: RingKeeper, order: RingOrder) -> None:
    keeper.open(order)
    held = ready(order.directory)
    keeper.close(order.key)
    assert held.page().state is LinkState.GONE
    assert held.page().reason == "the claim was given back"
    assert held.connection.recv(10) == b""
    assert list(order.directory.iterdir()) == []
    held.close()


def test_nothing_is_left_open(node: NetnsPair, order: RingOrder) -> None:
    before = open_descriptors()
    with keeping() as keeper:
        for _ in range(3):
            keeper.open(order)
            held, other = ready(order.directory), ask(order.directory)
            assert receive(other)[0] is MessageType.WAIT
            other.close()
            held.close()
            keeper.close(order.key)
    assert open_descriptors() == before


# ---- what holders count ---------------------------------------------------------------------------------------------------


def test_counts_of_one_holder_after_the_other_add_up(keeper: RingKeeper, order: RingOrder) -> None:
    keeper.open(order)
    first = hold(order.directory)
    first.report(packets=1000, bytes=60_000, late=2)
    assert until(keeper, packets_per_second=0.0).counters.batches == 0
    deadline = time.monotonic() + 5
    while keeper.statuses()[0].counters.packets != 1000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.close()
    second = hold(order.directory)
    second.report(packets=10, bytes=600)
    while keeper.statuses()[0].counters.packets != 1010:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (keeper.statuses()[0].counters.bytes, keeper.statuses()[0].counters.late) == (60_600, 2)
    second.close()


def test_the_last_word_of_a_holder_counts(keeper: RingKeeper, order: RingOrder) -> None:
    """Also if the next one has the ring before anybody looked."""
    keeper.open(order)
    for number in range(1, 6):
        held = hold(order.directory)
        assert keeper.statuses()[0].counters.packets == 100 * (number - 1)
        held.report(packets=100)
        held.close()


# ---- restarts -------------------------------------------------------------------------------------------------------------


def test_a_restarted_node_takes_its_ring_back_from_the_application(node: NetnsPair, order: RingOrder) -> None:
    before = RingKeeper()
    before.open(order)
    held = ready(order.directory)
    held.report(packets=500)
    while before.statuses()[0].counters.packets != 500:
        time.sleep(0.05)
    before.stop()
    with node.peer_listen() as listener, keeping() as keeper:
        held.send(numbered(held, 0, 100))  # nobody keeps the ring meanwhile, and it sends
        status = keeper.open(order)
        assert (status.state, status.bind_mode) == (RingState.STARTING, None)
        assert "another AF_XDP socket holds the queue" in status.reason
        resumed = HeldRing.taken(held.resume(order.directory))
        assert until(keeper, state=RingState.READY).counters.packets == 500
        assert resumed.until(LinkState.READY).header == held.page().header
        resumed.send(numbered(resumed, 100, 100))
        assert numbers(listener.frames(200)) == list(range(200))
        held.close()
        resumed.close()


def test_a_ring_that_comes_back_before_its_way_was_looked_at(
    node: NetnsPair, order: RingOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applications are faster than the first look: the socket is there a moment before."""
    before = RingKeeper()
    before.open(order)
    held = ready(order.directory)
    before.stop()
    follow, resumed = Follower.follow, list[HeldRing]()

    def late(self: Follower, key: str, followed: Followed) -> None:
        resumed.append(HeldRing.taken(held.resume(order.directory)))
        follow(self, key, followed)

    monkeypatch.setattr(Follower, "follow", late)
    with keeping() as keeper:
        keeper.open(order)
        assert resumed[0].until(LinkState.READY)
        assert until(keeper, state=RingState.READY).bind_mode is BindMode.COPY


def test_after_a_restart_others_wait_for_who_holds_the_ring_already(node: NetnsPair, order: RingOrder) -> None:
    before = RingKeeper()
    before.open(order)
    held = ready(order.directory)
    before.stop()
    with keeping() as keeper:
        keeper.open(order)
        other = ask(order.directory)
        kind, text, _ = receive(other)
        assert kind is MessageType.WAIT
        assert b"is not open: spw0 queue 1: another AF_XDP socket holds the queue" in text
        resumed = HeldRing.taken(held.resume(order.directory))
        kind, text, _ = receive(other)
        assert (kind, b"holds the ring of studio/cam" in text) == (MessageType.WAIT, True)
        held.close()
        resumed.close()
        HeldRing.taken(other).close()


def test_after_a_restart_a_ring_that_nobody_holds_is_opened(node: NetnsPair, order: RingOrder) -> None:
    before = RingKeeper()
    before.open(order)
    before.stop()
    with keeping() as keeper:
        keeper.open(order)
        held = ready(order.directory)
        held.close()


def test_after_a_restart_a_ring_is_opened_once_its_last_holder_ends(node: NetnsPair, order: RingOrder) -> None:
    before = RingKeeper()
    before.open(order)
    held = ready(order.directory)
    before.stop()
    with keeping() as keeper:
        assert keeper.open(order).bind_mode is None
        waiting = ask(order.directory)
        held.close()
        HeldRing.taken(waiting).close()


def test_another_ring_cannot_be_passed_off_as_this_one(node: NetnsPair, order: RingOrder, tmp_path: Path) -> None:
    """As a pod of one claim would, to be told of as another's."""
    before = RingKeeper()
    foreign = make_order(tmp_path, 2, name="foreign")
    before.open(order)
    before.open(foreign)
    held, other = ready(order.directory), ready(foreign.directory)
    before.stop()
    with keeping() as keeper:
        keeper.open(order)
        number, text = refusal(other.resume(order.directory))
        assert (number, text) == (errno.ESTALE, "the ring that is resumed is not this claim's ring any more: ask for it anew")
        assert keeper.statuses()[0].bind_mode is None
        HeldRing.taken(held.resume(order.directory)).close()
    held.close()
    other.close()


def test_a_broken_connection_is_taken_up_again(keeper: RingKeeper, order: RingOrder) -> None:
    keeper.open(order)
    held = ready(order.directory)
    held.report(packets=7)
    held.connection.close()
    until(keeper, holder="")
    resumed = HeldRing.taken(held.resume(order.directory))
    resumed.report(packets=9)
    deadline = time.monotonic() + 5
    while keeper.statuses()[0].counters.packets != 9:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    held.close()
    resumed.close()


def test_a_boot_makes_the_record_worthless(keeper: RingKeeper, order: RingOrder, node: NetnsPair) -> None:
    keeper.open(order)
    keeper.stop()
    record = order.directory / ".ring.json"
    raw = json.loads(record.read_text())
    record.write_text(json.dumps({**raw, "boot_id": "another"}))
    held = hold_queue(node, order)
    with keeping() as later, pytest.raises(Conflict):
        later.open(order)
    held.close()
