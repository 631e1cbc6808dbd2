"""A hostile application: whatever it sends, keeps or never reads, other rings are served and nothing of the node's piles up."""

from __future__ import annotations

import array
import contextlib
import ctypes as ct
import errno
import fcntl
import mmap
import os
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip, open_descriptors
from tests.kernel.ring_client import HeldRing, ask, connect, hold, receive, refusal
from tests.kernel.ring_lab import make_order, numbered, numbers, until

from spillway_dataplane.stream import seats
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder
from spillway_stream.pages import REPORT_BYTES, LinkState
from spillway_stream.wire import HEAD, MAGIC, VERSION, MessageType, encode_hello

SEED = 20261123


@pytest.fixture
def order(keeper: RingKeeper, tmp_path: Path) -> RingOrder:
    made = make_order(tmp_path)
    keeper.open(made)
    return made


class Neighbour:
    """A well-behaved application on another queue, and how long it waits for its ring each time."""

    def __init__(self, keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
        self.order, self.node = make_order(tmp_path, 2, name="neighbour"), node
        keeper.open(self.order)

    def is_served(self) -> None:
        began = time.monotonic()
        held = hold(self.order.directory)
        assert time.monotonic() - began < 3
        held.until(LinkState.READY)
        with self.node.peer_listen() as listener:
            held.send(numbered(held, 0, 100))
            assert numbers(listener.frames(100)) == list(range(100))
        held.close()


@pytest.fixture
def neighbour(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> Neighbour:
    return Neighbour(keeper, tmp_path, node)


def descriptors() -> list[str]:
    """Which descriptors are open, without their numbers."""
    return sorted(each.split(" ", 1)[1] for each in open_descriptors())


def settled() -> list[str]:
    """The same, once it rests."""
    before = [""]
    while (now := descriptors()) != before:
        before = now
        time.sleep(0.15)
    return now


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def assert_nothing_is_left(before: list[str]) -> None:
    deadline = time.monotonic() + 5
    while (now := descriptors()) != before:
        assert time.monotonic() < deadline, set(now) - set(before)
        time.sleep(0.02)


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


# ---- on the socket --------------------------------------------------------------------------------------------------------


def greetings(count: int) -> Iterator[bytes]:
    chance = random.Random(SEED)
    for _ in range(count):
        noise = chance.randbytes(chance.choice((1, 7, 8, 9, 12, 13, 100, 4095, 4096, 5000, 60_000)))
        yield noise
        yield HEAD.pack(MAGIC, VERSION, chance.randrange(1 << 16)) + noise
        yield HEAD.pack(MAGIC, VERSION, MessageType.HELLO) + struct.pack("<I", chance.randrange(2, 1 << 32))


def test_random_greetings_end_the_connection_and_nothing_else(order: RingOrder, neighbour: Neighbour) -> None:
    before = settled()
    for greeting in greetings(15):
        connection = connect(order.directory)
        connection.send(greeting)
        assert is_ended(connection), greeting
        connection.close()
    neighbour.is_served()
    assert_nothing_is_left(before)
    hold(order.directory).close()


def test_descriptors_that_nobody_asked_for_are_closed(order: RingOrder, neighbour: Neighbour) -> None:
    before = settled()
    with Path("/dev/null").open() as null:
        for greeting in (b"", b"x", encode_hello(), encode_hello(resuming=True)):
            for count in (1, 2, 3, 250):
                connection = connect(order.directory)
                rights = array.array("i", [null.fileno()] * count)
                connection.sendmsg([greeting], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                with contextlib.suppress(OSError):
                    connection.sendmsg([b"more"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                while not is_ended(connection):
                    pass
                connection.close()
    neighbour.is_served()
    assert_nothing_is_left(before)


def test_resuming_with_what_is_no_ring(order: RingOrder) -> None:
    held = hold(order.directory)
    for descriptors in ([0, 0], [held.descriptors[1], held.descriptors[0]], [held.descriptors[0]], []):
        connection = connect(order.directory)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        connection.sendmsg([encode_hello(resuming=True)], rights)
        assert refusal(connection)[0] == errno.ESTALE
        assert is_ended(connection)


def test_a_holder_that_says_more_than_a_greeting_has_held_it(order: RingOrder, keeper: RingKeeper) -> None:
    held = hold(order.directory)
    held.connection.send(b"anything")
    assert is_ended(held.connection)
    until(keeper, holder="")


def test_a_flood_of_connections(order: RingOrder, neighbour: Neighbour, keeper: RingKeeper) -> None:
    """It waits in the socket's own backlog; the node takes so many a second and keeps so many at once."""
    before, stop, resident = settled(), threading.Event(), resident_bytes()

    def flood() -> None:
        kept: list[socket.socket] = []
        while not stop.is_set():
            each = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            folder = os.open(order.directory, os.O_PATH)
            with contextlib.suppress(BlockingIOError):
                each.connect(f"/proc/self/fd/{folder}/ring.sock")
                with contextlib.suppress(OSError):
                    each.send(encode_hello())
            os.close(folder)
            kept.append(each)
            if len(kept) > 300:
                kept.pop(0).close()
            time.sleep(0.0005)
        for each in kept:
            each.close()

    thread = threading.Thread(target=flood)
    thread.start()
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(4):
        neighbour.is_served()
        time.sleep(0.2)
    assert until(keeper).waiting <= seats.MAX_CLIENTS
    stop.set()
    thread.join()
    hold_when_drained(order)
    assert resident_bytes() - resident < 32 << 20
    now = resource.getrusage(resource.RUSAGE_SELF)
    busy = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    assert busy < 0.9 * (time.monotonic() - began)  # of one core, the flood itself included
    assert_nothing_is_left(before)


def hold_when_drained(order: RingOrder) -> None:
    """What the flood left in the backlog is taken first, so many a second."""
    deadline = time.monotonic() + 5
    while True:
        try:
            hold(order.directory).close()
            return
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_node_without_descriptors_hands_over_once_it_has_some(order: RingOrder) -> None:
    """Whatever took them: who waits goes on waiting, and nobody is lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connection = connect(order.directory)
    time.sleep(0.1)
    highest = max(int(each.split(" ", 1)[0]) for each in open_descriptors())
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest, 10), hard))
    try:
        connection.send(encode_hello())
        assert receive(connection)[0] is MessageType.WAIT
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    HeldRing.taken(connection).close()


def test_who_never_greets_is_sent_away(order: RingOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "GREETING_S", 0.3)
    silent = [connect(order.directory) for _ in range(seats.MAX_CLIENTS)]
    number, text = refusal(connect(order.directory))
    assert (number, text) == (errno.EAGAIN, "16 connections to this ring are open already")
    assert all(is_ended(each) for each in silent)
    hold(order.directory).close()


def test_who_never_reads_waits_and_gets_the_ring_in_its_turn(order: RingOrder, neighbour: Neighbour, keeper: RingKeeper) -> None:
    held = hold(order.directory)
    deaf = [ask(order.directory) for _ in range(10)]
    until(keeper, waiting=10)
    neighbour.is_served()
    held.close()
    until(keeper, waiting=9)
    for each in deaf:
        each.close()
    hold(order.directory).close()


def test_a_descriptor_whose_close_lingers_stops_its_own_ring_only(
    order: RingOrder, neighbour: Neighbour, keeper: RingKeeper, node: NetnsPair
) -> None:
    """A TCP socket with unsent data and a long SO_LINGER makes whoever closes it last wait: here the node."""
    ip("link set lo up")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    slow = socket.create_connection(listener.getsockname())
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 4))
    slow.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            slow.send(bytes(1 << 20))
    connection = connect(order.directory)
    rights = array.array("i", [slow.fileno(), slow.fileno()])
    connection.sendmsg([encode_hello(resuming=True)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    slow.close()
    time.sleep(0.2)
    neighbour.is_served()
    began = time.monotonic()
    assert {status.key for status in keeper.statuses()} == {"cam/ring", "neighbour/ring"}
    keeper.close(order.key)
    assert time.monotonic() - began < 3.5
    neighbour.is_served()
    listener.close()
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))


# ---- in the shared memory -------------------------------------------------------------------------------------------------


def test_random_rings_and_descriptors(order: RingOrder, neighbour: Neighbour, keeper: RingKeeper) -> None:
    """The kernel drops and counts what is no frame; the next holder gets a ring that works."""
    chance = random.Random(SEED)
    for turn in range(12):
        held = hold(order.directory)
        if turn % 2:
            held.tx[:] = chance.randbytes(len(held.tx))
            held.done[:] = chance.randbytes(len(held.done))
        else:
            for slot in range(64):
                held.describe(slot, chance.randrange(1 << 64), chance.randrange(1 << 32))
            at = held._at[4]
            held.tx[at : at + 4] = struct.pack("=I", held._u32(held.tx, at) + 64 & 0xFFFFFFFF)
        for _ in range(3):
            with contextlib.suppress(OSError):
                held.kick()
        held.close()
    neighbour.is_served()
    last = hold(order.directory)
    last.until(LinkState.READY)
    last.close()


def test_invalid_descriptors_are_counted(order: RingOrder, keeper: RingKeeper) -> None:
    held = hold(order.directory)
    held.put([b""] * 10)
    for slot in range(10):
        held.describe(slot, held.offer.umem_bytes + slot, 60)
    with contextlib.suppress(OSError):
        held.kick()
    deadline = time.monotonic() + 5
    while not until(keeper).kernel.tx_invalid_descriptors:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_report_of_random_bytes(order: RingOrder, neighbour: Neighbour, keeper: RingKeeper) -> None:
    held, chance = hold(order.directory), random.Random(SEED)
    last = 0
    for _ in range(8):
        held.report_memory[:] = chance.randbytes(REPORT_BYTES)
        held.report(packets=chance.randrange(1 << 64), bytes=(1 << 64) - 1, late=chance.randrange(1 << 64))
        time.sleep(0.3)
        counters = until(keeper).counters
        assert last <= counters.packets < 1 << 53
        last = counters.packets
    neighbour.is_served()


@pytest.mark.parametrize(
    "flag", [os.O_APPEND, os.O_NONBLOCK, os.O_DIRECT, os.O_ASYNC], ids=["append", "nonblock", "direct", "async"]
)
def test_flags_of_descriptors_are_the_holders_own(order: RingOrder, neighbour: Neighbour, keeper: RingKeeper, flag: int) -> None:
    """They are shared with the node's own descriptor: what it and the next holder do must not hang on them."""
    held = hold(order.directory)
    held.until(LinkState.READY)
    held.report(packets=7)
    for descriptor in held.descriptors:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flag)
        with contextlib.suppress(OSError):
            os.lseek(descriptor, 1000, os.SEEK_SET)
    held.close()
    heir = hold(order.directory)
    heir.until(LinkState.READY)
    os.pwrite(heir.descriptors[3], bytes(REPORT_BYTES), 0)
    heir.report(packets=5)
    deadline = time.monotonic() + 5
    while until(keeper).counters.packets != 12:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    neighbour.is_served()


def test_a_report_is_its_holders_alone(order: RingOrder, keeper: RingKeeper) -> None:
    """Who had the ring before may keep what it mapped, and writes nowhere."""
    before = hold(order.directory)
    before.report(packets=7)
    before.connection.close()
    heir = hold(order.directory)
    before.report(packets=1000)
    assert heir.report_memory[:] == bytes(REPORT_BYTES)
    heir.report(packets=5)
    deadline = time.monotonic() + 5
    while until(keeper).counters.packets != 12:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("which", [1, 2, 3], ids=["memory", "page", "report"])
def test_shared_memory_keeps_its_size_and_its_seals(order: RingOrder, which: int) -> None:
    """A shorter one would kill whoever reads it, a longer one would be the node's to pay, a seal would keep us out."""
    descriptor = hold(order.directory).descriptors[which]
    for size in (0, 1 << 30):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_the_header_page_is_the_nodes_alone(order: RingOrder) -> None:
    held = hold(order.directory)
    descriptor = held.descriptors[2]
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"mine", 0)
    for fresh in (descriptor, os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)):
        with pytest.raises(PermissionError):
            mmap.mmap(fresh, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fresh)


def test_the_frames_cannot_be_cut_under_the_kernel(order: RingOrder, node: NetnsPair) -> None:
    """A hole punched into the memory takes pages from the holder's mapping, not from the kernel's."""
    held = hold(order.directory)
    held.until(LinkState.READY)
    with node.peer_listen() as listener:
        held.send(numbered(held, 0, 10))
        punch_hole(held.descriptors[1], held.offer.umem_bytes)
        held.send([bytes(60)] * 10)
        assert len(listener.frames(20)) >= 20


def punch_hole(descriptor: int, size_bytes: int) -> None:
    keep_size, punch = 0x1, 0x2  # include/uapi/linux/falloc.h
    fallocate = ct.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ct.c_int, ct.c_int, ct.c_long, ct.c_long)
    assert fallocate(descriptor, keep_size | punch, 0, size_bytes) == 0


def test_a_holder_that_closes_in_the_middle_again_and_again(order: RingOrder, neighbour: Neighbour, node: NetnsPair) -> None:
    before = settled()
    for turn in range(30):
        connection = ask(order.directory)
        if turn % 3 == 0:
            connection.close()
        elif turn % 3 == 1:
            connection.shutdown(socket.SHUT_WR)
            connection.close()
        else:
            HeldRing.taken(connection).close()
    neighbour.is_served()
    held = hold(order.directory)
    held.until(LinkState.READY)
    held.drain()
    held.close()
    assert_nothing_is_left(before)
