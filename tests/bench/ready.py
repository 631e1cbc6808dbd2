"""Row apply-ready: from `kubectl apply` to Ready on both nodes, programs attached and pods running."""

from __future__ import annotations

import time

from tests.bench.rows import ROUNDS, Row, Samples
from tests.cluster import Cluster
from tests.e2e.product import Product, flood_filter, rule, wait_for

GOAL_S = 2.0


def apply_ready() -> Row:
    """Bring a cluster up, attach once, then measure fresh filters."""
    cluster = Cluster.up(nodes=2, hosts=("attacker", "client"))
    try:
        product = Product(cluster)
        product.install()
        product.wait_pods_ready()
        one_round(product, "warm-up")
        found = Samples(tuple(one_round(product, f"bench-{number}") for number in range(ROUNDS)))
    finally:
        cluster.down()
    return Row(
        id="apply-ready",
        what="kubectl apply of a new filter until its Ready condition says so for both nodes",
        unit="s",
        ours=found,
        goal=f"<= {GOAL_S} s",
        met=found.median <= GOAL_S,
    )


def one_round(product: Product, name: str) -> float:
    """Apply one filter for all nodes; return the seconds to Ready. It is deleted again."""
    manifest = flood_filter(name, [rule("flood", protocol="UDP", destinationPorts=["40051"])], node=None)
    start = time.monotonic()
    product.apply(manifest)
    wait_for("Ready", lambda: product.ready(name), 120, pause_s=0.02)
    took = time.monotonic() - start
    product.delete_filters()
    return took
