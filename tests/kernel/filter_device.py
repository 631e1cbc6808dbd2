"""A device with several receive queues on which compiled filters run by BPF_PROG_TEST_RUN; nothing is sent over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kernel.netpair import NetnsPair

from spillway_dataplane.kernel import libbpf

PASS = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit


@contextmanager
def with_queues(pair: NetnsPair) -> Iterator[int]:
    """Yield the card's index. A veth has the queues that XDP sees only while a program is attached to it."""
    with libbpf.prog_load(PASS, "passes") as program, libbpf.link_create(program, pair.ifindex, libbpf.XDP_DRV_MODE):
        yield pair.ifindex
