"""What happens to a ring while it is held: headers and link states change, holders come and go."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip, open_descriptors
from tests.kernel.ring_server import header_page, ring_node
from tests.kernel.ring_steps import send, wait_until
from tests.kernel.ring_wire import address, wire

from spillway_crds.streams import Flow
from spillway_stream import (
    Gone,
    Held,
    LinkDown,
    LinkState,
    NoRing,
    NoRoute,
    NotReady,
    Rtp,
    Unresolved,
    connect,
)
from spillway_stream.pages import Page

FLOW = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)
OTHER_MAC = bytes.fromhex("02aabbccddee")
STATES = [
    pytest.param(LinkState.UNRESOLVED, Unresolved, id="unresolved"),
    pytest.param(LinkState.NO_ROUTE, NoRoute, id="no-route"),
    pytest.param(LinkState.LINK_DOWN, LinkDown, id="link-down"),
    pytest.param(LinkState.GONE, Gone, id="gone"),
]


@pytest.fixture
def page(netns_pair: NetnsPair) -> Page:
    return header_page(netns_pair, FLOW)


# ---- the header page ------------------------------------------------------------------------------------------------------


def test_frames_follow_the_next_hop(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """From the first packet after the change on, also in frames that were prepared before."""
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        send(ring, 64)
        ring.reserve(64)
        node.show(header_page(netns_pair, replace(FLOW, ttl=9), target_mac=OTHER_MAC))
        ring.send(size=100)
        seen = far.packets(128)
        assert [(each.target_mac, each.ttl) for each in seen] == [(netns_pair.peer_mac, 64)] * 64 + [(OTHER_MAC, 9)] * 64
        assert ring.stats.headers == 1


def test_a_header_that_changes_while_a_batch_waits(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """The batch was prepared ahead of its time; it leaves with the header of its time, and RTP's numbers do not jump."""
    with (
        ring_node(netns_pair, tmp_path, page) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, packets_per_second=2, rtp=Rtp(sequence=7)) as ring,
    ):
        changer = threading.Timer(0.2, node.show, [header_page(netns_pair, FLOW, target_mac=OTHER_MAC)])
        changer.start()
        send(ring, 1)
        send(ring, 1)
        changer.join()
        send(ring, 1)
        seen = far.packets(3)
        assert [each.target_mac for each in seen] == [netns_pair.peer_mac, OTHER_MAC, OTHER_MAC]
        assert [int.from_bytes(each.payload[2:4]) for each in seen] == [7, 8, 9]


def test_a_state_that_changes_while_a_batch_waits(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with (
        ring_node(netns_pair, tmp_path, page) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, packets_per_second=2, rtp=Rtp(sequence=7)) as ring,
    ):
        changer = threading.Timer(0.2, node.show, [replace(page, state=LinkState.NO_ROUTE)])
        changer.start()
        send(ring, 1)
        with pytest.raises(NoRoute):
            send(ring, 1)
        changer.join()
        node.show(page)
        assert ring.send(size=100) == 1
        assert [int.from_bytes(each.payload[2:4]) for each in far.packets(2)] == [7, 8]


@pytest.mark.parametrize(("state", "error"), STATES)
def test_states_are_errors_and_the_stream_goes_on(
    netns_pair: NetnsPair, tmp_path: Path, page: Page, state: LinkState, error: type[NotReady]
) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        send(ring, 10)
        node.show(replace(page, state=state, reason="because of the test"))
        ring.reserve(10)
        with pytest.raises(error, match="because of the test") as caught:
            ring.send(size=100)
        assert (caught.value.sent, caught.value.state, ring.facts.state) == (0, state, state)
        node.show(page)
        assert ring.send(size=100) == 10
        assert len(far.packets(20)) == 20


