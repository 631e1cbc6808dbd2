"""Where the API server has what this driver reads and writes, and the name under which it writes."""

from __future__ import annotations

from spillway_crds.names import QUEUE_DRIVER, RESOURCE_API

__all__ = ["FIELD_MANAGER", "QUEUE_DRIVER", "RESOURCE_API", "SLICES", "claim_path"]
FIELD_MANAGER = "spillway-streams"
SLICES = f"/apis/{RESOURCE_API}/resourceslices"


def claim_path(namespace: str, name: str) -> str:
    """Return where the API has a claim."""
    return f"/apis/{RESOURCE_API}/namespaces/{namespace}/resourceclaims/{name}"
