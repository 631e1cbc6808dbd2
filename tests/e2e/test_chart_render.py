"""What the chart makes of its values: laws that hold whatever they are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from spillway_crds.names import NODE_LABEL
from spillway_dataplane.settings import read_settings
from spillway_operator.config.settings import Config, decode_config
from tests.e2e.chart import CHART, GRANTS, NAMESPACE, Json, Refused, agent, agent_container, config, helm, only, pods, render

FIVE = {"BPF", "NET_ADMIN", "NET_RAW", "PERFMON", "IPC_LOCK"}
MANY = "{" + ",".join(map(str, range(1024))) + "}"
DIGEST = "sha256:" + "a" * 64
TERM = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
VALUES = {
    "default": (),
    "no standby, one replica": ("standby.nodeSelector=null", "operator.replicas=1", "podSecurity.label=false"),
    "digests and pull secrets": (
        f"dataplane.image.digest={DIGEST}",
        f"operator.image.digest={DIGEST}",
        "image.pullSecrets[0].name=edge",
        "image.architectures={arm64}",
    ),
    "profiles": (
        "dataplane.appArmorProfile.type=Unconfined",
        "dataplane.seccompProfile.type=Localhost",
        "dataplane.seccompProfile.localhostProfile=spillway.json",
    ),
    "two node terms": (
        f"dataplane.{TERM}[0].matchExpressions[0].key=rack",
        f"dataplane.{TERM}[0].matchExpressions[0].operator=Exists",
        f"dataplane.{TERM}[1].matchFields[0].key=metadata.name",
        f"operator.{TERM}[0].matchExpressions[0].key=rack",
        "dataplane.nodeSelector.edge=yes",
        "operator.nodeSelector.infra=yes",
        "dataplane.podLabels.team=edge",
        "dataplane.tolerations=null",
    ),
    "what we set ourselves": (
        "dataplane.nodeSelector.kubernetes\\.io/os=linux",
        "operator.nodeSelector.kubernetes\\.io/os=linux",
        "dataplane.podAnnotations.kubectl\\.kubernetes\\.io/default-container=streams",
        "operator.podAnnotations.checksum/config=mine",
    ),
    "affinities taken away": ("dataplane.affinity=null", "operator.affinity=null", "operator.nodeSelector=null"),
    "streams": GRANTS,
    "percentages": ("dataplane.maxSurge=25%", "disruption.maxUnavailable=10%", "metrics.perRule=All", "metrics.port=19464"),
}


@pytest.fixture(params=VALUES.values(), ids=VALUES.keys())
def objects(request: pytest.FixtureRequest) -> tuple[Json, ...]:
    return render(*request.param)


def containers(objects: tuple[Json, ...]) -> Iterator[tuple[str, Json]]:
    for name, spec in pods(objects):
        for container in spec["containers"]:
            yield name, container


def test_lint() -> None:
    done = subprocess.run([helm(), "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# ---- the agents -------------------------------------------------------------------------------------------------------


def test_agents_hold_five_capabilities(objects: tuple[Json, ...]) -> None:
    container = agent_container(objects)
    context = container["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(context["capabilities"]["add"]) == FIVE
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}


def test_agents_have_no_cpu_limit(objects: tuple[Json, ...]) -> None:
    container = agent_container(objects)
    assert set(container["resources"]["limits"]) == {"memory"}


def test_agents_go_where_the_operators_label_is(objects: tuple[Json, ...]) -> None:
    assert agent(objects)["nodeSelector"][NODE_LABEL] == "true"


def test_agents_share_the_nodes_network_and_declare_no_port(objects: tuple[Json, ...]) -> None:
    """A declared port of a host network is a host port, and the old and the new agent of an upgrade share one."""
    spec = agent(objects)
    assert spec["hostNetwork"] is True
    assert spec["dnsPolicy"] == "Default"
    assert not any("ports" in container for container in spec["containers"])


def test_agents_are_replaced_one_beside_the_other(objects: tuple[Json, ...]) -> None:
    strategy = only(objects, "DaemonSet", "spillway-dataplane")["spec"]["updateStrategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy["rollingUpdate"]["maxSurge"] in {1, "25%"}


def test_agents_see_the_bpffs_outside_sys(objects: tuple[Json, ...]) -> None:
    """AppArmor's default profile for containers denies pins below /sys/fs, by the path inside the container."""
    container = agent_container(objects)
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["bpffs"]["mountPath"] == "/bpf"
    host_paths = {volume["name"]: volume["hostPath"]["path"] for volume in agent(objects)["volumes"] if "hostPath" in volume}
    assert {name: path for name, path in host_paths.items() if name in mounts} == {
        "bpffs": "/sys/fs/bpf",
        "state": "/var/lib/spillway",
    }


