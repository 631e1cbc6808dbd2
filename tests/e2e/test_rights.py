"""Who may do what: stolen tokens reach no further than their own node or label, and pods hold five capabilities."""

from __future__ import annotations

import json

import pytest

from tests.cluster import Cluster
from tests.e2e.product import DATAPLANE_PODS, NAMESPACE, Product, flood_filter, rule, wait_for

FIVE = {"CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON", "CAP_IPC_LOCK"}
CAPABILITY_BITS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_PERFMON": 38, "CAP_BPF": 39}
NODE_LABEL = "dataplane.spillway.node-restriction.kubernetes.io/wanted"
EDGE = flood_filter("edge", [rule("flood", protocol="UDP", destinationPorts=["40031"])])
SECOND = flood_filter("second", [rule("flood", protocol="UDP", destinationPorts=["40032"])], priority=200)


def token_of(product: Product, component: str, node: str | None = None) -> str:
    """The token that a pod holds, as a thief would read it."""
    selector = f"app.kubernetes.io/component={component}"
    place = ("--field-selector", f"spec.nodeName={node}") if node else ()
    pod = product.get_all("pods", "-n", NAMESPACE, "-l", selector, *place)[0]["metadata"]["name"]
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    return product.kubectl("-n", NAMESPACE, "exec", pod, "--", "cat", path).strip()


@pytest.fixture
def agent_token(product: Product) -> str:
    return token_of(product, "dataplane", "node1")


@pytest.fixture
def operator_token(product: Product) -> str:
    return token_of(product, "operator")


STATUS = {"status": {"agentVersion": "stolen"}}
DATAPLANES = "/apis/spillway.dev/v1alpha1/nodedataplanes"


def call(cluster: Cluster, token: str, verb: str, path: str, body: object = None) -> int:
    """Call the API with a stolen token and nothing else; return the HTTP status. kubectl would read before it writes."""
    argv = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-X", verb, "-H", f"Authorization: Bearer {token}"]
    if body is not None:
        argv += ["-H", "Content-Type: application/merge-patch+json", "-d", json.dumps(body)]
    return int(cluster.host("client").run([*argv, f"https://10.99.0.1:6443{path}"]).stdout)


def test_an_agent_writes_its_own_nodes_status(cluster: Cluster, product: Product, agent_token: str) -> None:
    """The accepting twin of the test below."""
    assert call(cluster, agent_token, "PATCH", f"{DATAPLANES}/node1/status", STATUS) == 200


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        pytest.param("PATCH", f"{DATAPLANES}/node2/status", STATUS, id="another node's status"),
        pytest.param("PATCH", f"{DATAPLANES}/node1", {"spec": {"state": "Empty"}}, id="its own order"),
        pytest.param("DELETE", f"{DATAPLANES}/node1", None, id="delete"),
        pytest.param("PATCH", "/api/v1/nodes/node1", {"metadata": {"labels": {"a": "b"}}}, id="node label"),
        pytest.param("GET", "/api/v1/secrets", None, id="secrets"),
        pytest.param("DELETE", "/apis/spillway.dev/v1alpha1/floodfilters/edge", None, id="filters"),
    ],
)
def test_an_agents_token_writes_nothing_else(
    cluster: Cluster, product: Product, agent_token: str, verb: str, path: str, body: object
) -> None:
    """Every other write of a stolen agent token is refused, by RBAC or by the admission policy."""
    assert call(cluster, agent_token, verb, path, body) in (403, 422)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"metadata": {"labels": {"stolen": "true"}}}, id="another label"),
        pytest.param({"metadata": {"labels": {NODE_LABEL: "true", "stolen": "true"}}}, id="another label beside its own"),
        pytest.param({"metadata": {"annotations": {"stolen": "true"}}}, id="annotation"),
        pytest.param({"spec": {"unschedulable": True}}, id="cordon"),
        pytest.param({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, id="taint"),
    ],
)
def test_the_operator_patches_its_label_only(cluster: Cluster, product: Product, operator_token: str, patch: object) -> None:
    """The admission policy bounds the operator's right to patch nodes to one label."""
    assert call(cluster, operator_token, "PATCH", "/api/v1/nodes/node1", patch) in (403, 422)


