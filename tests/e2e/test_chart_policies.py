"""The admission policies on a real API server, past what kubectl reads first and past what RBAC already refuses.

tests/e2e/test_rights.py tells what a stolen token cannot do. Here the accounts are given every right, so that each refusal is
the policy's own.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError

import pytest
import yaml

from spillway_crds.names import NODE_LABEL
from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Json, Product, wait_for

ORDERS = "/apis/spillway.dev/v1alpha1/nodedataplanes"
STATUS = {"status": {"agentVersion": "stolen"}}
TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Thief:
    """Somebody with an API server's address and one token."""

    server: str
    token: str

    def ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        """Status code and message of one request; a body is a merge patch, of a POST the object."""
        written = "application/json" if method == "POST" else "application/merge-patch+json"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": written}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.server}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=ssl._create_unverified_context()) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())["message"]


def server(cluster: Cluster) -> str:
    return str(yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


def token(product: Product, account: str, *bound: str) -> str:
    return product.kubectl("-n", NAMESPACE, "create", "token", account, *bound).strip()


@pytest.fixture
def agent(product: Product, cluster: Cluster) -> Thief:
    """The holder of node1's agent's token."""
    pod = product.dataplane_pod("node1")
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod)
    return Thief(server(cluster), token(product, "spillway-dataplane", *bound))


@pytest.fixture
def operator(product: Product, cluster: Cluster) -> Thief:
    return Thief(server(cluster), token(product, "spillway-operator"))


@pytest.fixture
def all_powerful(product: Product) -> Iterator[None]:
    """Somebody gave both accounts every right there is."""
    accounts = [f"--serviceaccount={NAMESPACE}:{name}" for name in ("spillway-dataplane", "spillway-operator")]
    product.kubectl("create", "clusterrolebinding", "spillway-test", "--clusterrole=cluster-admin", *accounts)
    wait_for("an authorizer that has seen it", lambda: may_delete_nodes(product, "spillway-operator"))
    yield
    product.kubectl("delete", "clusterrolebinding", "spillway-test")


def may_delete_nodes(product: Product, account: str) -> bool:
    spec = {
        "user": f"system:serviceaccount:{NAMESPACE}:{account}",
        "resourceAttributes": {"resource": "nodes", "verb": "delete"},
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    said = product.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review))
    return said == "true"


def test_an_agent_reports_for_its_own_node(agent: Thief) -> None:
    assert agent.ask("PATCH", f"{ORDERS}/node1/status", STATUS)[0] == 200


def test_an_agent_reports_for_no_other_node(agent: Thief) -> None:
    code, said = agent.ask("PATCH", f"{ORDERS}/node2/status", STATUS)
    assert (code, "this agent runs on node node1 and may report for no other" in said) == (403, True), said


def test_a_token_without_a_node_reports_for_none(product: Product, cluster: Cluster) -> None:
    """Such a token comes from a Secret or from `kubectl create token`, not from a pod."""
    unbound = Thief(server(cluster), token(product, "spillway-dataplane"))
    code, said = unbound.ask("PATCH", f"{ORDERS}/node1/status", STATUS)
    assert (code, "bound to a pod on a node" in said) == (403, True), said


AGENTS_WRITES = {
    "own order": ("PATCH", f"{ORDERS}/node1", {"spec": {"state": "Empty"}}),
    "own annotation": ("PATCH", f"{ORDERS}/node1", {"metadata": {"annotations": {"a": "b"}}}),
    "own object": ("DELETE", f"{ORDERS}/node1", None),
    "other node": ("PATCH", f"{ORDERS}/node2/status", STATUS),
}


@pytest.mark.parametrize(("method", "path", "body"), AGENTS_WRITES.values(), ids=AGENTS_WRITES.keys())
def test_an_agent_with_every_right_still_writes_its_status_only(
    agent: Thief, all_powerful: None, method: str, path: str, body: Json | None
) -> None:
    code, said = agent.ask(method, path, body)
    assert (code, "spillway-agent-own-node" in said) == (403, True), said


NODES_WRITES = {
    "another label": ("PATCH", "", {"metadata": {"labels": {"stolen": "true"}}}),
    "a label gone": ("PATCH", "", {"metadata": {"labels": {"kubernetes.io/hostname": None}}}),
    "a label changed": ("PATCH", "", {"metadata": {"labels": {"kubernetes.io/hostname": "node9"}}}),
    "its label, another value": ("PATCH", "", {"metadata": {"labels": {NODE_LABEL: "maybe"}}}),
    "annotation": ("PATCH", "", {"metadata": {"annotations": {"stolen": "true"}}}),
    "finalizer": ("PATCH", "", {"metadata": {"finalizers": ["stolen.example/hold"]}}),
    "cordon": ("PATCH", "", {"spec": {"unschedulable": True}}),
    "taint": ("PATCH", "", {"spec": {"taints": [{"key": "stolen", "effect": "NoSchedule"}]}}),
    "status": ("PATCH", "/status", {"status": {"nodeInfo": {"machineID": "stolen"}}}),
    "deletion": ("DELETE", "", None),
}


@pytest.mark.parametrize(("method", "part", "body"), NODES_WRITES.values(), ids=NODES_WRITES.keys())
def test_the_operator_with_every_right_still_sets_its_label_only(
    operator: Thief, all_powerful: None, method: str, part: str, body: Json | None
) -> None:
    code, said = operator.ask(method, f"/api/v1/nodes/node2{part}", body)
    assert (code, "spillway-operator-own-label" in said) == (403, True), said


def test_the_operator_sets_its_label(operator: Thief) -> None:
    assert operator.ask("PATCH", "/api/v1/nodes/node1", {"metadata": {"labels": {NODE_LABEL: "true"}}})[0] == 200


def test_the_namespace_is_labelled(product: Product) -> None:
    """By the chart's hook, before the first agent's pod; the job and its account are gone."""
    labels = product.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    kinds = "jobs,serviceaccounts,roles,rolebindings"
    assert "spillway-podsecurity" not in product.kubectl("-n", NAMESPACE, "get", kinds, "-o", "name")
