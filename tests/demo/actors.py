"""Who takes part: two services on node1, their callers, the attacker, and a reader of the node's counters.

Each ends with the block that it was started for, also after a failure; none outlives this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import Cluster
from tests.demo.samples import Reading, Sample, make_sample
from tests.traffic import Flood, start_flood
from tests.traffic.counting import interface_counters, udp_counters
from tests.traffic.frames import ETH_IPV4, UDP, ethernet, ipv4, random_sources, udp4_flood

HERE = Path(__file__).parent
WEB_PORT, VIDEO_PORT = 8088, 4000
WEB_ROOT = "/usr/share/common-licenses"
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
FLOOD_RATE_PPS, FLOOD_MAX_S = 60_000, 120
ANSWER_BYTES = 1372  # of UDP payload: an amplified answer fills the MTU
SOURCES = 500
TAIL_OFFSET = 1480 // 8  # where the second fragment of a larger answer begins


class Lines:
    """The latest line of JSON that a program wrote, and how many there were."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.count = 0
        self.latest: dict[str, Any] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.latest = json.loads(line)
            self.count += 1


@contextmanager
def started(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that ends with the block."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Actors:
    """Everybody but the attacker, at work. `second()` waits for the next second of their story."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        self._cluster, self._node = cluster, cluster.node(1)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        web = ["python3", "-m", "http.server", str(WEB_PORT), "--bind", "0.0.0.0", "--directory", WEB_ROOT]
        stack.enter_context(started(self._node.net.popen([*DIES_WITH_US, *web], **quiet)))
        video = ["python3", str(HERE / "video_server.py"), str(VIDEO_PORT)]
        stack.enter_context(started(self._node.net.popen([*DIES_WITH_US, *video], **quiet)))
        reader = [sys.executable, "-m", "tests.demo.node_counters", "/var/lib/spillway", "/sys/fs/bpf"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parents[1]), *sys.path]))}
        counters = stack.enter_context(started(self._node.popen(reader, env=environment, cwd=HERE.parents[1], **piped)))
        calls = ["python3", str(HERE / "callers.py"), self._node.address, str(WEB_PORT), str(VIDEO_PORT)]
        time.sleep(0.5)  # the services listen
        callers = stack.enter_context(started(cluster.host("client").popen([*DIES_WITH_US, *calls], **piped)))
        self._counters, self._callers = Lines(counters), Lines(callers)
        self._began = time.monotonic()
        self._before = self._read()

    def second(self) -> Sample:
        """Wait until the callers report again; return what happened since the last time."""
        count = self._callers.count
        while self._callers.count == count:
            time.sleep(0.02)
        now = self._read()
        sample = make_sample(self._began, self._before, now, self._callers.latest)
        self._before = now
        return sample

    def _read(self) -> Reading:
        attacker, node = self._cluster.host("attacker").netns, self._node.netns
        return Reading(
            at=time.monotonic(),
            sent=interface_counters("eth0", inside=netns(attacker)).tx_packets,
            lost=udp_counters(inside=netns(node)).full_buffers,
            filter_at=self._counters.latest.get("at", 0.0),
            dropped=self._counters.latest.get("dropped", 0),
            would_drop=self._counters.latest.get("would_drop", 0),
        )


def netns(name: str) -> tuple[str, str]:
    """Words that run a program in a named network namespace."""
    return "nsenter", f"--net=/run/netns/{name}"


@contextmanager
def flood(cluster: Cluster) -> Iterator[Flood]:
    """A DNS amplification from `attacker` to node1's video port, for the time of the block and never longer than two minutes."""
    under_way = start_flood(
        cluster.host("attacker").netns, "eth0", amplified_answers(cluster), FLOOD_RATE_PPS * FLOOD_MAX_S, FLOOD_RATE_PPS
    )
    try:
        yield under_way
    finally:
        under_way.process.kill()
        under_way.process.communicate()


def amplified_answers(cluster: Cluster) -> list[bytes]:
    """Large answers from port 53 of many resolvers; after every tenth, the second fragment of a still larger one.

    Sources are of 198.18.0.0/15, which is for such tests (RFC 2544) and routed nowhere.
    """
    node, attacker = cluster.node(1), cluster.host("attacker")
    macs = (node.mac, attacker.mac)
    sources = random_sources("198.18", SOURCES, seed=9)
    answers = udp4_flood(macs, sources, node.address, 53, VIDEO_PORT, ANSWER_BYTES)
    frames: list[bytes] = []
    for number, (source, answer) in enumerate(zip(sources, answers, strict=True)):
        frames.append(answer)
        if number % 10 == 0:
            tail = ipv4(source, node.address, UDP, bytes(600), fragment=TAIL_OFFSET, ident=number)
            frames.append(ethernet(*macs, ETH_IPV4, tail))
    return frames
