"""The installed product as a person with kubectl and helm sees it, and waiting for what it promises.

Every wait allows ten times what is promised; the promise itself is a row of the bench.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster import Cluster

NAMESPACE = "spillway-system"
CHART = "charts/spillway"
SLOW = float(os.environ.get("SLOW", "1"))
PROMISE_S = 2.0  # apply to Ready, and repair of what somebody edited
DATAPLANE_PODS = "app.kubernetes.io/component=dataplane"
Json = dict[str, Any]


class TimedOut(AssertionError):
    """What was waited for did not come; `last` is what was seen instead."""

    def __init__(self, what: str, last: object) -> None:
        super().__init__(f"{what} did not come; last seen: {last}")


def wait_for(what: str, probe: Callable[[], Any], timeout_s: float = 10 * PROMISE_S, pause_s: float = 0.1) -> Any:
    """Return the probe's first true answer. Raises TimedOut, which names the last other one."""
    end = time.monotonic() + timeout_s * SLOW
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimedOut(what, answer)
        time.sleep(pause_s)


class Product:
    """Spillway on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    # ---- helm -----------------------------------------------------------------------------------------------------

    def install(self, values: Mapping[str, str] | None = None, *, upgrade: bool = False) -> str:
        """Install or upgrade the release with the images built here."""
        chosen = {**self.image_values(), **(values or {})}
        settings = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
        verb = ["upgrade"] if upgrade else ["install", "--create-namespace"]
        return self.cluster.helm(*verb, "spillway", CHART, "-n", NAMESPACE, *settings)

    def image_values(self) -> dict[str, str]:
        return {"image.registry": "registry.local", "image.tag": self.cluster.images.tag, "image.pullPolicy": "Never"}

    def uninstall(self, *flags: str) -> str:
        return self.cluster.helm("uninstall", "spillway", "-n", NAMESPACE, *flags)

    def refresh(self) -> None:
        """Give a cluster that was kept the code as it is now."""
        for image in ("operator", "dataplane"):
            self.cluster.load_image(image)
        self.install(upgrade=True)
        for workload in ("deployment/spillway-operator", "daemonset/spillway-dataplane"):
            self.kubectl("-n", NAMESPACE, "rollout", "restart", workload)
            self.kubectl("-n", NAMESPACE, "rollout", "status", workload, "--timeout=180s")

    def is_installed(self) -> bool:
        return "spillway" in self.cluster.helm("list", "-n", NAMESPACE, "-q").split()

    def describe(self) -> str:
        """What a person would look at when something is wrong. Never raises."""
        logs = ("-n", NAMESPACE, "logs", "--all-containers", "--prefix", "--tail=25", "-l")
        asked = (
            ("get", "floodfilters,bypassstreams,nodedataplanes", "-A", "-o", "yaml"),
            ("get", "pods,daemonsets,jobs,resourceclaims", "-A", "-o", "wide"),
            ("get", "events", "-A", "--sort-by=.metadata.creationTimestamp"),
            (*logs, "app.kubernetes.io/component=operator"),
            (*logs, DATAPLANE_PODS),
        )
        return "\n".join(self._try(*each) for each in asked)

    def _try(self, *args: str) -> str:
        try:
            return self.kubectl(*args)
        except Exception as error:  # the API server may be what is wrong
            return f"{args}: {error}"

    def wait_pods_ready(self) -> None:
        """Wait for both Deployments' and the DaemonSet's pods."""
        self.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/spillway-operator", "--timeout=180s")
        wait_for("a dataplane pod on every node", self._dataplanes_ready, 120)

    def _dataplanes_ready(self) -> bool:
        pods = self.get_all("pods", "-n", NAMESPACE, "-l", DATAPLANE_PODS)
        ready = {pod["spec"].get("nodeName") for pod in pods if _is_ready(pod)}
        return ready >= {node["metadata"]["name"] for node in self.get_all("nodes")}

    # ---- kubectl --------------------------------------------------------------------------------------------------

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(*args, input=stdin)

    def get(self, *args: str) -> Json:
        answer: Json = json.loads(self.kubectl("get", *args, "-o", "json"))
        return answer

    def get_all(self, *args: str) -> list[Json]:
        items: list[Json] = self.get(*args)["items"]
        return items

    def dataplane_pod(self, node: str) -> str:
        """Name of the node's dataplane pod, empty while none is ready."""
        pods = self.get_all("pods", "-n", NAMESPACE, "-l", DATAPLANE_PODS, "--field-selector", f"spec.nodeName={node}")
        return str(next((pod["metadata"]["name"] for pod in pods if _is_ready(pod)), ""))

    def node_dataplane(self, node: str) -> Json:
        return self.get("nodedataplane", node)

    # ---- filters --------------------------------------------------------------------------------------------------

    def apply(self, *manifests: Json) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def filter(self, name: str) -> Json:
        return self.get("floodfilter", name)

    def wait_ready(self, name: str, timeout_s: float = 10 * PROMISE_S) -> Json:
        """Wait until the filter's Ready condition is True for its present generation; return the filter."""
        return dict(wait_for(f"{name} Ready", lambda: self.ready(name), timeout_s))

    def ready(self, name: str) -> Json | None:
        found = self.filter(name)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if current and condition(found, "Ready").get("status") == "True" else None

    def wait_condition(self, name: str, kind: str, reason: str, timeout_s: float = 10 * PROMISE_S) -> Json:
        """Wait until one condition of a filter has that reason; return the condition."""

        def probe() -> Json | None:
            found = condition(self.filter(name), kind)
            return found if found.get("reason") == reason else None

        return dict(wait_for(f"{name} {kind}={reason}", probe, timeout_s))

    def totals(self, name: str) -> Json:
        return dict(self.filter(name).get("status", {}).get("totals", {}))

    def wait_matched(self, name: str, packets: int, timeout_s: float = 60) -> Json:
        """Wait until so many packets were matched; return all totals. The counts are reported every few seconds."""

        def probe() -> Json | None:
            totals = self.totals(name)
            return totals if totals.get("matchedPackets", 0) >= packets else None

        return dict(wait_for(f"{packets} packets matched by {name}", probe, timeout_s, 0.3))

    def delete_filters(self) -> None:
        """Delete every filter and wait until no node's order holds one."""
        self.kubectl("delete", "floodfilters", "--all", "--timeout=20s")
        wait_for("orders without filters", lambda: not any(map(_filters_ordered, self.get_all("nodedataplanes"))))
        wait_for("agents that have carried this out", lambda: not any(map(_filters_run, self.get_all("nodedataplanes"))), 60)


def _filters_ordered(dataplane: Json) -> list[Json]:
    return list(dataplane["spec"].get("filters", []))


def _filters_run(dataplane: Json) -> list[Json]:
    return list(dataplane.get("status", {}).get("filters", []))


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ending = "deletionTimestamp" in pod["metadata"]
    return not ending and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def condition(found: Json, kind: str) -> Json:
    """One condition of an object, or an empty one."""
    listed = found.get("status", {}).get("conditions", [])
    return next((each for each in listed if each["type"] == kind), {})


def flood_filter(name: str, rules: list[Json], *, node: str | None = "node1", **spec: Any) -> Json:
    """A FloodFilter manifest; node None selects every node."""
    labels = {"kubernetes.io/hostname": node} if node else {}
    selector = {"matchLabels": labels} if labels else {}
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "FloodFilter",
        "metadata": {"name": name},
        "spec": {"mode": "Enforce", "nodeSelector": selector, "rules": rules, **spec},
    }


def rule(name: str, action: str = "Drop", **match: Any) -> Json:
    """One rule of a manifest."""
    return {"name": name, "match": match, "action": action}
