"""Label the release's own namespace for PodSecurity, once, before the release: `python -m spillway_operator.podsecurity`.

Agents have the host's network, two of its folders and five capabilities: only the level `privileged` admits that. The chart's
hook job runs this with rights of its own that end with it, so that the operator itself never has a right on namespaces.
"""

from __future__ import annotations

import os
import sys

from kubernetes import client, config

LEVEL = "privileged"
LABELS = {f"pod-security.kubernetes.io/{mode}": LEVEL for mode in ("enforce", "audit", "warn")}
TIMEOUT_S = (5, 15)  # to connect, to be answered


def label_namespace(api: client.CoreV1Api, namespace: str) -> None:
    """Set the three PodSecurity labels of a namespace and touch nothing else of it. Raises ApiException when refused."""
    body = {"metadata": {"labels": LABELS}}
    api.patch_namespace(namespace, body, _content_type="application/merge-patch+json", _request_timeout=TIMEOUT_S)


def main() -> int:
    """Label the namespace that this pod runs in. Returns 0, or 1 after saying what to do by hand."""
    namespace = os.environ["POD_NAMESPACE"]
    config.load_incluster_config()
    try:
        label_namespace(client.CoreV1Api(), namespace)
    except client.ApiException as error:
        words = " ".join(f"{key}={value}" for key, value in LABELS.items())
        print(f"namespace {namespace} not labelled: {error.status} {error.reason}", file=sys.stderr)
        print(f"do it by hand, and install again: kubectl label --overwrite namespace {namespace} {words}", file=sys.stderr)
        return 1
    print(f"namespace {namespace} admits privileged pods")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