def test_the_operator_may_set_its_label(cluster: Cluster, product: Product, operator_token: str) -> None:
    """The accepting twin."""
    patch = {"metadata": {"labels": {NODE_LABEL: "true"}}}
    assert call(cluster, operator_token, "PATCH", "/api/v1/nodes/node1", patch) == 200


def test_the_dataplane_holds_five_capabilities(product: Product) -> None:
    """As asked for in the pod, and as the kernel shows it of the running process."""
    pod = product.get_all("pods", "-n", NAMESPACE, "-l", DATAPLANE_PODS)[0]
    container = next(each for each in pod["spec"]["containers"] if each["name"] == "agent")
    context = container["securityContext"]
    assert {f"CAP_{name}" for name in context["capabilities"]["add"]} == FIVE
    assert context["capabilities"]["drop"] == ["ALL"]
    assert not context.get("privileged")
    status = product.kubectl("-n", NAMESPACE, "exec", pod["metadata"]["name"], "-c", "agent", "--", "cat", "/proc/1/status")
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
    assert int(bounding, 16) == sum(1 << bit for bit in CAPABILITY_BITS.values())


FOREIGN_EDITS = {
    "insert": [
        {"op": "add", "path": "/spec/filters/0", "value": {"name": "x", "uid": "x", "revision": "x-0", "mode": "Enforce"}}
    ],
    "remove": [{"op": "remove", "path": "/spec/filters/0"}],
    "change": [{"op": "replace", "path": "/spec/filters/0/mode", "value": "Monitor"}],
    "empty": [{"op": "replace", "path": "/spec", "value": {"state": "Empty"}}],
}


@pytest.mark.parametrize("edit", FOREIGN_EDITS)
def test_a_foreign_edit_is_repaired(product: Product, edit: str) -> None:
    """Whatever a stranger does to an order comes back."""
    product.apply(EDGE, SECOND)
    product.wait_ready("edge")
    product.wait_ready("second")
    wanted = product.node_dataplane("node1")["spec"]
    product.kubectl("patch", "nodedataplane", "node1", "--type=json", "-p", json.dumps(FOREIGN_EDITS[edit]))
    wait_for("the order as it was", lambda: without_turn(product.node_dataplane("node1")["spec"]) == without_turn(wanted))


def test_reordering_is_repaired(product: Product) -> None:
    """The order of filters is their order of deciding."""
    product.apply(EDGE, SECOND)
    product.wait_ready("edge")
    product.wait_ready("second")
    wanted = product.node_dataplane("node1")["spec"]
    patch = json.dumps([{"op": "move", "from": "/spec/filters/0", "path": "/spec/filters/1"}])
    product.kubectl("patch", "nodedataplane", "node1", "--type=json", "-p", patch)
    wait_for("the order as it was", lambda: without_turn(product.node_dataplane("node1")["spec"]) == without_turn(wanted))


def test_a_deleted_order_comes_back(product: Product) -> None:
    """The object is made again, and the filter was in the kernel all the time."""
    product.apply(EDGE)
    product.wait_ready("edge")
    link = product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"]
    product.kubectl("delete", "nodedataplane", "node1", "--timeout=10s")
    wait_for("the order", lambda: [n for n in product.get_all("nodedataplanes") if n["metadata"]["name"] == "node1"])
    product.wait_ready("edge")
    assert product.node_dataplane("node1")["status"]["interfaces"][0]["linkId"] == link


def without_turn(spec: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in spec.items() if key != "attach"}


def test_nothing_is_put_on_what_users_write(product: Product) -> None:
    """No finalizer, no annotation of ours."""
    product.apply(EDGE)
    product.wait_ready("edge")
    metadata = product.filter("edge")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}
