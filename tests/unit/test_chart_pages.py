"""The manifests that docs/ hands out: the same capabilities and mounts as the chart's agents, and as little else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart_values import CHART, defaults

DOCS = CHART.parents[1] / "docs"
FIVE = {"BPF", "NET_ADMIN", "NET_RAW", "PERFMON", "IPC_LOCK"}
Json = dict[str, Any]


def manifests(page: str) -> list[Json]:
    return list(yaml.safe_load_all((DOCS / page).read_text()))


def pod_spec(page: str) -> Json:
    found: Json = next(each["spec"] for each in manifests(page) if each["kind"] in {"Pod", "DaemonSet"})
    return found["template"]["spec"] if "template" in found else found


def worker(page: str) -> Json:
    """The container that touches the kernel."""
    spec = pod_spec(page)
    found: Json = [*spec.get("initContainers", []), *spec["containers"]][0]
    return found


@pytest.fixture(params=["purge.yaml", "static-pod.yaml"])
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_five_capabilities(page: str) -> None:
    context = worker(page)["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(context["capabilities"]["add"]) == FIVE
    assert not context.get("privileged")
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]


def test_bpffs_lies_outside_sys(page: str) -> None:
    """AppArmor's default profile for containers denies pins below /sys/fs, by the path inside the container."""
    mounts = {mount["name"]: mount["mountPath"] for mount in worker(page)["volumeMounts"]}
    assert mounts["bpffs"] == "/bpf"
    environment = {each["name"]: each.get("value") for each in worker(page)["env"]}
    assert environment["SPILLWAY_BPFFS"] == "/bpf"
    assert environment["SPILLWAY_STATE"] == mounts["state"]


def test_no_token(page: str) -> None:
    assert pod_spec(page)["automountServiceAccountToken"] is False


def test_image_is_the_charts_default(page: str) -> None:
    values = defaults()
    image = f"{values['image']['registry']}/{values['dataplane']['image']['repository']}:{values['image']['tag']}"
    assert worker(page)["image"] == image
    assert image in (DOCS / page).read_text()


def test_purge_reaches_every_linux_node() -> None:
    spec = pod_spec("purge.yaml")
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert worker("purge.yaml")["command"] == ["spillway", "off", "--purge"]


def test_purge_brings_its_own_namespace() -> None:
    """The release's may have been deleted first."""
    namespace = manifests("purge.yaml")[0]
    assert namespace["kind"] == "Namespace"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert {each["metadata"]["namespace"] for each in manifests("purge.yaml")[1:]} == {namespace["metadata"]["name"]}


def test_static_pod_refers_to_nothing_in_the_api() -> None:
    spec = pod_spec("static-pod.yaml")
    assert "serviceAccountName" not in spec
    assert not [volume for volume in spec["volumes"] if volume.keys() & {"configMap", "secret", "projected"}]
    assert worker("static-pod.yaml")["imagePullPolicy"] == "Never"
    assert Path(worker("static-pod.yaml")["command"][0]).name == "spillway"
