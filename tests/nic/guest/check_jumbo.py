"""Packets above a page through a real driver in copy mode, and a card that is busy: the kernel then goes back over a packet."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy
import pytest

from spillway_crds.streams import BindMode
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream import LinkState, Ring, connect
from tests.kernel.namespaces import inside
from tests.nic.guest.cable import ETH_P_ALL, SO_RCVBUFFORCE, Cable, run
from tests.nic.guest.rings import order, wait_for

MTU, SIZE = 9000, 8972
PACKETS, AT_ONCE = 3000, 32
FEWEST = {"igb": 80}  # descriptors of the card's own ring, where it can have few: it is busy all the time then


@pytest.fixture
def wide(cable: Cable) -> Iterator[Cable]:
    """The cable with an MTU for such packets. No program is on the card: with one it takes none."""
    with inside(cable.far_net):
        run("ip", "link", "set", cable.far, "mtu", str(MTU))
    run("ip", "link", "set", cable.ifname, "mtu", str(MTU))
    cable.wait_for_carrier()
    yield cable
    run("ip", "link", "set", cable.ifname, "mtu", "1500")
    cable.wait_for_carrier()


class Far:
    """Numbers of the whole packets that came; of others their length.

    Their order is not the card's: QEMU holds a packet for which the far end has no buffer back behind the next one.
    """

    def __init__(self, cable: Cable) -> None:
        with inside(cable.far_net):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
        with inside(cable.far_net):
            self._socket.bind((cable.far, ETH_P_ALL))
        self._socket.settimeout(1.0)
        self.numbers: list[int] = []
        self.strange: list[int] = []
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        while True:
            try:
                frame = self._socket.recv(1 << 16)
            except TimeoutError:
                return
            payload = frame[42:]
            if len(payload) == SIZE and payload == payload[:4] * (SIZE // 4):
                self.numbers.append(int.from_bytes(payload[:4], "big"))
            elif len(frame) > 1000:
                self.strange.append(len(frame))

    def ended(self) -> tuple[list[int], list[int]]:
        self._thread.join()
        self._socket.close()
        return sorted(self.numbers), self.strange


def send(ring: Ring) -> None:
    for first in range(0, PACKETS, AT_ONCE):
        batch = numpy.arange(first, min(first + AT_ONCE, PACKETS))
        block = ring.reserve(len(batch), timeout_s=30)
        words = batch.astype(">u4").view(numpy.uint8).reshape(-1, 4)
        ring.payload[block, :SIZE] = numpy.tile(words, SIZE // 4)
        ring.send(size=SIZE)
    assert ring.drain(30) == 0


def test_long_packets_leave_whole_and_each_once(wide: Cable, keeper: RingKeeper) -> None:
    if fewest := FEWEST.get(wide.driver):
        wide.ethtool("-G", "tx", str(fewest))
    wanted = order(wide, 3, BindMode.COPY, frame_bytes=16384)
    keeper.open(wanted)
    with connect(str(wanted.directory / "ring.sock"), timeout_s=30) as ring:
        wait_for(lambda: ring.facts.state is LinkState.READY and ring.facts.mtu == MTU, lambda: ring.facts)
        far = Far(wide)
        send(ring)
        stats = ring.stats
    assert far.ended() == (list(range(PACKETS)), [])
    assert (stats.completed, stats.invalid) == (PACKETS, 0)
    assert stats.kicks > stats.batches, "the card was never busy"