def test_dropping_keeps_step(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """With drop_when_not_ready a closed way costs packets, counted, and neither errors nor time. RTP shows what is missing."""
    with (
        ring_node(netns_pair, tmp_path, page, packets_per_second=2000) as node,
        wire(netns_pair) as far,
        connect(node.path, timeout_s=5, drop_when_not_ready=True, rtp=Rtp()) as ring,
    ):
        begin = time.monotonic()
        assert send(ring, 100) == 100
        node.show(replace(page, state=LinkState.UNRESOLVED))
        assert send(ring, 200) == 0
        node.show(page)
        assert send(ring, 100) == 100
        assert time.monotonic() - begin > 0.1  # 300 packets' time at least: the schedule went on
        assert (ring.stats.refused, ring.stats.packets) == (200, 200)
        numbers = [int.from_bytes(each.payload[2:4]) for each in far.packets(200)]
        assert numbers == [*range(100), *range(300, 400)]


def test_a_link_that_goes_down_under_the_ring(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """The kernel's word before the page's. What it had not taken goes when the link is up again."""
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        ip(f"link set {netns_pair.ifname} down")
        with pytest.raises(LinkDown) as caught:
            send(ring, 10)
        assert caught.value.sent == 10
        ip(f"link set {netns_pair.ifname} up")
        wait_until("the peer's carrier", lambda: "LOWER_UP" in netns_pair.peer_run("ip", "link", "show", netns_pair.peer))
        assert send(ring, 10) == 10
        assert ring.drain(2.0) == 0
        assert len(far.packets(20)) == 20


@pytest.mark.parametrize("drop", [False, True], ids=["errors", "drop"])
def test_an_interface_that_leaves_under_the_ring(netns_pair: NetnsPair, tmp_path: Path, page: Page, drop: bool) -> None:
    """The kernel unbinds the socket for good. Whoever drops what cannot be sent goes on until the node says that it is lost."""
    with ring_node(netns_pair, tmp_path, page) as node, connect(node.path, timeout_s=5, drop_when_not_ready=drop) as ring:
        send(ring, 10)
        ip(f"link delete {netns_pair.ifname}")
        if drop:
            assert send(ring, 10) == 10
        else:
            with pytest.raises(Gone):
                send(ring, 10)


def test_a_page_that_is_never_finished_changes_nothing(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        os.pwrite(node.page_fd, struct.pack("<Q", 7), 8)
        os.pwrite(node.page_fd, b"\xff" * 64, 168)
        assert send(ring, 50) == 50
        for sequence, nonsense in enumerate(
            (b"\xff" * 4080, struct.pack("<3I", 1, 1500, 0) + b"\xff" * 4068, struct.pack("<3I", 1, 1500, 20)), 4
        ):
            os.pwrite(node.page_fd, nonsense, 16)
            os.pwrite(node.page_fd, struct.pack("<Q", sequence * 2), 8)
            assert send(ring, 50) == 50
        assert {seen.target_mac for seen in far.packets(200)} == {netns_pair.peer_mac}


def test_without_a_header_there_is_no_ring_yet(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    nothing = Page(LinkState.UNRESOLVED, 1500, reason="10.1.0.2 does not answer")
    with ring_node(netns_pair, tmp_path, nothing) as node:
        with pytest.raises(Unresolved, match=r"10\.1\.0\.2 does not answer"):
            connect(node.path, timeout_s=0.3)
        told: list[str] = []
        later = threading.Timer(0.3, node.show, [page])
        later.start()
        with connect(node.path, timeout_s=10, waiting=told.append) as ring:
            assert send(ring, 5) == 5
        later.join()
        assert any("does not answer" in each for each in told)


# ---- holders ----------------------------------------------------------------------------------------------------------------


def test_a_second_process_waits_for_the_first(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far:
        with connect(node.path, timeout_s=5) as first:
            with pytest.raises(Held, match="studio/first"):
                connect(node.path, timeout_s=0.3)
            send(first, 100)
        wait_until("the first one's seat is free", lambda: node.holder is None)
        with connect(node.path, timeout_s=5) as second:
            assert (send(second, 100), second.stats.packets) == (100, 100)
        assert len(far.packets(200)) == 200


HOLDER = """
import sys
from spillway_stream import connect
ring = connect(sys.argv[1], timeout_s=10)
while True:
    ring.reserve(64)
    ring.send(size=1000)
    print(ring.stats.packets, flush=True)
"""


def test_a_holder_killed_with_frames_in_flight_leaves_a_whole_ring(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """The next one has every frame, also the ones that were out, and loses none of its own."""
    with ring_node(netns_pair, tmp_path, page, frames=512) as node:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, node.path], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        for _ in range(20):
            holder.stdout.readline()
        with wire(netns_pair) as far:
            holder.kill()
            holder.communicate()
            wait_until("the holder's seat is free", lambda: node.holder is None)
            with connect(node.path, timeout_s=10) as ring:
                for _ in range(8):
                    send(ring, 256, size=77)
                assert (ring.drain(), ring.stats.completed) == (0, 2048)
            mine = [frame for frame in far.raw(2048) if len(frame) == 42 + 77]
        assert len(mine) == 2048


def test_descriptors_and_threads_are_given_back(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node:
        before, threads = len(open_descriptors()), threads_of_this_process()
        for _ in range(5):
            with connect(node.path, timeout_s=5) as ring:
                send(ring, 5)
            wait_until("the seat is free", lambda: node.holder is None)
            with pytest.raises(NoRing):
                connect(str(tmp_path / "nothing"), timeout_s=0.0)
        assert (len(open_descriptors()), threads_of_this_process()) == (before, threads)


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_one_thread_at_a_time(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, connect(node.path, timeout_s=5) as ring:
        ring.pace(packets_per_second=2)
        send(ring, 1)
        ring.reserve(1)
        sender = threading.Thread(target=ring.send)
        sender.start()
        with pytest.raises(RuntimeError, match="another thread"):
            while sender.is_alive():
                ring.drain(0.0)
        sender.join()
