"""What the chart makes of `streams.grants`: nothing without a grant or without the API, and with both exactly what is listed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from spillway_dataplane.dra.grants import decode_config
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.settings import read_settings
from tests.e2e.chart import CHART, GRANTS, KUBERNETES, NAMESPACE, Json, agent, helm, only, render

NOTES = """\
kind: Notes
text: {{ tpl (.Files.Get "notes.txt") . | toJson }}
"""
ELSEWHERE = "/data/kubelet"


@pytest.fixture
def objects() -> tuple[Json, ...]:
    return render(*GRANTS)


def container(objects: tuple[Json, ...]) -> Json:
    """The one that keeps the rings."""
    (found,) = (each for each in agent(objects)["containers"] if each["name"] == "streams")
    return dict(found)


def named_streams(objects: tuple[Json, ...]) -> set[str]:
    return {each["metadata"]["name"] for each in objects if each["metadata"]["name"].startswith("spillway-streams")}


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: without a cluster Helm renders everything but them."""
    chart = tmp_path_factory.mktemp("chart") / "spillway"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(NOTES)
    return chart


def notes(chart: Path, *settings: str, kubernetes: str = KUBERNETES) -> str:
    chosen = [part for setting in settings for part in ("--set", setting)]
    argv = [helm(), "template", "spillway", chart, "-n", NAMESPACE, "--kube-version", kubernetes, "-s", "templates/notes.yaml"]
    done = subprocess.run([*argv, *chosen], capture_output=True, text=True, check=True)
    return str(yaml.safe_load(done.stdout)["text"])


@pytest.mark.parametrize(
    ("settings", "kubernetes"),
    [pytest.param((), KUBERNETES, id="no grant"), pytest.param(GRANTS, "1.33.7", id="no resource.k8s.io/v1")],
)
def test_nothing_of_streams(settings: tuple[str, ...], kubernetes: str) -> None:
    """No container, no right, no class: a cluster without streams has nothing of them."""
    objects = render(*settings, kubernetes=kubernetes)
    assert not named_streams(objects)
    assert not [each for each in objects if each["kind"] == "DeviceClass"]
    assert [each["name"] for each in agent(objects)["containers"]] == ["agent"]
    assert not [volume for volume in agent(objects)["volumes"] if "plugin" in str(volume) or "cdi" in str(volume)]


def test_notes_say_why_there_are_no_streams(telling: Path) -> None:
    said = notes(telling, *GRANTS, kubernetes="1.33.7")
    assert "NO STREAMS" in said
    assert "v1.33.7) does not serve resource.k8s.io/v1" in said


def test_notes_say_whose_the_queues_are(telling: Path) -> None:
    assert "pods of these namespaces may have transmit queues: news, studio." in notes(telling, *GRANTS)
    assert "transmit queues" not in notes(telling)


def test_the_driver_reads_what_the_chart_writes(objects: tuple[Json, ...]) -> None:
    """Its decoder is strict; a queue is granted to whom it is listed for and to nobody else."""
    grants = decode_config(only(objects, "ConfigMap", "spillway-streams")["data"]["streams.json"])
    assert grants.queues() == (("eth0", 3), ("eth1", 1), ("eth1", 2), ("eth1", 3), ("eth7", 0))
    assert grants.allows("news", "eth1", 2)
    assert not grants.allows("news", "eth0", 3)
    assert not grants.allows("studio", "eth1", 0)


def test_the_driver_is_told_where_everything_is() -> None:
    objects = render(*GRANTS, f"kubeletDir={ELSEWHERE}", "streams.metricsPort=19466")
    fields = {"NODE_NAME": "node1", "NODE_IP": "10.0.0.11", "POD_UID": "1c9b9f0e-77aa", "SPILLWAY_MEMORY_LIMIT": "1073741824"}
    environment = {each["name"]: each.get("value", fields.get(each["name"], "")) for each in container(objects)["env"]}
    settings = read_settings(environment)
    mounts = {mount["mountPath"] for mount in container(objects)["volumeMounts"]}
    assert {str(settings.plugin), str(settings.registration_socket.parent), str(settings.cdi)} <= mounts
    assert str(settings.config.parent) in mounts
    assert str(settings.kubelet) == ELSEWHERE
    assert settings.metrics_port == container(objects)["readinessProbe"]["httpGet"]["port"] == 19466


def test_what_the_driver_tells_kubelet_is_true_outside_too(objects: tuple[Json, ...]) -> None:
    """Kubelet and the container runtime get paths from the driver, so they are the same in the pod and on the node."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container(objects)["volumeMounts"]}
    host_paths = {volume["name"]: volume["hostPath"]["path"] for volume in agent(objects)["volumes"] if "hostPath" in volume}
    for name in ("queue-plugin", "plugin-registry", "cdi"):
        assert mounts[name] == host_paths[name]


def test_the_driver_cannot_load_programs(objects: tuple[Json, ...]) -> None:
    context = container(objects)["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW", "NET_ADMIN", "IPC_LOCK"]}
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_agent_sees_nothing_of_the_driver(objects: tuple[Json, ...]) -> None:
    (filters,) = (each for each in agent(objects)["containers"] if each["name"] == "agent")
    (plain,) = agent(render())["containers"]
    assert filters == plain


def test_each_namespace_has_a_class_of_its_own(objects: tuple[Json, ...]) -> None:
    classes = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "DeviceClass"}
    assert set(classes) == {f"{namespace}.{QUEUE_DRIVER}" for namespace in ("studio", "news")}
    (selector,) = classes[f"news.{QUEUE_DRIVER}"]["selectors"]
    expression = selector["cel"]["expression"]
    assert expression.startswith(f'device.driver == "{QUEUE_DRIVER}" && cel.bind(its, device.attributes["{QUEUE_DRIVER}"], ')
    assert '.interface == "eth1"' in expression
    assert "in [1,2,3]" in expression
    assert "eth0" not in expression
    (both,) = classes[f"studio.{QUEUE_DRIVER}"]["selectors"]
    assert '.interface == "eth0"' in both["cel"]["expression"]


POLICIES = ("spillway-streams-own-node", "spillway-streams-claims", "spillway-streams-classes")


@pytest.mark.parametrize("name", POLICIES)
def test_policies_deny_when_in_doubt(objects: tuple[Json, ...], name: str) -> None:
    """An object of an older version of the API is converted to v1 before it is judged: so v1 alone is matched."""
    policy = only(objects, "ValidatingAdmissionPolicy", name)
    binding = only(objects, "ValidatingAdmissionPolicyBinding", name)
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": name, "validationActions": ["Deny"]}
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert rule["apiVersions"] == ["v1"]
    assert "matchPolicy" not in policy["spec"]["matchConstraints"]


def test_the_claims_policy_names_the_listed_namespaces(objects: tuple[Json, ...]) -> None:
    policy = only(objects, "ValidatingAdmissionPolicy", "spillway-streams-claims")
    first = policy["spec"]["validations"][0]
    assert json.dumps(["news", "studio"], separators=(",", ":")) in first["expression"]
    assert "has listed news, studio (chart value streams.grants)" in first["messageExpression"]
