"""Spillway as the demo uses it: the chart, the example filter with the demo's addresses, and what kubectl says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster import Cluster
from tests.e2e.product import CHART, NAMESPACE, Product

EXAMPLE = Path(__file__).parents[2] / "examples" / "dns-amplification.yaml"
FILTER = "dns-amplification"
PLACEHOLDERS = ("203.0.113.0/24", "2001:db8:113::/48")


def example_for(cluster: Cluster) -> str:
    """The shipped example, with node1's addresses in the place of the documentation's."""
    node = cluster.node(1)
    text = EXAMPLE.read_text()
    for placeholder, address in zip(PLACEHOLDERS, (f"{node.address}/32", f"{node.address6}/128"), strict=True):
        assert placeholder in text, f"{EXAMPLE} has no {placeholder} any more"
        text = text.replace(placeholder, address)
    return text


def install(product: Product) -> None:
    """Install the chart, or upgrade it where a demo was kept."""
    settings = [part for key, value in product.image_values().items() for part in ("--set", f"{key}={value}")]
    product.cluster.helm("upgrade", "--install", "spillway", CHART, "--create-namespace", "-n", NAMESPACE, *settings)
    product.kubectl("delete", "floodfilter", FILTER, "--ignore-not-found")
    product.kubectl("label", "node", "node1", "edge=true", "--overwrite")
    product.wait_pods_ready()


def dropped_where(product: Product) -> Iterator[tuple[str, str, str, str, int, int]]:
    """(node, interfaces, rule, state, would have dropped, dropped) as each node reports it."""
    for dataplane in product.get_all("nodedataplanes"):
        status = dataplane.get("status", {})
        interfaces = " ".join(each["name"] for each in status.get("interfaces", []) if each.get("linkId")) or "untouched"
        filters = status.get("filters", [])
        yield from ((dataplane["metadata"]["name"], interfaces, *line) for each in filters for line in _rule_lines(each))
        if not filters:
            yield dataplane["metadata"]["name"], interfaces, "no filter", "", 0, 0


def _rule_lines(found: dict[str, Any]) -> Iterator[tuple[str, str, int, int]]:
    for rule in found.get("rules", []):
        yield rule["name"], found["state"], rule.get("wouldDropPackets", 0), rule.get("droppedPackets", 0)


def patch_mode(product: Product, mode: str) -> str:
    """The patch that a person types."""
    return json.dumps({"spec": {"mode": mode}})
