"""What a node keeps of rings: nothing of it may outlive the pods that held them."""

from __future__ import annotations

import urllib.request

from spillway_dataplane.dra.names import QUEUE_DRIVER
from tests.cluster import Cluster
from tests.e2e.product import Json, Product, wait_for

CLAIMS, CDI = f"/var/lib/kubelet/plugins/{QUEUE_DRIVER}/claims", "/var/run/cdi"
COUNTED = ("spillway_streams_claims ", "spillway_ring_held{", "spillway_streams_unopened_claims ")


def rings_kept(cluster: Cluster, number: int) -> list[str]:
    """What is left of claims in a node's folders, and what its driver counts: empty on a node without any."""
    node = cluster.node(number)
    files = node.run(["sh", "-c", f"ls -A {CLAIMS} {CDI} | grep -v -e '^$' -e ':$' || true"]).stdout.split()
    with urllib.request.urlopen(f"http://{node.address}:9466/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return [*files, *(line for line in lines if line.startswith(COUNTED) and not line.endswith(" 0.0"))]


def wait_no_rings(cluster: Cluster, number: int, but: tuple[str, ...] = ()) -> None:
    """Wait until a node keeps nothing of any ring. but: words of traces that may be there."""

    def others() -> list[str]:
        return [each for each in rings_kept(cluster, number) if not any(word in each for word in but)]

    wait_for(f"node{number} without rings", lambda: not others(), 30)


def allocated(product: Product, node: str) -> list[str]:
    """Claims that have a queue of a node, as `namespace/name`."""
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in product.get_all("resourceclaims", "-A")
        if any(result["pool"] == node for result in _results(each))
    ]


def _results(claim: Json) -> list[Json]:
    found: list[Json] = claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
    return found
