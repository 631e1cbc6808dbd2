"""Servers that die, come back, take rings away, lie or say nothing, and signals: no call of the library hangs for any of them."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, open_descriptors
from tests.kernel.ring_server import RingNode, header_page, ring_node
from tests.kernel.ring_steps import send, wait_until
from tests.kernel.ring_wire import address, wire

from spillway_crds.streams import Flow
from spillway_dataplane.kernel import if_xdp
from spillway_stream import Lost, NotDrained, RingError, connect, tai_ns
from spillway_stream.pages import Page
from spillway_stream.wire import HelloFlag, encode_refused, encode_ring, encode_wait

FLOW = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)
OTHER_MAC = bytes.fromhex("02aabbccddee")


@pytest.fixture
def page(netns_pair: NetnsPair) -> Page:
    return header_page(netns_pair, FLOW)


# ---- the server's deaths --------------------------------------------------------------------------------------------------


def test_the_stream_outlives_its_server(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """It goes on without one, shows the next one the ring it holds, and follows that one's page."""
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far, connect(node.path, timeout_s=5) as ring:
        send(ring, 50)
        node.stop()
        assert send(ring, 50) == 50
        node.page = header_page(netns_pair, FLOW, target_mac=OTHER_MAC)
        node.new_pages()
        node.start()
        wait_until("resumed", lambda: ring.stats.resumed == 1)
        assert node.hellos == [HelloFlag(0), HelloFlag.RESUMING]
        assert send(ring, 50) == 50
        assert [seen.target_mac for seen in far.packets(150)] == [netns_pair.peer_mac] * 100 + [OTHER_MAC] * 50
        wait_until("a report in the new page", lambda: (found := node.report()) is not None and found.packets == 150)


