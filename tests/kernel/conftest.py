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
