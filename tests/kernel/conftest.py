"""Kernel tests run as root on the real kernel: namespaces, veth pairs and pins that they make and take away themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.namespaces import own_namespaces
from tests.kernel.netpair import NetnsPair, make_pair
from tests.kernel.ring_lab import keeping, make_node

from spillway_dataplane.stream.keeper import RingKeeper

LONGEST_FIRST = ("test_filter_fuzz.py", "test_filter_large.py", "test_datapath_crash.py", "test_datapath_flood.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: at the end nothing is left that one process alone is busy with."""
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.name) if item.path.name in LONGEST_FIRST else len(LONGEST_FIRST))


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """No skips: a machine that cannot run these tests has to say so."""
    assert os.geteuid() == 0, "kernel tests need root"


@pytest.fixture
def netns_pair(tmp_path: Path) -> Iterator[NetnsPair]:
    """Two namespaces joined by a four-queue veth; the test runs on the node's side, with a bpffs of its own at `.bpffs`."""
    with own_namespaces():
        pair = make_pair(tmp_path)
        try:
            yield pair
        finally:
            os.close(pair.peer_net)
            os.close(pair.net)


@pytest.fixture
def node(netns_pair: NetnsPair) -> NetnsPair:
    """The pair with an address on each side: 10.9.0.1 is the node, 10.9.0.2 whom it sends to."""
    return make_node(netns_pair)


@pytest.fixture
def keeper(node: NetnsPair) -> Iterator[RingKeeper]:
    """What keeps rings on that node."""
    with keeping() as made:
        yield made
