"""What is read when it is needed, not watched: where API servers listen, and why agents' pods do not run."""

from __future__ import annotations

from collections.abc import Iterable

from spillway_operator.api.calls import API_SERVER_SLICES, CLUSTER_INFO, ApiServer, Kind
from spillway_operator.api.pods import MAX_MESSAGE_CHARS, pod_trouble
from spillway_operator.filters.wire import Raw

MAX_NODES = 3  # whose pods are looked at one by one: in a large cluster not all pods are listed for a few that do not run


async def observe_api_servers(api: ApiServer) -> tuple[list[Raw], Raw | None]:
    """The `kubernetes` Service's EndpointSlices, and kube-public/cluster-info or None."""
    slices, _ = await api.list(API_SERVER_SLICES, query={"labelSelector": "kubernetes.io/service-name=kubernetes"})
    return slices, await api.get(CLUSTER_INFO, "cluster-info")


class DataplanePods:
    """The DaemonSet that runs the agents, and its pods."""

    def __init__(self, api: ApiServer, namespace: str, daemonset: str) -> None:
        self._api, self._name = api, daemonset
        self._daemonsets = Kind("DaemonSet", "apps/v1", "daemonsets", namespace)
        self._pods = Kind("Pod", "v1", "pods", namespace)
        self._events = Kind("Event", "v1", "events", namespace)

    async def on_node(self, node: str) -> bool:
        """Whether a node has a pod of ours, ending ones included."""
        pods, _ = await self._api.list(self._pods, query={"fieldSelector": f"spec.nodeName={node}"})
        return any(self._is_ours(pod) for pod in pods)

    async def trouble(self, labelled_nodes: int, unheard: list[str]) -> str:
        """Say in a sentence why agents do not run; empty if nothing speaks against it.

        labelled_nodes: how many nodes carry the label that the DaemonSet selects. unheard: names of those without an agent.
        """
        daemonset = await self._api.get(self._daemonsets, self._name)
        if daemonset is None:
            return f"there is no DaemonSet {self._name}"
        status = daemonset.get("status") or {}
        desired, created = status.get("desiredNumberScheduled", 0), status.get("currentNumberScheduled", 0)
        if desired > created and (refusal := await self._refusal()):
            return f"pods cannot be created: {refusal}"
        if text := _summary(pod for pod in await self._suspects(unheard) if self._is_ours(pod)):
            return text
        if desired < labelled_nodes and daemonset["metadata"].get("generation") == status.get("observedGeneration"):
            excluded = labelled_nodes - desired
            return f"the DaemonSet's nodeSelector, affinity or tolerations exclude {excluded} of {labelled_nodes} nodes"
        return ""

    async def _suspects(self, unheard: list[str]) -> list[Raw]:
        """Pods that wait for anything, and those of the first nodes without an agent that reports."""
        selectors = ["status.phase=Pending", *(f"spec.nodeName={node}" for node in unheard[:MAX_NODES])]
        found = [await self._api.list(self._pods, query={"fieldSelector": selector}) for selector in selectors]
        pods = {pod["metadata"]["uid"]: pod for listed, _ in found for pod in listed}
        return list(pods.values())

    def _is_ours(self, pod: Raw) -> bool:
        owners = pod["metadata"].get("ownerReferences") or ()
        return any(owner["kind"] == "DaemonSet" and owner["name"] == self._name for owner in owners)

    async def _refusal(self) -> str:
        """The newest message about a pod that was refused, from the DaemonSet's Events."""
        about = f"involvedObject.kind=DaemonSet,involvedObject.name={self._name},reason=FailedCreate"
        events, _ = await self._api.list(self._events, query={"fieldSelector": about})
        newest = max(events, key=_event_time, default=None)
        return "" if newest is None else str(newest.get("message") or "")[:MAX_MESSAGE_CHARS]


def _event_time(event: Raw) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or ""


def _summary(pods: Iterable[Raw]) -> str:
    """The first pod that cannot run, by name, and how many more there are."""
    found = sorted((pod["metadata"]["name"], text) for pod in pods if (text := pod_trouble(pod)))
    if not found:
        return ""
    name, text = found[0]
    more = f" (and {len(found) - 1} more pods)" if len(found) > 1 else ""
    return f"pod {name}: {text}{more}"
