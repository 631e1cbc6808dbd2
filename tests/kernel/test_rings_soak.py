"""Everything at once for a minute: ways that change, drivers that die, others that want the ring, while one stream is counted."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_client import ask, close_opened, connect
from tests.kernel.ring_lab import make_node
from tests.kernel.ring_sender import Sender, arrived, driver, sending
from tests.kernel.ring_wire import wire

SECONDS = 60
RING_FRAMES = 512
SEED = int(os.environ.get("SEED", "10"))
DESTINATION = ip_address("10.9.0.2")


class Trouble:
    """One kind of it after the other, by chance."""

    def __init__(self, node: NetnsPair, tmp_path: Path, sender: Sender, drivers: ExitStack, first: subprocess.Popen[str]) -> None:
        self.node, self.tmp_path, self.sender, self.drivers, self.process = node, tmp_path, sender, drivers, first
        self.chance, self.downs, self.resumed = random.Random(SEED), 0, 0

    def next(self) -> None:
        kinds: list[Callable[[], None]] = [self.mac, self.mtu, self.link, self.route, self.killed, self.stopped, self.others]
        kind = self.chance.choice(kinds)
        kind()
        before = self.sender.sent
        self.sender.until(before + 500)

    def mac(self) -> None:
        ip(f"neigh replace {DESTINATION} lladdr 02:00:00:00:00:{self.chance.randrange(256):02x} dev spw0 nud permanent")

    def mtu(self) -> None:
        ip(f"link set spw0 mtu {self.chance.choice((300, 1000, 1500))}")

    def link(self) -> None:
        ip("link set spw0 down")
        time.sleep(self.chance.random() / 5)
        ip("link set spw0 up")
        self.downs += 1

    def route(self) -> None:
        ip("route del 10.9.0.0/24 dev spw0")
        time.sleep(self.chance.random() / 10)
        ip("route add 10.9.0.0/24 dev spw0 src 10.9.0.1")

    def killed(self) -> None:
        self.process.kill()
        self.another()

    def stopped(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.another()

    def another(self) -> None:
        self.process.wait(20)
        self.process = self.drivers.enter_context(driver(self.tmp_path))
        self.resumed += 1
        self.sender.until_resumed(self.resumed)

    def others(self) -> None:
        """Some wait in vain, some say nothing, some say nonsense."""
        with contextlib.suppress(OSError):
            for _ in range(self.chance.randrange(1, 12)):
                ask(self.tmp_path / "cam")
                connect(self.tmp_path / "cam").send(self.chance.randbytes(self.chance.randrange(1, 200)))
        time.sleep(self.chance.random() / 10)
        close_opened()


@pytest.mark.long
def test_a_stream_through_a_minute_of_trouble(netns_pair: NetnsPair, tmp_path: Path) -> None:
    """In order, none twice; only a link that went down may have taken packets along, at most what a ring holds each time."""
    node = make_node(netns_pair)
    with wire(node) as far, ExitStack() as drivers:
        first = drivers.enter_context(driver(tmp_path))
        ends = time.monotonic() + SECONDS
        with sending(tmp_path / "cam") as sender:
            trouble = Trouble(node, tmp_path, sender, drivers, first)
            numbers: list[int] = []
            while time.monotonic() < ends:
                trouble.next()
                numbers += [number for number, _ in arrived(far, 1)]
            count = sender.finish()
        numbers += [number for number, _ in arrived(far, count - RING_FRAMES * trouble.downs - len(numbers))]
    assert numbers == sorted(set(numbers))
    assert count - RING_FRAMES * trouble.downs <= len(numbers) <= count
    assert (trouble.resumed > 0, trouble.downs > 0) == (True, True)
