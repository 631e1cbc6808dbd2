"""Changes while a flood of live frames comes in on another CPU: nothing that has to be dropped gets through."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kernel.artifacts import chained, verdict
from tests.kernel.namespaces import inside
from tests.kernel.netpair import NetnsPair

from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel import libbpf
from spillway_dataplane.kernel.datapath import Datapath

XDP_TX = 3
CHANGES = 200
ROUND = 20_000


@contextmanager
def flood(pair: NetnsPair) -> Iterator[None]:
    """Live frames from the peer's own XDP_TX, as fast as one CPU makes them, until the block ends."""
    with inside(pair.peer_net):
        ifindex = socket.if_nametoindex(pair.peer)
    frame = pair.mac + pair.peer_mac + b"\x88\xb5" + bytes(46)
    child = os.fork()
    if child == 0:
        try:
            with inside(pair.peer_net), libbpf.prog_load(verdict(XDP_TX), "flood") as program:
                while True:
                    libbpf.test_run(
                        program, frame, ingress_ifindex=ifindex, repeat=ROUND, flags=libbpf.TEST_LIVE_FRAMES, batch_size=64
                    )
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the flood ended by itself"


def test_two_hundred_replacements_under_flood(netns_pair: NetnsPair) -> None:
    """The verdict lies behind a tail call: an emptied program array would let packets through."""
    datapath = Datapath(netns_pair.bpffs / "spillway")
    datapath.attach("spw0", chained("0" * 11), XdpMode.NATIVE)
    with netns_pair.listen() as listener:
        with flood(netns_pair):
            for number in range(CHANGES):
                datapath.replace("spw0", chained(f"{number:011x}"))
        assert listener.frames(0) == []
    assert datapath.read_counts("spw0", [0])[0].matched_packets > CHANGES * 100
