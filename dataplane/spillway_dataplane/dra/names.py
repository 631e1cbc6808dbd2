"""Names that kubelet, the API server, the chart and this driver agree on."""

from __future__ import annotations

from spillway_crds.names import GROUP

QUEUE_DRIVER = f"tx-queue.{GROUP}"
FIELD_MANAGER = "spillway-streams"
RESOURCE_API = "resource.k8s.io/v1"
SLICES = f"/apis/{RESOURCE_API}/resourceslices"


def claim_path(namespace: str, name: str) -> str:
    """Return where the API has a claim."""
    return f"/apis/{RESOURCE_API}/namespaces/{namespace}/resourceclaims/{name}"
