"""The row claim-first-packet: from the manifests of a stream and its pod to the first packet at another node."""

from __future__ import annotations

import subprocess
import time

from tests.bench.ready import bench_product
from tests.bench.rows import ROUNDS, Row, Samples
from tests.e2e.streams import Studio, Way, sender_pod, stream

GOAL_S = 3.0
PORT = 5030


def claim_first_packet() -> Row:
    """The image is on the node, the queue is offered, and nobody has it: what is left is Kubernetes, kubelet and us."""
    product = bench_product()
    studio = Studio(product, product.cluster)
    studio.open()
    one_round(studio)  # warm-up
    found = Samples(tuple(one_round(studio) for _ in range(ROUNDS)))
    return Row(
        id="claim-first-packet",
        what="kubectl apply of a BypassStream and a pod until the pod's first packet is at the other node",
        unit="s",
        ours=found,
        goal=f"<= {GOAL_S} s",
        met=found.median <= GOAL_S,
    )


def one_round(studio: Studio) -> float:
    """Seconds to the first packet; pod, claim and stream are gone afterwards."""
    way = Way(studio.cluster.node(2).studio.address, PORT)
    argv = ["tcpdump", "-ni", "eth1", "-c", "1", "-w", "/dev/null", f"udp dst port {PORT}"]
    with studio.cluster.node(2).net.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as first:
        assert first.stderr is not None
        first.stderr.readline()  # "listening on"
        start = time.monotonic()
        with studio.running(stream("first", way), sender_pod(studio.product, "first", RATE=1000)):
            first.wait(timeout=60)
            return time.monotonic() - start
