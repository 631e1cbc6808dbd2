"""Who may do what, as the chart says it: exactly what is used. tests/e2e/test_rights.py asks a real API server."""

from __future__ import annotations

import pytest

from spillway_crds.names import NODE_LABEL, PEERS_CONFIGMAP, SWITCH_CONFIGMAP
from tests.e2e.chart import GRANTS, NAMESPACE, Json, only, render, rights

FOLLOW = ("list", "watch")
READ = ("get", *FOLLOW)
AGENT = {
    ("*", "spillway.dev", "nodedataplanes", "*"): FOLLOW,
    ("*", "spillway.dev", "nodedataplanes/status", "*"): ("patch",),
    (NAMESPACE, "apps", "controllerrevisions", "*"): ("get",),
    (NAMESPACE, "", "configmaps", "*"): FOLLOW,
}
OPERATOR = {
    ("*", "spillway.dev", "floodfilters", "*"): READ,
    ("*", "spillway.dev", "floodfilters/status", "*"): ("patch",),
    ("*", "spillway.dev", "bypassstreams", "*"): FOLLOW,
    ("*", "spillway.dev", "bypassstreams/status", "*"): ("patch",),
    ("*", "resource.k8s.io", "resourceclaims", "*"): ("list", "watch"),
    ("*", "resource.k8s.io", "resourceslices", "*"): ("list", "watch"),
    ("*", "events.k8s.io", "events", "*"): ("create",),
    ("*", "spillway.dev", "nodedataplanes", "*"): (*FOLLOW, "create", "patch", "delete"),
    ("*", "", "nodes", "*"): (*READ, "patch"),
    ("*", "apiextensions.k8s.io", "customresourcedefinitions", "bypassstreams.spillway.dev"): ("get",),
    ("*", "apiextensions.k8s.io", "customresourcedefinitions", "floodfilters.spillway.dev"): ("get",),
    ("*", "apiextensions.k8s.io", "customresourcedefinitions", "nodedataplanes.spillway.dev"): ("get",),
    (NAMESPACE, "coordination.k8s.io", "leases", "*"): ("create",),
    (NAMESPACE, "coordination.k8s.io", "leases", "spillway-operator"): ("get", "update"),
    (NAMESPACE, "apps", "controllerrevisions", "*"): ("get", "list", "create", "delete"),
    (NAMESPACE, "apps", "deployments", "spillway-operator"): ("get",),
    (NAMESPACE, "apps", "daemonsets", "spillway-dataplane"): ("get",),
    (NAMESPACE, "", "configmaps", "*"): (*READ, "create"),
    (NAMESPACE, "", "configmaps", PEERS_CONFIGMAP): ("patch",),
    (NAMESPACE, "", "configmaps", "spillway-uninstall"): ("patch",),
    (NAMESPACE, "", "pods", "*"): ("list",),
    (NAMESPACE, "", "events", "*"): ("list",),
    ("default", "discovery.k8s.io", "endpointslices", "*"): ("list",),
    ("kube-public", "", "configmaps", "cluster-info"): ("get",),
}
DRIVER = {
    ("*", "", "nodes", "*"): ("get",),
    ("*", "resource.k8s.io", "resourceslices", "*"): (*READ, "create", "patch", "delete"),
    ("*", "resource.k8s.io", "resourceclaims", "*"): ("get",),
    ("*", "resource.k8s.io", "resourceclaims/status", "*"): ("patch", "update"),
}
MAKER = {
    ("*", "resource.k8s.io", "resourceclaims", "*"): ("create", "delete"),
    ("*", "", "pods", "*"): ("get", "list", "create", "delete"),
}
ACCOUNTS = {
    "spillway-dataplane": AGENT,
    "spillway-operator": OPERATOR,
    "spillway-podsecurity": {(NAMESPACE, "", "namespaces", NAMESPACE): ("patch",)},
}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_rights_are_exactly_these(account: str) -> None:
    wanted = {(*place, verb) for place, verbs in ACCOUNTS[account].items() for verb in verbs}
    assert rights(render(), account) == wanted


def test_the_driver_adds_exactly_these() -> None:
    wanted = {(*place, verb) for place, verbs in (AGENT | DRIVER).items() for verb in verbs}
    assert rights(render(*GRANTS), "spillway-dataplane") == wanted


def test_the_operator_makes_claims_only_where_queues_are_granted() -> None:
    more = rights(render(*GRANTS), "spillway-operator") - rights(render(), "spillway-operator")
    assert more == {(*place, verb) for place, verbs in MAKER.items() for verb in verbs}


def test_no_other_account_has_rights() -> None:
    """Every binding names service accounts of ours, and no role is a wildcard."""
    for each in render():
        for subject in each.get("subjects", []):
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE)
            assert subject["name"] in ACCOUNTS
        if each["kind"] in {"Role", "ClusterRole"}:
            assert "*" not in str(each["rules"])


def test_nobody_of_ours_pulls_the_kill_switch() -> None:
    """It is the administrator's: nobody may change or delete it."""
    for account in ACCOUNTS:
        assert not [right for right in rights(render(), account) if SWITCH_CONFIGMAP in right]


POLICIES = {
    "spillway-agent-own-node": "spillway-dataplane",
    "spillway-operator-own-label": "spillway-operator",
    "spillway-operator-own-claims": "spillway-operator",
    "spillway-operator-own-pods": "spillway-operator",
}


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Json:
    return only(render(*GRANTS), "ValidatingAdmissionPolicy", request.param)


def test_policies_deny_when_in_doubt(policy: Json) -> None:
    binding = only(render(*GRANTS), "ValidatingAdmissionPolicyBinding", policy["metadata"]["name"])
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_policies_concern_our_accounts_only(policy: Json) -> None:
    (condition,) = policy["spec"]["matchConditions"]
    account = f"system:serviceaccount:{NAMESPACE}:{POLICIES[policy['metadata']['name']]}"
    assert condition["expression"] == f"request.userInfo.username == '{account}'"


def test_the_operators_policy_names_its_label() -> None:
    policy = only(render(), "ValidatingAdmissionPolicy", "spillway-operator-own-label")
    assert all(NODE_LABEL in each["message"] for each in policy["spec"]["validations"][1:3])
