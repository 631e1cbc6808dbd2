"""Rows that need a cluster: apply-ready and agent-memory. One cluster serves all; it is gone before any other row."""

from __future__ import annotations

import atexit
import re
import time
from functools import cache

from tests.bench.rows import ROUNDS, Row, Samples
from tests.cluster import Cluster
from tests.e2e.product import Product, flood_filter, rule, wait_for

GOAL_S = 2.0
GOAL_MB = 120.0
STEADY_AFTER_S = 15  # reports come 2, 5 and 10 s after a change


@cache
def bench_product() -> Product:
    """Spillway on a cluster of its own, with programs attached on both nodes."""
    cluster = Cluster.up(nodes=2)
    atexit.register(cluster.down)
    product = Product(cluster)
    product.install()
    product.wait_pods_ready()
    one_round(product, "warm-up")
    return product


def take_down() -> None:
    """Take the cluster down, if it is up: what its programs do must not be in the figures of rows that do without."""
    if bench_product.cache_info().currsize:
        cluster = bench_product().cluster
        bench_product.cache_clear()
        atexit.unregister(cluster.down)
        cluster.down()


def apply_ready() -> Row:
    """Programs are attached and pods run: the time is that of a new filter alone."""
    product = bench_product()
    found = Samples(tuple(one_round(product, f"bench-{number}") for number in range(ROUNDS)))
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
    port = str(40000 + sum(name.encode()))
    manifest = flood_filter(name, [rule("flood", protocol="UDP", destinationPorts=[port])], node=None)
    start = time.monotonic()
    product.apply(manifest)
    wait_for("Ready", lambda: product.ready(name), 120, pause_s=0.02)
    took = time.monotonic() - start
    product.delete_filters()
    return took


def agent_memory() -> Row:
    """Resident memory of the agent's process in its pod, after compiling, when nothing has changed for a while."""
    product = bench_product()
    time.sleep(STEADY_AFTER_S)
    found = Samples(tuple(resident_mb(product, number) for number in (1, 2) for _ in range(ROUNDS)))
    return Row(
        id="agent-memory",
        what="resident memory of the agent in steady state, in its pod",
        unit="MB",
        ours=found,
        goal=f"<= {GOAL_MB:g} MB",
        met=max(found.figures) <= GOAL_MB,
    )


def resident_mb(product: Product, node: int) -> float:
    """VmRSS of process 1 of the node's dataplane pod."""
    pod = product.dataplane_pod(f"node{node}")
    status = product.kubectl("-n", "spillway-system", "exec", pod, "--", "cat", "/proc/1/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
