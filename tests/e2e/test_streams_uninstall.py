"""An uninstall takes no ring from anybody: it fails, names who holds one, and goes on when they have ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.cluster.errors import CommandFailed
from tests.e2e.chart import GRANTS
from tests.e2e.product import NAMESPACE, wait_for
from tests.e2e.streams import UP_S, Studio, Way, sender_pod, stream
from tests.e2e.test_lifecycle import node_traces
from tests.e2e.traffic import witness

pytestmark = pytest.mark.long  # the product is taken away and put back
PATIENCE = {"uninstall.timeoutSeconds": "15"}


@pytest.fixture
def open_again(studio: Studio) -> Iterator[None]:
    """Whatever the test removes, the next test finds the product installed, with its queues granted."""
    yield
    if not studio.product.is_installed():
        studio.product.install()
    studio.open()


def test_an_uninstall_waits_for_who_holds_a_ring(studio: Studio, cluster: Cluster, open_again: None) -> None:
    product, way = studio.product, Way(cluster.node(2).studio.address, 5009)
    product.install(dict(each.split("=", 1) for each in GRANTS) | PATIENCE, upgrade=True)
    product.wait_pods_ready()
    with witness(cluster, 2, way.port) as seen, studio.running(stream("live", way), sender_pod(product, "live", RATE=1000)):
        wait_for("its packets", lambda: seen.passed()[way.port] > 500, UP_S)
        with pytest.raises(CommandFailed):
            product.uninstall()
        said = product.kubectl("-n", NAMESPACE, "logs", "job/spillway-uninstall")
        assert "rings are held there by pod studio/live" in said
        before = seen.passed()[way.port]
        wait_for("packets after all that", lambda: seen.passed()[way.port] > before + 500, 10)
        assert not node_traces(cluster, 2)["labels"], "the other node is clean"
        studio.delete("live")
    product.uninstall()
    for number in (1, 2):
        found = node_traces(cluster, number)
        assert (found["pins"], found["labels"]) == ("", set()), f"node{number}"
