"""Streams on the cluster: queues that are granted, pods of namespaces that may have them, and what those send."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillway_dataplane.dra.names import QUEUE_DRIVER as DRIVER
from tests.cluster import Cluster
from tests.cluster.errors import CommandFailed
from tests.e2e.chart import GRANTS
from tests.e2e.product import DATAPLANE_PODS, NAMESPACE, Json, Product, condition, wait_for

PROGRAMS = tuple(Path(__file__).with_name(name) for name in ("sender.py", "hostile.py"))
NAMESPACES = ("studio", "news", "lobby")  # the last is not on the list
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
QUEUES = (1, 2, 3)  # of eth1, granted to studio and news
KINDS = ("deployment", "bypassstream", "pod", "resourceclaim")
# A pod's way to Running, and away. Kubelet may be refused the claim that it was just given, and asks again a minute later.
UP_S, DOWN_S = 150.0, 30.0
NODE1 = {"matchLabels": {"kubernetes.io/hostname": "node1"}}
SMALL_BARS = {"widthPixels": 320, "heightPixels": 180, "exactFrameRate": "25", "pattern": "ColorBars"}


class Studio:
    """The product with GRANTS, and namespaces whose pods use rings."""

    def __init__(self, product: Product, cluster: Cluster) -> None:
        self.product, self.cluster = product, cluster

    # ---- what is there ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Grant the queues, wait for them, and make the namespaces."""
        self.product.install(dict(each.split("=", 1) for each in GRANTS), upgrade=True)
        self.product.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/spillway-dataplane", "--timeout=180s")
        self.product.wait_pods_ready()
        for name in NAMESPACES:
            self.make_namespace(name)
        for node in ("node1", "node2"):
            wait_for(f"queues of {node}", lambda node=node: len(self.devices(node)) >= len(QUEUES), 120)

    def make_namespace(self, name: str) -> None:
        """A namespace as people keep it for applications, with the programs that they run here."""
        code = {file.name: file.read_text() for file in PROGRAMS}
        self.product.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": name}, "data": code},
        )

    def slice_of(self, node: str) -> Json:
        """The node's slice, {} if there is none."""
        found = self.product.get_all("resourceslices", "--field-selector", f"spec.nodeName={node}")
        return next((each for each in found if each["spec"]["driver"] == DRIVER), {})

    def devices(self, node: str) -> dict[str, Json]:
        """The queues that a node offers, with their attributes' plain values."""
        listed = self.slice_of(node).get("spec", {}).get("devices", [])
        return {each["name"]: {key: next(iter(value.values())) for key, value in each["attributes"].items()} for each in listed}

    # ---- objects ------------------------------------------------------------------------------------------------------

    @staticmethod
    def json(value: Any) -> str:
        return json.dumps(value)

    def answer(self, manifest: Json, *flags: str) -> str:
        """What the API server says to the creation of an object, whatever it is."""
        try:
            return self.product.kubectl("create", "-f", "-", *flags, stdin=json.dumps(manifest))
        except CommandFailed as refused:
            return refused.output

    def claim(self, name: str, namespace: str = "studio") -> Json:
        """A claim as it is, {} if it is not there."""
        text = self.product.kubectl("-n", namespace, "get", "resourceclaim", name, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else {}

    def device(self, name: str, namespace: str = "studio") -> Json:
        """What the node says of a claim's one device; its conditions as condition() wants them."""
        found = self.claim(name, namespace).get("status", {}).get("devices", [])
        return {"status": found[0], **found[0]} if found else {}

    def wait_device(self, name: str, kind: str, reason: str, namespace: str = "studio") -> Json:
        """Wait until the node gives a condition of a claim's device that reason; return the condition."""

        def probe() -> Json | None:
            found = condition(self.device(name, namespace), kind)
            return found if found.get("reason") == reason else None

        return dict(wait_for(f"{name} {kind}={reason}", probe, 30))

    def stream(self, name: str, namespace: str = "studio") -> Json:
        return self.product.get("bypassstream", name, "-n", namespace)

    def wait_stream(self, name: str, reason: str, namespace: str = "studio") -> Json:
        """Wait until a stream's condition Ready has that reason; return the stream."""

        def probe() -> Json | None:
            found = self.stream(name, namespace)
            return found if condition(found, "Ready").get("reason") == reason else None

        return dict(wait_for(f"{name} Ready: {reason}", probe, UP_S))

    def message(self, name: str) -> str:
        """What a stream's condition Ready says now."""
        return str(condition(self.stream(name), "Ready").get("message", ""))

    def delete(self, *names: str, namespace: str = "studio") -> None:
        """Delete all that has one of these names, and wait until it is gone."""
        wanted = [f"{kind}/{name}" for kind in KINDS for name in names]
        self.product.kubectl("-n", namespace, "delete", *wanted, "--ignore-not-found", f"--timeout={DOWN_S:.0f}s")

    # ---- pods ---------------------------------------------------------------------------------------------------------

    def pod(self, name: str, namespace: str = "studio") -> Json:
        text = self.product.kubectl("-n", namespace, "get", "pod", name, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else {}

    def phase(self, name: str, namespace: str = "studio") -> str:
        return str(self.pod(name, namespace).get("status", {}).get("phase", ""))

    def log(self, name: str, namespace: str = "studio") -> list[Json]:
        """What a sender has said so far."""
        try:
            text = self.product.kubectl("-n", namespace, "logs", name)
        except CommandFailed:  # its container is still being made
            return []
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def said(self, name: str, key: str, namespace: str = "studio") -> Json | None:
        """The sender's latest line that has a key."""
        return next((each for each in reversed(self.log(name, namespace)) if key in each), None)

    def wait_said(self, name: str, key: str, timeout_s: float = UP_S, namespace: str = "studio") -> Json:
        return dict(wait_for(f"{name}: {key}", lambda: self.said(name, key, namespace), timeout_s))

    @contextmanager
    def running(self, *manifests: Json) -> Iterator[None]:
        """Make pods, claims and streams, and delete them at the end."""
        self.product.apply(*manifests)
        try:
            yield
        finally:
            for namespace in sorted({each["metadata"]["namespace"] for each in manifests}):
                names = {each["metadata"]["name"] for each in manifests if each["metadata"]["namespace"] == namespace}
                self.delete(*sorted(names), namespace=namespace)


# ---- manifests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """Where packets go. The port tells streams apart."""

    destination: str
    port: int = 5004

    def flow(self, **fields: Any) -> Json:
        return {"destinationAddress": self.destination, "destinationPort": self.port, **fields}


def stream(
    name: str, way: Way, *, namespace: str = "studio", interface: str = "eth1", flow: Json | None = None, **spec: Any
) -> Json:
    """A BypassStream of an application."""
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "BypassStream",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"interface": interface, "source": {"application": {}}, "flow": way.flow(**(flow or {})), **spec},
    }


