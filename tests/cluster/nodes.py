"""One node: namespaces with their own process 1, containerd, kubelet and kube-proxy, a disk that outlives a power cut.

A power cut takes processes, mounts and the network cards at once; the disk stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.addresses import node_name, node_netns, node_port, studio_port
from tests.cluster.boot import NODE_DISK, boot_script, disk_path
from tests.cluster.cgroups import (
    SYSTEM,
    complete_v2,
    groups_of,
    make_groups,
    members,
    observe_hierarchies,
    remove_groups,
)
from tests.cluster.configs import (
    CNI_CONFIGURATION,
    CONTAINERD_SOCKET,
    containerd_configuration,
    kube_proxy_configuration,
    kubelet_arguments,
    kubelet_configuration,
    pod_network,
)
from tests.cluster.errors import NotUp
from tests.cluster.layout import Home
from tests.cluster.network import in_netns, make_node_links, remove_netns, remove_port
from tests.cluster.pki import issue_kubeconfig, node_identity
from tests.cluster.processes import ProcessRecord, children, identify, is_alive, kill, read_record, spawn
from tests.cluster.shell import succeeds, wait_for, words
from tests.cluster.stores import clone


def record_path(home: Home, index: int, name: str) -> Path:
    """The record of a node's service, or of `init`, its process 1, or of `outer`, which waits for that."""
    return home.processes / f"{node_name(index)}-{name}"


def store_path(folder: Path) -> Path:
    return folder / "containerd"


# ---- power ------------------------------------------------------------------------------------------------------------


def power_on(home: Home, index: int, mtu_bytes: int, template: Path) -> None:
    """Start a node, for the first time or after a power cut. `template`: the image store that a new node clones."""
    start_machine(home, index, mtu_bytes, template)
    start_services(home, index)


def start_machine(home: Home, index: int, mtu_bytes: int, template: Path) -> None:
    """All of a node that needs no API server, up to a containerd that answers."""
    make_disk(home, index, mtu_bytes, template)
    make_node_links(index, mtu_bytes)
    boot(home, index)
    write_configurations(home, index)
    start_service(home, index, "containerd", ["--config", f"{home.node(index)}/containerd.toml"])
    ready = [*ctr(home, index), "version"]
    wait_for("containerd", lambda: succeeds(ready), 30, service_log(home, index, "containerd"))


def make_disk(home: Home, index: int, mtu_bytes: int, template: Path) -> None:
    folder = home.node(index)
    for path in NODE_DISK:
        disk_path(folder, path).mkdir(parents=True, exist_ok=True)
    if not store_path(folder).exists():
        clone(template, store_path(folder))
    if not home.kubeconfig(node_name(index)).exists():
        issue_kubeconfig(home, node_identity(index))
    network = json.dumps(pod_network(index, mtu_bytes))
    (disk_path(folder, CNI_CONFIGURATION) / "10-spillway.conflist").write_text(network)


def boot(home: Home, index: int) -> None:
    """Make the node's groups and namespaces, and record its process 1."""
    folder, name, hierarchies = home.node(index), node_netns(index), observe_hierarchies()
    make_groups(hierarchies, name)
    ready, script, log = folder / "ready", folder / "boot.sh", home.logs / f"{node_name(index)}.log"
    ready.unlink(missing_ok=True)
    script.write_text(boot_script(hierarchies, home, index))
    own = ["--mount", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv = words(*in_netns(name), "unshare", *own, "sh", script)
    spawn(record_path(home, index, "outer"), argv, log=log, path=home.bin, cgroups=groups_of(hierarchies, name))
    wait_for(f"boot of {node_name(index)}", ready.exists, 15, log)
    record_init(home, index)
    if hierarchies.unified:
        complete_v2(name)


def record_init(home: Home, index: int) -> None:
    outer = read_record(record_path(home, index, "outer"))
    assert outer is not None
    init = identify(children(outer.pid)[0])
    assert init is not None
    record_path(home, index, "init").write_text(f"{init.pid} {init.start_ticks}")


def power_off(home: Home, index: int) -> None:
    """Cut a node's power: its processes, mounts and cards are gone at once."""
    for port in (node_port(index), studio_port(index)):
        remove_port(port)
    kill([read_record(record_path(home, index, name)) for name in ("init", "outer")])
    remove_remains(index)


def remove_remains(index: int) -> None:
    """Remove what is left of a node but its disk; ends the processes still in its groups and its network."""
    name, hierarchies = node_netns(index), observe_hierarchies()
    kill([identify(pid) for pid in members(hierarchies, name)])
    remove_netns(name)
    remove_groups(hierarchies, name)


def node_init(home: Home, index: int) -> ProcessRecord | None:
    """The node's process 1, or None if it has no power."""
    recorded = read_record(record_path(home, index, "init"))
    return recorded if is_alive(recorded) else None


# ---- inside -----------------------------------------------------------------------------------------------------------


def inside(home: Home, index: int) -> list[str]:
    """Prefix of a command that is to run in a node: its namespaces and groups. Raises NotUp if it has no power."""
    init = node_init(home, index)
    if init is None:
        raise NotUp(f"{node_name(index)} has no power")
    join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    groups = [str(group) for group in system_groups(index)]
    return ["sh", "-ec", join, "sh", *groups, "--", "nsenter", "--all", f"--target={init.pid}"]


def system_groups(index: int) -> list[Path]:
    return groups_of(observe_hierarchies(), node_netns(index), SYSTEM)


def ctr(home: Home, index: int) -> list[str]:
    """How to talk to a node's containerd."""
    return [*inside(home, index), str(home.bin / "ctr"), "-a", CONTAINERD_SOCKET, "-n", "k8s.io"]


def start_services(home: Home, index: int) -> None:
    """Last, for a kubelet that finds no containerd gives up, and one that finds no API server waits long."""
    start_kubelet(home, index)
    start_service(home, index, "kube-proxy", [f"--config={home.node(index)}/kube-proxy.json"])


def write_configurations(home: Home, index: int) -> None:
    folder = home.node(index)
    state = str(Path(CONTAINERD_SOCKET).parent)
    containerd = containerd_configuration(store_path(folder), state, folder / "opt")
    (folder / "containerd.toml").write_text(containerd)
    (folder / "kubelet.json").write_text(json.dumps(kubelet_configuration(home, index)))
    (folder / "kube-proxy.json").write_text(json.dumps(kube_proxy_configuration(home, index)))


def start_kubelet(home: Home, index: int) -> None:
    start_service(home, index, "kubelet", kubelet_arguments(home, index))


def start_service(home: Home, index: int, name: str, arguments: Iterable[str]) -> None:
    init = node_init(home, index)
    if init is None:
        raise NotUp(f"{node_name(index)} has no power")
    argv = words("nsenter", "--all", f"--target={init.pid}", home.bin / name, *arguments)
    log = service_log(home, index, name)
    spawn(record_path(home, index, name), argv, log=log, path=home.bin, cgroups=system_groups(index))


def service_log(home: Home, index: int, name: str) -> Path:
    return home.logs / f"{node_name(index)}-{name}.log"


def restart_kubelet(home: Home, index: int) -> None:
    """Kill a node's kubelet and start it again; its pods go on."""
    outer = read_record(record_path(home, index, "kubelet"))  # nsenter, which waits for the kubelet and ends with it
    if outer is not None and is_alive(outer):
        kill([identify(pid) for pid in children(outer.pid)])
        wait_for("end of kubelet", lambda: not is_alive(outer), 10)
    start_kubelet(home, index)
