"""The chart as the built Helm renders it. Needs Helm, no cluster; so it cannot prove that an API server takes the objects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from tests.cluster.layout import cache as user_cache
from tests.cluster.products import locked
from tests.cluster.programs import build_programs, named

CHART = "charts/spillway"
NAMESPACE = "spillway-system"
KUBERNETES = "1.34.0"
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
GRANTS = (  # `--set` settings with which streams are installed
    "streams.grants[0].interface=eth1",
    "streams.grants[0].queues={1,2,3}",
    "streams.grants[0].namespaces={studio,news}",
    "streams.grants[1].interface=eth0",
    "streams.grants[1].queues={3}",
    "streams.grants[1].namespaces={studio}",
    "streams.grants[2].interface=eth7",
    "streams.grants[2].queues={0}",
    "streams.grants[2].namespaces={studio}",
)
Json = dict[str, Any]


class Refused(Exception):
    """Helm would not render; the text is what it said."""


class StrictLoader(SAFE_LOADER):  # type: ignore[misc, valid-type]
    """As an API server reads: no key twice in a map."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Json:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key twice, line {node.start_mark.line}: {keys}"
        return dict(super().construct_mapping(node, deep=deep))


@cache
def helm() -> str:
    """Path of the built Helm, built first if it is not there. One that is there is whole: nobody's build is waited for."""
    place, (wanted,) = user_cache(), named(["helm"])
    if not wanted.place(place).exists():
        with locked(place.lock, "waiting for another build"):
            build_programs(place, [wanted])
    return str(wanted.place(place))


@cache
def render(*settings: str, kubernetes: str = KUBERNETES, namespace: str = NAMESPACE) -> tuple[Json, ...]:
    """Every object of the release, hooks too, with `--set` settings. Raises Refused."""
    chosen = [part for setting in settings for part in ("--set", setting)]
    argv = [helm(), "template", "spillway", CHART, "-n", namespace, "--kube-version", kubernetes, *chosen]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return tuple(found for found in yaml.load_all(done.stdout, StrictLoader) if found)


def only(objects: tuple[Json, ...], kind: str, name: str) -> Json:
    """The one object of that kind and name in the release's namespace, or cluster-wide."""
    (found,) = (
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"] == name and each["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    )
    return dict(found)


def pods(objects: tuple[Json, ...]) -> Iterator[tuple[str, Json]]:
    """Name and pod spec of everything that runs."""
    for each in objects:
        if each["kind"] in {"DaemonSet", "Deployment", "Job"}:
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def agent(objects: tuple[Json, ...]) -> Json:
    """Pod spec of the agents."""
    return dict(pods(objects))["spillway-dataplane"]


def agent_container(objects: tuple[Json, ...]) -> Json:
    """The container that filters."""
    (found,) = (each for each in agent(objects)["containers"] if each["name"] == "agent")
    return dict(found)


def config(objects: tuple[Json, ...]) -> Json:
    """What the operator reads."""
    read: Json = json.loads(only(objects, "ConfigMap", "spillway-config")["data"]["config.json"])
    return read


def rights(objects: tuple[Json, ...], account: str) -> set[tuple[str, str, str, str, str]]:
    """What a service account may do: (namespace or *, resource.group, resource name or *, verb), bindings followed."""
    found: set[tuple[str, str, str, str, str]] = set()
    for binding in objects:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        if not any(subject["name"] == account and subject["namespace"] == NAMESPACE for subject in binding["subjects"]):
            continue
        place = binding["metadata"].get("namespace", "*")
        for rule in role_of(objects, binding)["rules"]:
            found |= set(spread(place, rule))
    return found


def role_of(objects: tuple[Json, ...], binding: Json) -> Json:
    wanted = (binding["roleRef"]["kind"], binding["roleRef"]["name"], binding["metadata"].get("namespace"))
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) == wanted)
    return dict(found)


def spread(place: str, rule: Json) -> Iterator[tuple[str, str, str, str, str]]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for name in rule.get("resourceNames", ["*"]):
                for verb in rule["verbs"]:
                    yield place, group, resource, name, verb