def config_map(name: str, files: Mapping[str, bytes]) -> Json:
    """A ConfigMap of files, in the streams' own namespace."""
    data = {file: base64.b64encode(content).decode() for file, content in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "studio"}, "binaryData": data}


def own_claim(
    name: str, way: Way, *, namespace: str = "studio", interface: str = "eth1", queue: int | None = None, **parameters: Any
) -> Json:
    """A claim as somebody writes it who wants no BypassStream."""
    attributes = f'device.attributes["{DRIVER}"]'
    wanted = f'{attributes}.interface == "{interface}"' + (f" && {attributes}.queue == {queue}" if queue is not None else "")
    body = {"apiVersion": "spillway.dev/v1alpha1", "kind": "RingParameters", "flow": way.flow(), **parameters}
    exactly = {"deviceClassName": f"{namespace}.{DRIVER}", "selectors": [{"cel": {"expression": wanted}}]}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "devices": {
                "requests": [{"name": "ring", "exactly": exactly}],
                "config": [{"requests": ["ring"], "opaque": {"driver": DRIVER, "parameters": body}}],
            }
        },
    }


def sender_spec(
    product: Product, claim: str, node: str | None = "node1", script: str = "sender.py", **environment: object
) -> Json:
    """A pod's spec: nobody special, who has one claim and may do nothing."""
    ids = {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": ids,
        "resourceClaims": [{"name": "ring", "resourceClaimName": claim}],
        "containers": [
            {
                "name": "app",
                "image": f"{product.image_values()['image.registry']}/spillway-dataplane:{product.cluster.images.tag}",
                "imagePullPolicy": "Never",
                "command": ["/opt/spillway/bin/python", f"/app/{script}"],
                "env": [{"name": key, "value": str(value)} for key, value in environment.items()],
                "resources": {"claims": [{"name": "ring"}], "requests": {"cpu": "500m"}},  # beside whatever else runs here
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "app", "mountPath": "/app", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "app", "configMap": {"name": "app"}}],
    }


def sender_pod(
    product: Product,
    name: str,
    claim: str | None = None,
    *,
    namespace: str = "studio",
    node: str | None = "node1",
    script: str = "sender.py",
    **environment: object,
) -> Json:
    """A pod that sends; its claim has its own name unless another is given."""
    spec = sender_spec(product, claim or name, node, script, **environment)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


__all__ = ["DATAPLANE_PODS", "DRIVER", "QUEUES", "Studio", "Way", "own_claim", "sender_pod", "sender_spec", "stream"]
