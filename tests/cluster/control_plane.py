"""etcd, the API server, the controller manager and the scheduler, in the switch's network namespace.

There no port, firewall rule or kubelet of the machine meets them. Each is a recorded process.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.cluster.addresses import SWITCH
from tests.cluster.configs import (
    apiserver_arguments,
    controller_manager_arguments,
    etcd_arguments,
    scheduler_arguments,
)
from tests.cluster.errors import CommandFailed
from tests.cluster.layout import Home
from tests.cluster.network import in_netns
from tests.cluster.processes import ProcessRecord, is_alive, kill, read_record, spawn
from tests.cluster.shell import wait_for, words

API_SERVER = "kube-apiserver"
FOLLOWERS = ("kube-controller-manager", "kube-scheduler")
COMPONENTS: dict[str, Callable[[Home], list[str]]] = {
    "etcd": etcd_arguments,
    API_SERVER: apiserver_arguments,
    "kube-controller-manager": controller_manager_arguments,
    "kube-scheduler": scheduler_arguments,
}
CLIENT_FOLDERS = ("KUBECACHEDIR", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")


def start_control_plane(home: Home) -> None:
    """Start those of the four that do not run; return once the API server is ready."""
    for name in ("etcd", API_SERVER):
        ensure_component(home, name)
    wait_api_ready(home)
    for name in FOLLOWERS:
        ensure_component(home, name)


def ensure_component(home: Home, name: str) -> None:
    if component(home, name) is None:
        start_component(home, name)


def start_component(home: Home, name: str) -> None:
    argv = words(*in_netns(SWITCH), home.bin / name, *COMPONENTS[name](home))
    spawn(home.processes / name, argv, log=component_log(home, name), path=home.bin)


def component_log(home: Home, name: str) -> Path:
    return home.logs / f"{name}.log"


def component(home: Home, name: str) -> ProcessRecord | None:
    """The component's process, or None if it does not run."""
    recorded = read_record(home.processes / name)
    return recorded if is_alive(recorded) else None


def kill_control_plane(home: Home) -> None:
    """End all of it at once; for a cluster that goes away."""
    kill([component(home, name) for name in COMPONENTS])


def stop_api(home: Home) -> None:
    """Kill it, as a loss of power would.

    Asked to stop, it would first withdraw its address from the service `kubernetes`; kube-proxy would learn of its return up to
    a minute later, and no test is about that.
    """
    kill([component(home, API_SERVER)])


def start_api(home: Home) -> None:
    """Start the API server if it does not run; return once it is ready and its followers are there again.

    Elsewhere they lose their lease and are started anew; here they hold none, and would look again up to two minutes later.
    """
    if component(home, API_SERVER) is not None:
        return wait_api_ready(home)
    kill([component(home, name) for name in FOLLOWERS])
    return start_control_plane(home)


def wait_api_ready(home: Home) -> None:
    log = component_log(home, API_SERVER)
    wait_for("API server", lambda: api_answers(home), 90, log)


def api_answers(home: Home) -> bool:
    return probe(home, "--raw=/readyz") == "ok"


# ---- kubectl and helm -------------------------------------------------------------------------------------------------


def call_kubectl(home: Home, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run kubectl as admin; say nothing about failure."""
    return call_client(home, "kubectl", *args, stdin=stdin)


def kubectl(home: Home, *args: str, stdin: str | None = None) -> str:
    """kubectl's standard output, as it is. Raises CommandFailed with what it said."""
    return checked(call_kubectl(home, *args, stdin=stdin))


def helm(home: Home, *args: str) -> str:
    """helm's standard output, as it is. Raises CommandFailed with what it said."""
    return checked(call_client(home, "helm", *args))


def call_client(home: Home, program: str, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a client as admin. What it learns of this cluster goes with it: the next one has the same address."""
    argv = words(home.bin / program, f"--kubeconfig={home.kubeconfig()}", *args)
    own = {name: str(home.root / "clients" / name.lower()) for name in CLIENT_FOLDERS}
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **own})


def checked(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise CommandFailed(argv=done.args, returncode=done.returncode, output=done.stderr or done.stdout)
    return done.stdout


def probe(home: Home, *args: str) -> str:
    """What `kubectl get` says; "" if there is no answer within moments. For waiting: asked again and again."""
    return call_kubectl(home, "get", *args, "--request-timeout=3s").stdout


def nodes_ready(home: Home, count: int) -> bool:
    path = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    return probe(home, "nodes", "-o", path).split() == ["True"] * count


def node_ready(home: Home, name: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return probe(home, "node", name, "-o", path) == "True"


def default_account_exists(home: Home) -> bool:
    """Pods need it, and it comes a moment after the nodes are Ready."""
    return probe(home, "serviceaccount", "default", "-o", "name") != ""
