"""`kubectl delete namespace` with streams in it: it ends by itself, also without an operator, and leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Json, wait_for
from tests.e2e.remains import allocated, wait_no_rings
from tests.e2e.streams import NODE1, SMALL_BARS, Studio, Way, own_claim, sender_pod, stream
from tests.e2e.test_changes import scale_operator
from tests.e2e.test_streams_queues import unscheduled

pytestmark = pytest.mark.long
GONE_S = 100.0


@pytest.fixture
def news(studio: Studio) -> Iterator[str]:
    """A namespace that the test may delete; it is there again afterwards, and the operator, too."""
    yield "news"
    scale_operator(studio.product, 2)
    studio.product.kubectl("delete", "namespace", "news", "--ignore-not-found", f"--timeout={GONE_S:.0f}s")
    studio.make_namespace("news")


@pytest.mark.parametrize("operators", [pytest.param(2, id="operator there"), pytest.param(0, id="operator away")])
def test_a_namespace_goes_with_all_its_streams(studio: Studio, cluster: Cluster, news: str, operators: int) -> None:
    """Whoever waited for one of their queues gets it; streams of the same names in the namespace made anew run."""
    product, ways = studio.product, [Way("239.10.0.30", 5030 + number) for number in range(4)]
    app = (stream("app", ways[0], namespace=news, txQueue=1), light(sender_pod(product, "app", namespace=news, RATE=500)))
    bars = stream("bars", ways[1], namespace=news, source={"video": SMALL_BARS}, nodeSelector=NODE1, txQueue=2)
    own = (own_claim("own", ways[2], namespace=news, queue=3), light(sender_pod(product, "own", namespace=news, RATE=500)))
    idle = stream("idle", ways[2], namespace=news, txQueue=3)  # no pod ever holds it
    product.apply(*app, bars, *own, idle)
    for name in ("app", "bars"):
        studio.wait_stream(name, "Ready", news)
    studio.wait_said("own", "ring", namespace=news)
    with studio.running(own_claim("next", ways[3], queue=1), light(sender_pod(product, "next", RATE=500))):
        wait_for("the next one to wait", lambda: unscheduled(studio, "next"), 30)
        scale_operator(product, operators)
        product.kubectl("delete", "namespace", news, f"--timeout={GONE_S:.0f}s")
        studio.wait_said("next", "ring")
        assert not [each for each in product.get_all("resourceclaims", "-A") if each["metadata"]["namespace"] == news]
        assert allocated(product, "node1") == ["studio/next"]
        uid = studio.claim("next")["metadata"]["uid"]
        wait_no_rings(cluster, 1, but=(uid, 'claim="next"', "spillway_streams_claims 1.0"))
        scale_operator(product, 2)
        studio.make_namespace(news)
        product.apply(app[0] | {"spec": app[0]["spec"] | {"txQueue": 2}}, app[1])
        studio.wait_stream("app", "Ready", news)
        product.kubectl("delete", "namespace", news, f"--timeout={GONE_S:.0f}s")


def light(pod: Json) -> Json:
    """Four of them have room on a node of two cores."""
    pod["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "100m"}
    return pod