def test_a_ring_that_was_given_away_is_lost(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    def refuse(client: socket.socket, _: RingNode) -> None:
        client.recv(4096)
        client.send(encode_refused(116, "this ring belongs to studio/other now"))
        client.close()

    with ring_node(netns_pair, tmp_path, page) as node, connect(node.path, timeout_s=5) as ring:
        node.stop()
        node.script = refuse
        node.start()
        with pytest.raises(Lost, match="studio/other now"):
            wait_until("lost", lambda: send(ring, 1) == 0)
        node.script = None


def test_a_holder_that_is_refused_has_lost_its_ring(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, connect(node.path, timeout_s=5) as ring:
        send(ring, 1)
        wait_until("the node knows its holder", lambda: node.holder is not None)
        assert node.holder is not None
        node.holder.send(encode_refused(116, "the interface spw0 left the node"))
        with pytest.raises(Lost, match="left the node"):
            wait_until("lost", lambda: send(ring, 1) == 0)


# ---- servers that nobody should run -----------------------------------------------------------------------------------------


def silent(client: socket.socket, _: RingNode) -> None:
    KEPT.append(client)


def closes(client: socket.socket, _: RingNode) -> None:
    client.close()


def garbage(client: socket.socket, _: RingNode) -> None:
    client.send(os.urandom(4096))
    KEPT.append(client)


def waits_for_ever(client: socket.socket, _: RingNode) -> None:
    for _ in range(100):
        client.send(encode_wait("nobody " * 100))
    KEPT.append(client)


def no_descriptors(client: socket.socket, node: RingNode) -> None:
    client.send(encode_ring(node.offer))
    KEPT.append(client)


def many_descriptors(client: socket.socket, node: RingNode) -> None:
    socket.send_fds(client, [encode_wait("x")], [0] * 200)
    KEPT.append(client)


def other_descriptors(client: socket.socket, node: RingNode) -> None:
    with Path("/dev/null").open("rb") as null:
        socket.send_fds(client, [encode_ring(node.offer)], [null.fileno()] * 4)
    KEPT.append(client)


def short_memory(client: socket.socket, node: RingNode) -> None:
    fds = node.fds()
    socket.send_fds(client, [encode_ring(replace(node.offer, umem_bytes=1 << 40, frames=1 << 20))], fds)
    KEPT.append(client)


def long_rings(client: socket.socket, node: RingNode) -> None:
    socket.send_fds(client, [encode_ring(replace(node.offer, tx_descriptors=1 << 20))], node.fds())
    KEPT.append(client)


def small_page(client: socket.socket, node: RingNode) -> None:
    fd = os.memfd_create("small")
    socket.send_fds(client, [encode_ring(node.offer)], [*node.fds()[:2], fd, fd])
    os.close(fd)
    KEPT.append(client)


def memory_to_cut(client: socket.socket, node: RingNode) -> None:
    """Pages of the right size that could be truncated under the reader."""
    fd = os.memfd_create("open")
    os.ftruncate(fd, 1 << 20)
    socket.send_fds(client, [encode_ring(node.offer)], [*node.fds()[:2], fd, fd])
    os.close(fd)
    KEPT.append(client)


KEPT: list[socket.socket] = []
SERVERS = [
    silent, closes, garbage, waits_for_ever, no_descriptors, many_descriptors, other_descriptors, short_memory, long_rings,
    small_page,
    memory_to_cut,
]  # fmt: skip


@pytest.mark.parametrize("script", SERVERS)
def test_no_server_hangs_the_library(
    netns_pair: NetnsPair, tmp_path: Path, page: Page, script: Callable[[socket.socket, RingNode], None]
) -> None:
    """Every call ends by itself with an error of ours, and nothing stays open."""
    with ring_node(netns_pair, tmp_path, page, script=script) as node:
        before = open_descriptors()
        with pytest.raises(RingError):
            connect(node.path, timeout_s=0.4)
        node.script = None
        while KEPT:
            KEPT.pop().close()
        wait_until(
            "nothing is left open", lambda: not [each for each in set(open_descriptors()) - set(before) if "socket" not in each]
        )


@pytest.mark.parametrize("script", SERVERS)
def test_no_server_disturbs_a_running_stream(
    netns_pair: NetnsPair, tmp_path: Path, page: Page, script: Callable[[socket.socket, RingNode], None]
) -> None:
    """A server that dies and comes back as one of these: packets go on, and closing the ring takes no longer than it may."""
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far:
        with connect(node.path, timeout_s=5) as ring:
            send(ring, 10)
            node.stop()
            node.script = script
            node.start()
            for _ in range(10):
                time.sleep(0.05)
                assert send(ring, 10) == 10
            begin = time.monotonic()
        assert time.monotonic() - begin < 5
        assert len(far.packets(110)) == 110
        while KEPT:
            KEPT.pop().close()


# ---- what another holder left ---------------------------------------------------------------------------------------------


def test_a_ring_that_never_empties_is_not_taken(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """A holder that wrote nonsense into the producer: billions of descriptors are in the way. The next one says so in time."""
    with ring_node(netns_pair, tmp_path, page) as node:
        write_producer(node, 1 << 31)
        begin = time.monotonic()
        with pytest.raises(NotDrained):
            connect(node.path, timeout_s=30)
        assert time.monotonic() - begin < 20


def test_descriptors_without_sense_that_come_to_an_end(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    with ring_node(netns_pair, tmp_path, page) as node, wire(netns_pair) as far:
        write_producer(node, 200)
        with connect(node.path, timeout_s=30) as ring:
            assert send(ring, 100) == 100
            assert (ring.drain(), ring.stats.completed) == (0, 100)
        assert len(far.packets(100)) == 100


def write_producer(node: RingNode, value: int) -> None:
    """As a process with the descriptors can at any time. The ring is fresh: its descriptors are all zero, and refused."""
    offsets = if_xdp.OFFSETS.unpack(node.opened._socket.getsockopt(if_xdp.SOL_XDP, if_xdp.XDP_MMAP_OFFSETS, if_xdp.OFFSETS.size))
    with mmap.mmap(node.opened.fd, offsets[6] + node.offer.tx_descriptors * 16, offset=if_xdp.PGOFF_TX_RING) as ring:
        ring[offsets[4] : offsets[4] + 4] = struct.pack("<I", value)


# ---- signals --------------------------------------------------------------------------------------------------------------


class Alarm(Exception):
    """What the handler raises."""


@contextmanager
def alarm(after_s: float) -> Iterator[None]:
    """The block is interrupted by an exception out of a signal handler."""

    def ring_it(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring_it)
    with pytest.raises(Alarm):
        signal.setitimer(signal.ITIMER_REAL, after_s)
        yield
    signal.signal(signal.SIGALRM, before)


def test_a_signal_ends_the_wait_for_a_ring(tmp_path: Path) -> None:
    with alarm(0.3):
        connect(str(tmp_path / "nothing"), waiting=lambda _: None)


def test_a_signal_ends_the_wait_for_the_schedule(netns_pair: NetnsPair, tmp_path: Path, page: Page) -> None:
    """What was not due yet was not sent, and can still be."""
    with ring_node(netns_pair, tmp_path, page) as node, connect(node.path, timeout_s=5) as ring:
        ring.reserve(2)
        with alarm(0.3):
            ring.send(size=10, at_tai_ns=tai_ns() + 9_000_000_000)
        assert ring.stats.packets == 0
        assert ring.send(size=10) == 2
