"""What becomes of a built-in source when its stream's spec changes. What it sends: test_streams_video.py."""

from __future__ import annotations

from tests.cluster import Cluster
from tests.e2e.product import Json, wait_for
from tests.e2e.streams import NODE1, SMALL_BARS, UP_S, Studio, Way, stream
from tests.e2e.traffic import witness


def test_a_changed_picture_is_a_new_pod_on_a_new_claim(studio: Studio, cluster: Cluster) -> None:
    """By itself: the source's pod gives its ring back, the claim is replaced, and the new pod has the new queue."""
    way = Way(cluster.node(2).studio.address, 5008)

    def bars(queue: int) -> Json:
        return stream("bars", way, source={"video": SMALL_BARS}, nodeSelector=NODE1, txQueue=queue)

    with witness(cluster, 2, way.port) as seen, studio.running(bars(1)):
        wait_for("the picture at node2", lambda: seen.passed()[way.port] > 1000, UP_S)
        pod, claim = studio.pod("bars-source"), studio.claim("bars")
        assert pod["spec"]["nodeName"] == "node1"
        studio.product.apply(bars(2))
        wait_for("another claim", lambda: _uid(studio.claim("bars")) not in ("", _uid(claim)), 60)
        wait_for("another pod", lambda: _uid(studio.pod("bars-source")) not in ("", _uid(pod)), 60)
        wait_for("the other queue", lambda: studio.stream("bars")["status"].get("queue") == 2, 60)
        before = seen.passed()[way.port]
        wait_for("the picture again", lambda: seen.passed()[way.port] > before + 1000, 30)


def _uid(found: Json) -> str:
    return str(found.get("metadata", {}).get("uid", ""))
