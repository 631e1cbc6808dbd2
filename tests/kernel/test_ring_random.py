"""Long random lives of a ring, compared packet by packet with what was asked for."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import numpy as np
import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_server import RingNode, header_page, ring_node
from tests.kernel.ring_steps import wait_until
from tests.kernel.ring_wire import read, wire

from spillway_crds.streams import Flow
from spillway_stream import FrameTooLong, LinkState, NotReady, Ring, connect

FLOWS = [
    Flow(ip_address("10.1.0.2"), 5004, ip_address("10.1.0.1"), 5006),
    Flow(ip_address("2001:db8::2"), 5004, ip_address("2001:db8::1"), 5006),
]
STEPS, FRAMES = 120, 256
RAW_KIND = b"\x88\xb5"
LINKS = {2048: 1500, 16384: 9000}  # the MTU for frames of so many bytes
LIVES = [
    *(pytest.param(seed, 2048, id=f"{seed}") for seed in range(4)),
    *(pytest.param(seed, 16384, id=f"{seed}-long") for seed in range(2)),
    *(pytest.param(seed, 2048, id=f"{seed}", marks=pytest.mark.long) for seed in range(4, 40)),
    *(pytest.param(seed, 16384, id=f"{seed}-long", marks=pytest.mark.long) for seed in range(2, 20)),
]


@dataclass
class Life:
    """One ring's life. expected: (target MAC, payload) of each packet, (None, frame) of each raw one, in order."""

    chance: random.Random
    node: RingNode
    flow: Flow
    ring: Ring
    expected: list[tuple[bytes | None, bytes]] = field(default_factory=list)
    target: bytes = b""
    mtu: int = 1500
    most: int = 1500

    def send(self) -> None:
        """Some packets of random sizes; all go, or the right error comes and those before the wrong one's batch went."""
        count = self.chance.randint(1, 100)
        limit = self.ring.facts.payload_bytes
        bodies = [self.chance.randbytes(self.chance.randint(0, limit)) for _ in range(count)]
        self._write(bodies, self.ring.facts.header_bytes)
        assert self.ring.send() == count
        self.expected += [(self.target, body) for body in bodies]

    def send_in_two(self) -> None:
        """A part of what is reserved, then the rest."""
        bodies = [self.chance.randbytes(20) for _ in range(10)]
        self._write(bodies, self.ring.facts.header_bytes)
        assert (self.ring.send(3), self.ring.send()) == (3, 7)
        self.expected += [(self.target, body) for body in bodies]

    def send_raw(self) -> None:
        bodies = [self.node.pair.peer_mac + bytes(6) + RAW_KIND + self.chance.randbytes(50) for _ in range(20)]
        self._write(bodies, 0)
        assert self.ring.send(raw=True) == 20
        self.expected += [(None, body) for body in bodies]

    def send_too_long(self) -> None:
        self.ring.reserve(1)
        with pytest.raises(FrameTooLong):
            self.ring.send(size=self.ring.facts.payload_bytes + 1)

    def change_target(self) -> None:
        self.target = self.chance.choice([self.node.pair.peer_mac, b"\x02" + self.chance.randbytes(5)])
        self._show(LinkState.READY)

    def change_mtu(self) -> None:
        self.mtu = self.chance.randint(600, self.most)
        self._show(LinkState.READY)

    def close_the_way(self) -> None:
        """For a while: what was reserved is refused, and goes afterwards."""
        self._write([b"later"] * 5, self.ring.facts.header_bytes)
        self._show(self.chance.choice([LinkState.UNRESOLVED, LinkState.NO_ROUTE, LinkState.LINK_DOWN]))
        with pytest.raises(NotReady):
            self.ring.send()
        self._show(LinkState.READY)
        assert self.ring.send() == 5
        self.expected += [(self.target, b"later")] * 5

    def restart_server(self) -> None:
        """Packets go on without one; then the new one's page counts."""
        self.node.stop()
        self.send()
        resumed = self.ring.stats.resumed
        self.node.new_pages()
        self.node.start()
        wait_until("resumed", lambda: self.ring.stats.resumed > resumed)

    def hand_over(self) -> None:
        """To another holder, as a process that ends does."""
        self.ring.close()
        self.ring = connect(self.node.path, timeout_s=10)

    def end(self) -> None:
        self.ring.close()

    def _write(self, bodies: list[bytes], at: int) -> None:
        block = self.ring.reserve(len(bodies))
        for frame, body in zip(range(block.start, block.stop), bodies, strict=True):
            self.ring.frames[frame, at : at + len(body)] = np.frombuffer(body, dtype=np.uint8)
            self.ring.lengths[frame] = len(body)

    def _show(self, state: LinkState) -> None:
        page = header_page(self.node.pair, self.flow, mtu=self.mtu, target_mac=self.target)
        self.node.show(replace(page, state=state))


@pytest.mark.parametrize("flow", FLOWS, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("seed", "frame_bytes"), LIVES)
def test_a_random_life(
    netns_pair: NetnsPair, tmp_path_factory: pytest.TempPathFactory, flow: Flow, seed: int, frame_bytes: int
) -> None:
    directory, mtu = tmp_path_factory.mktemp("life"), LINKS[frame_bytes]
    netns_pair.peer_run("ip", "link", "set", netns_pair.peer, "mtu", str(mtu))
    ip(f"link set {netns_pair.ifname} mtu {mtu}")
    page = header_page(netns_pair, flow, mtu=mtu)
    with ExitStack() as stack:
        node = stack.enter_context(ring_node(netns_pair, directory, page, frames=FRAMES, frame_bytes=frame_bytes))
        far = stack.enter_context(wire(netns_pair))
        ring = connect(node.path, timeout_s=10)
        life = Life(random.Random(seed), node, flow, ring, target=netns_pair.peer_mac, mtu=mtu, most=mtu)
        stack.callback(life.end)
        often: list[Callable[[], None]] = [life.send, life.send_in_two, life.send_raw, life.send_too_long]
        seldom = [life.change_target, life.change_mtu, life.close_the_way, life.hand_over]
        for step in range(STEPS):
            life.chance.choice(often if step % 3 else seldom)()
            if step % 40 == 39:
                life.restart_server()
        frames = far.raw(len(life.expected))
    assert [taken_apart(frame) for frame in frames] == life.expected


def taken_apart(frame: bytes) -> tuple[bytes | None, bytes]:
    if frame[12:14] == RAW_KIND:
        return None, frame
    seen = read(frame)
    return seen.target_mac, seen.payload
