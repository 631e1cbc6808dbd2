"""Who may claim a queue, and what a stolen driver token can do, on a real API server: the policies that come with streams.grants.

Every claim here is judged and none is allocated: no pod asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.product import NAMESPACE, Json, wait_for
from tests.e2e.streams import DRIVER, Studio
from tests.e2e.test_chart_policies import Thief, server, token

API = "/apis/resource.k8s.io/v1"
DEVICE = "eth1-tx1"
GPU = "gpu.example.com"


def asked(device_class: str, *selectors: str, **fields: Any) -> Json:
    chosen = {"selectors": [{"cel": {"expression": each}} for each in selectors]} if selectors else {}
    return {"name": "ring", "exactly": {"deviceClassName": device_class, **chosen, **fields}}


def one_of(*classes: str, selector: str = "true") -> Json:
    listed = [
        {"name": f"s{number}", "deviceClassName": each, "selectors": [{"cel": {"expression": selector}}]}
        for number, each in enumerate(classes)
    ]
    return {"name": "ring", "firstAvailable": listed}


def claim(*requests: Json, kind: str = "ResourceClaim", namespace: str = "studio") -> Json:
    spec: Json = {"devices": {"requests": list(requests)}} if requests else {}
    whole = spec if kind == "ResourceClaim" else {"spec": spec}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "judged", "namespace": namespace},
        "spec": whole,
    }


def say(studio: Studio, manifest: Json) -> str:
    """What the API server answers to a creation that leaves nothing."""
    return studio.answer(manifest, "--dry-run=server")


STUDIO, NEWS = f"studio.{DRIVER}", f"news.{DRIVER}"
REACH = f'device.driver == "{DRIVER}"'
NOT_LISTED = "transmit queues are not granted to namespace lobby; the cluster administrator has listed news, studio"
OWN_CLASS = "in namespace studio the device class of transmit queues is studio.tx-queue.spillway.dev"
NO_OTHER_WAY = "transmit queues are reached through the device class studio.tx-queue.spillway.dev only"
TEMPLATE = "ResourceClaimTemplate"
ACCEPTED = {
    "own class": claim(asked(STUDIO)),
    "own class and selector": claim(asked(STUDIO, f'device.attributes["{DRIVER}"].queue == 1')),
    "one of two": claim(one_of(STUDIO, GPU)),
    "template": claim(asked(STUDIO), kind=TEMPLATE),
    "somebody else's device": claim(asked(GPU, f'device.driver == "{GPU}"'), namespace="lobby"),
    "no request": claim(namespace="lobby"),
}
REFUSED = {
    "namespace not listed": (claim(asked(f"lobby.{DRIVER}"), namespace="lobby"), NOT_LISTED),
    "a listed one's class": (claim(asked(STUDIO), namespace="lobby"), NOT_LISTED),
    "template not listed": (claim(asked(STUDIO), kind=TEMPLATE, namespace="lobby"), NOT_LISTED),
    "another's class": (claim(asked(NEWS)), OWN_CLASS),
    "another's class beside its own": (claim(asked(STUDIO), asked(NEWS) | {"name": "second"}), OWN_CLASS),
    "another's class as second choice": (claim(one_of(STUDIO, NEWS)), OWN_CLASS),
    "no namespace's class": (claim(asked(DRIVER)), OWN_CLASS),
    "another class's selector": (claim(asked(GPU, REACH)), NO_OTHER_WAY),
    "another class's selector as second choice": (claim(one_of(STUDIO, GPU, selector=REACH)), NO_OTHER_WAY),
}


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_claims_that_are_nobodys_business(studio: Studio, manifest: Json) -> None:
    assert "created (server dry run)" in say(studio, manifest)


@pytest.mark.parametrize(("manifest", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_claims_that_are_refused_say_why(studio: Studio, manifest: Json, reason: str) -> None:
    assert reason in say(studio, manifest)


def test_nobody_has_admin_access_to_a_queue(studio: Studio) -> None:
    """Two holders of one queue would be the end of both; Kubernetes lets a labelled namespace ask for it."""
    label = "resource.kubernetes.io/admin-access"
    studio.product.kubectl("label", "namespace", "studio", f"{label}=true")
    try:
        assert "nobody gets adminAccess" in say(studio, claim(asked(STUDIO, adminAccess=True)))
    finally:
        studio.product.kubectl("label", "namespace", "studio", f"{label}-")


def test_no_other_class_selects_queues(studio: Studio) -> None:
    spec = {"selectors": [{"cel": {"expression": REACH}}]}
    manifest = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "any-queue"}, "spec": spec}
    assert "transmit queues have the classes that the chart makes" in say(studio, manifest)
    spec["selectors"][0]["cel"]["expression"] = f'device.driver == "{GPU}"'
    assert "created (server dry run)" in say(studio, manifest)


# ---- a stolen driver token --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driver(studio: Studio, cluster: Cluster) -> Thief:
    """The holder of node1's driver's token."""
    pod = studio.product.dataplane_pod("node1")
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod)
    return Thief(server(cluster), token(studio.product, "spillway-dataplane", *bound))


def own_slice(node: str, **fields: Any) -> Json:
    spec = {
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "stolen"}],
        **fields,
    }
    kept = {key: value for key, value in spec.items() if value is not None}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "stolen"}, "spec": kept}


FOREIGN_SLICES = {
    "another node": own_slice("node2"),
    "another node's pool": own_slice("node1", pool={"name": "node2", "generation": 1, "resourceSliceCount": 1}),
    "every node": own_slice("node1", nodeName=None, allNodes=True),
    "another driver": own_slice("node1", driver=GPU),
}


@pytest.mark.parametrize("body", FOREIGN_SLICES.values(), ids=FOREIGN_SLICES.keys())
def test_a_driver_publishes_for_its_own_node_only(driver: Thief, body: Json) -> None:
    code, said = driver.ask("POST", f"{API}/resourceslices?dryRun=All", body)
    assert (code, "runs on node node1 and may publish only the queues of that node" in said) == (403, True), said


def test_a_driver_publishes_for_its_own_node(driver: Thief) -> None:
    assert driver.ask("POST", f"{API}/resourceslices?dryRun=All", own_slice("node1"))[0] == 201


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"spec": {"devices": []}})])
def test_a_driver_leaves_other_nodes_slices(driver: Thief, studio: Studio, method: str, body: Json | None) -> None:
    name = studio.slice_of("node2")["metadata"]["name"]
    code, said = driver.ask(method, f"{API}/resourceslices/{name}", body)
    assert (code, "spillway-streams-own-node" in said) == (403, True), said


def allocated(node: str, driver: str = DRIVER) -> Json:
    """The status of a claim as the scheduler leaves it."""
    result = {"request": "ring", "driver": driver, "pool": node, "device": DEVICE}
    reserved = [{"apiGroup": "example.com", "resource": "things", "name": "nobody", "uid": "0"}]  # a missing pod would be removed
    return {"status": {"allocation": {"devices": {"results": [result]}}, "reservedFor": reserved}}


def reported(node: str) -> Json:
    return {"status": {"devices": [{"driver": DRIVER, "pool": node, "device": DEVICE, "data": {"stolen": True}}]}}


@pytest.fixture
def allocation(studio: Studio, request: pytest.FixtureRequest) -> Iterator[str]:
    """A claim that somebody allocated on a node; its path in the API."""
    kubectl = studio.product.kubectl
    studio.product.apply(claim(asked(STUDIO)))
    status = ("-n", "studio", "patch", "resourceclaim", "judged", "--subresource=status", "--type=merge", "-p")
    kubectl(*status, studio.json(allocated(request.param)))
    yield f"{API}/namespaces/studio/resourceclaims/judged"
    kubectl(*status, studio.json({"status": {"reservedFor": None, "devices": None}}))
    kubectl("-n", "studio", "delete", "resourceclaim", "judged", "--wait=false")
    wait_for("the end of the claim", lambda: "judged" not in kubectl("-n", "studio", "get", "resourceclaims", "-o", "name"))


@pytest.mark.parametrize("allocation", ["node1"], indirect=True)
def test_a_driver_reports_and_takes_nothing_away(driver: Thief, allocation: str) -> None:
    assert driver.ask("PATCH", f"{allocation}/status", reported("node1"))[0] == 200
    for body in ({"allocation": None, "reservedFor": None, "devices": None}, {"reservedFor": None}):
        code, said = driver.ask("PATCH", f"{allocation}/status", {"status": body})
        assert (code, "neither allocate nor take away" in said) == (403, True), said


@pytest.mark.parametrize("allocation", ["node2"], indirect=True)
def test_a_driver_reports_for_no_other_node(driver: Thief, allocation: str) -> None:
    code, said = driver.ask("PATCH", f"{allocation}/status", reported("node2"))
    assert (code, "runs on node node1 and may report only the queues of that node" in said) == (403, True), said


def test_a_token_without_a_node_publishes_nothing(studio: Studio, cluster: Cluster) -> None:
    unbound = Thief(server(cluster), token(studio.product, "spillway-dataplane"))
    code, said = unbound.ask("POST", f"{API}/resourceslices?dryRun=All", own_slice("node1"))
    assert (code, "bound to a pod on a node" in said) == (403, True), said


@pytest.fixture
def all_powerful(studio: Studio) -> Iterator[None]:
    account = f"--serviceaccount={NAMESPACE}:spillway-dataplane"
    studio.product.kubectl("create", "clusterrolebinding", "spillway-test", "--clusterrole=cluster-admin", account)
    yield
    studio.product.kubectl("delete", "clusterrolebinding", "spillway-test")


def test_a_driver_with_every_right_still_writes_nothing_else(driver: Thief, all_powerful: None) -> None:
    def refused() -> bool:
        code, said = driver.ask("DELETE", f"{API}/deviceclasses/{STUDIO}?dryRun=All")
        return code == 403 and "and the status of claims, and nothing else" in said

    wait_for("the policy's own refusal, past the authorizer's", refused)