def test_probes_ask_the_metrics_port(objects: tuple[Json, ...]) -> None:
    """Without a host: the pod's address, which is the node's. Loopback is not where the agent listens."""
    container = agent_container(objects)
    environment = {each["name"]: each.get("value") for each in container["env"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert str(container[probe]["httpGet"]["port"]) == environment["SPILLWAY_METRICS_PORT"]
        assert "host" not in container[probe]["httpGet"]


def test_the_agent_reads_what_the_chart_sets(objects: tuple[Json, ...]) -> None:
    """With what kubelet fills in: a node of two families has two addresses, with a comma between."""
    container = agent_container(objects)
    fields = {"NODE_NAME": "node1", "NODE_IP": "10.0.0.11,fd00::11", "POD_NAME": "agent-x", "POD_NAMESPACE": NAMESPACE}
    settings = read_settings({each["name"]: each.get("value", fields.get(each["name"])) for each in container["env"]})
    assert settings.holder == "agent-x"
    assert len(settings.node_addresses) == 2
    assert str(settings.pins) == "/bpf/spillway"


def test_every_pod_goes_to_the_images_architectures(objects: tuple[Json, ...]) -> None:
    """Node terms are or-ed, so each of them has to say it."""
    for name, spec in pods(objects):
        required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for term in required["nodeSelectorTerms"]:
            keys = [each["key"] for each in term["matchExpressions"]]
            assert keys.count("kubernetes.io/arch") == 1, name
        assert spec["nodeSelector"]["kubernetes.io/os"] == "linux", name


def test_affinity_keeps_what_the_user_wrote() -> None:
    required = agent(render(*VALUES["two node terms"]))["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    first, second = required["nodeSelectorTerms"]
    assert first["matchExpressions"][0] == {"key": "rack", "operator": "Exists"}
    assert second["matchFields"] == [{"key": "metadata.name"}]


# ---- everything else that runs ----------------------------------------------------------------------------------------


def test_all_others_fit_the_restricted_profile(objects: tuple[Json, ...]) -> None:
    for name, spec in pods(objects):
        if name == "spillway-dataplane":
            continue
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert all(volume.keys() & {"configMap", "emptyDir"} for volume in spec["volumes"]), name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name


def test_tokens_are_mounted_only_where_asked(objects: tuple[Json, ...]) -> None:
    accounts = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ServiceAccount"}
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    for name, spec in pods(objects):
        assert spec["automountServiceAccountToken"] is True, name
        assert spec["serviceAccountName"] in accounts, name


def test_every_container_has_requests_and_a_memory_limit(objects: tuple[Json, ...]) -> None:
    for name, container in containers(objects):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


def test_images_and_pull_secrets() -> None:
    for name, container in containers(render(*VALUES["digests and pull secrets"])):
        assert container["image"].endswith(f"@{DIGEST}"), name
    for name, spec in pods(render(*VALUES["digests and pull secrets"])):
        assert spec["imagePullSecrets"] == [{"name": "edge"}], name
    tagged = {container["image"] for _, container in containers(render("image.tag=", "image.registry=r.example/edge/"))}
    assert tagged == {"r.example/edge/spillway-operator:0.1.0", "r.example/edge/spillway-dataplane:0.1.0"}


def test_apparmor_profile_only_if_asked() -> None:
    assert "appArmorProfile" not in agent_container(render())["securityContext"]
    chosen = agent_container(render(*VALUES["profiles"]))["securityContext"]
    assert chosen["appArmorProfile"] == {"type": "Unconfined"}
    assert chosen["seccompProfile"] == {"type": "Localhost", "localhostProfile": "spillway.json"}


# ---- configuration ----------------------------------------------------------------------------------------------------


def checksum(*settings: str) -> str:
    template = only(render(*settings), "Deployment", "spillway-operator")["spec"]["template"]
    return str(template["metadata"]["annotations"]["checksum/config"])


def test_the_operator_restarts_when_its_configuration_changes_and_only_then() -> None:
    assert checksum("disruption.maxUnavailable=2") != checksum()
    assert checksum("failsafe.adminPrefixes={198.51.100.0/24}") != checksum()
    assert checksum("dataplane.maxSurge=2", "metrics.port=9999") == checksum()


def test_the_agents_restart_for_nothing_of_the_operators() -> None:
    """An agent's restart is a node's; a changed turn or prefix is none of its business."""
    daemonset = only(render(), "DaemonSet", "spillway-dataplane")
    assert only(render("disruption.maxUnavailable=2", "operator.replicas=1"), "DaemonSet", "spillway-dataplane") == daemonset


def test_configuration() -> None:
    read = config(render("disruption.maxUnavailable=25%", "failsafe.flows={ssh}", "standby.attach=true"))
    assert read["disruption"] == {"maxUnavailable": "25%", "turnSeconds": 120, "maxFailed": 2, "idleSeconds": 0}
    assert read["failsafe"]["flows"] == ["neighbour-discovery", "ssh"]
    assert read["standby"] == {"attach": True, "nodeSelector": {"matchLabels": {"kubernetes.io/os": "linux"}}}
    assert read["uninstall"] == {"maxUnavailable": "25%", "timeoutSeconds": 240}


def test_no_standby_is_null() -> None:
    assert config(render("standby.nodeSelector=null"))["standby"]["nodeSelector"] is None


def test_the_operator_reads_what_the_chart_writes(objects: tuple[Json, ...]) -> None:
    """Its decoder is strict: every name and every type is the same on both sides."""
    assert decode_config(config(objects))


def test_defaults_are_the_operators() -> None:
    """All but the image of built-in sources, which only the chart knows: the dataplane's own."""
    found = decode_config(config(render()))
    assert found == Config(source_image=found.source_image)
    assert found.source_image == (agent(render())["containers"][0]["image"], "IfNotPresent")


# ---- the release as a whole -------------------------------------------------------------------------------------------


def test_crds_stay_when_the_release_goes() -> None:
    definitions = [each for each in render() if each["kind"] == "CustomResourceDefinition"]
    names = {f"{plural}.spillway.dev" for plural in ("bypassstreams", "floodfilters", "nodedataplanes")}
    assert {each["metadata"]["name"] for each in definitions} == names
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in definitions)
    assert not [each for each in render("crds.install=false") if each["kind"] == "CustomResourceDefinition"]


def test_uninstall_hook() -> None:
    job = only(render("uninstall.timeoutSeconds=600"), "Job", "spillway-uninstall")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] > 600
    template = job["spec"]["template"]["spec"]
    assert template["serviceAccountName"] == "spillway-operator"
    assert template["containers"][0]["args"] == ["uninstall"]


def test_default_uninstall_ends_before_helm_gives_up() -> None:
    assert only(render(), "Job", "spillway-uninstall")["spec"]["activeDeadlineSeconds"] < 300


def test_podsecurity_hook_is_optional() -> None:
    assert only(render(), "Job", "spillway-podsecurity")["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert not [each for each in render("podSecurity.label=false") if each["metadata"]["name"] == "spillway-podsecurity"]


@pytest.mark.parametrize("namespace", [NAMESPACE, "default", "kube-public"])
def test_no_object_is_there_twice(namespace: str) -> None:
    """The release may be in one of the namespaces in which the operator has rights of its own."""
    places = [(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in render(namespace=namespace)]
    assert sorted(places, key=str) == sorted(set(places), key=str)


def test_names_that_look_like_numbers_stay_names() -> None:
    assert agent(render("dataplane.priorityClassName=0x10"))["priorityClassName"] == "0x10"


def test_two_releases_collide() -> None:
    """A node has one dataplane. Fixed names let Helm refuse the second release."""
    argv = [helm(), "template", "other", CHART, "-n", NAMESPACE, "--kube-version", "1.34.0"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    for each in render():
        assert f"name: {each['metadata']['name']}\n" in done.stdout


REFUSED = {
    "CPU limit of the agents": ("dataplane.resources.limits.cpu=1", "/dataplane/resources/limits", "'cpu' not allowed"),
    "unknown value": ("disruption.maxUnavailble=1", "/disruption", "'maxUnavailble' not allowed"),
    "unknown top": ("dataplan.maxSurge=1", "", "'dataplan' not allowed"),
    "no turn at all": ("disruption.maxUnavailable=0", "/disruption/maxUnavailable", "want 1"),
    "percentage above all": ("uninstall.maxUnavailable=150%", "/uninstall/maxUnavailable", "150%"),
    "port": ("metrics.port=70000", "/metrics/port", "want 65,535"),
    "rules with counters": ("metrics.perRule=Some", "/metrics/perRule", "'All', 'None'"),
    "prefix without length": ("failsafe.adminPrefixes={10.0.0.1}", "/failsafe/adminPrefixes/0", "10.0.0.1"),
    "prefix with host bits": ("failsafe.adminPrefixes={10.0.0.0/8,10.0.1.0/22}", "failsafe.adminPrefixes[1]", "10.0.1.0/22"),
    "API server without port": ("failsafe.apiServers={10.0.0.1}", "/failsafe/apiServers/0", "10.0.0.1"),
    "API server's address": ("failsafe.apiServers={10.0.0.256:6443}", "/failsafe/apiServers/0", "10.0.0.256"),
    "API server's port": ("failsafe.apiServers={10.0.0.1:65536}", "/failsafe/apiServers/0", "65536"),
    "prefix for an address": ("failsafe.ntpServers={10.0.0.0/8}", "/failsafe/ntpServers/0", "10.0.0.0/8"),
    "unknown flow": ("failsafe.flows={telnet}", "/failsafe/flows/0", "'node-fragments'"),
    "architecture": ("image.architectures={s390x}", "/image/architectures/0", "'arm64'"),
    "digest": ("dataplane.image.digest=latest", "/dataplane/image/digest", "latest"),
    "pull policy": ("image.pullPolicy=Sometimes", "/image/pullPolicy", "'IfNotPresent'"),
    "profile": ("dataplane.seccompProfile.type=Default", "/dataplane/seccompProfile/type", "'RuntimeDefault'"),
    "the selector's labels": ("dataplane.podLabels.app\\.kubernetes\\.io/name=x", "propertyName", "app.kubernetes.io/name"),
    "replicas": ("operator.replicas=0", "/operator/replicas", "want 1"),
    "any interface": ("streams.grants[0].interface=eth*", "/streams/grants/0", "eth*"),
    "loopback": ("streams.grants[0].interface=lo", "/streams/grants/0/interface", "not"),
    "no namespace": ("streams.grants[0].namespaces={}", "/streams/grants/0", "namespaces"),
    "queue below zero": ("streams.grants[0].queues={-1}", "/streams/grants/0/queues/0", "want 0"),
    "kubelet's directory": ("kubeletDir=var/lib/kubelet", "/kubeletDir", "var/lib/kubelet"),
    "more queues than a class names": (
        f"streams.grants[0].interface=eth1,streams.grants[0].namespaces={{studio}},streams.grants[0].queues={MANY},"
        f"streams.grants[1].interface=eth2,streams.grants[1].namespaces={{studio}},streams.grants[1].queues={MANY},"
        f"streams.grants[2].interface=eth3,streams.grants[2].namespaces={{studio}},streams.grants[2].queues={MANY}",
        "streams.grants",
        "more queues for namespace studio",
    ),
    "one port for two": (",".join((*GRANTS, "metrics.port=9466")), "streams.metricsPort", "the same as metrics.port"),
    "a section taken away": ("failsafe=null", "", "missing property 'failsafe'"),
    "a profile taken away": ("dataplane.seccompProfile=null", "/dataplane", "missing property 'seccompProfile'"),
    "one of no values": (
        "standby.nodeSelector.matchExpressions[0].key=a,standby.nodeSelector.matchExpressions[0].operator=In",
        "/standby/nodeSelector/matchExpressions/0",
        "missing property 'values'",
    ),
    "label's value": ("operator.podLabels.team=net ops", "/operator/podLabels/team", "net ops"),
    "node label's value": ("dataplane.nodeSelector.rack=a b", "/dataplane/nodeSelector/rack", "a b"),
    "pull secret's name": ("image.pullSecrets[0].name=My_Secret", "/image/pullSecrets/0/name", "My_Secret"),
    "switch as a word": ("standby.attach=maybe", "/standby/attach", "want boolean"),
}


@pytest.mark.parametrize(("setting", "place", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_values_are_refused_with_place_and_reason(setting: str, place: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        render(setting)
    assert place in str(refused.value)
    assert reason in str(refused.value)


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.31\.0-0"):
        render(kubernetes="1.30.9")
