"""A cluster's coming and going. What `up` makes, `down` removes, whoever interrupted it and wherever it stood.

Going needs nothing but the record and the names: it asks for each thing whether it is there, and never for what it
believes to have made.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.cluster.addresses import HOST_LINK, MAX_HOSTS, MAX_NODES, SWITCH, host_netns, host_port, node_name, node_netns
from tests.cluster.boot import NODE_DISK
from tests.cluster.cgroups import members, observe_hierarchies, restore_root, root_handed_on
from tests.cluster.control_plane import (
    COMPONENTS,
    component,
    default_account_exists,
    kill_control_plane,
    node_ready,
    nodes_ready,
    start_control_plane,
)
from tests.cluster.errors import ClusterError, NotUp
from tests.cluster.interruption import undone_on_failure
from tests.cluster.layout import Cache, Home
from tests.cluster.network import (
    NETNS,
    make_host_link,
    make_routes,
    make_switch,
    netns_exists,
    remove_host_link,
    remove_netns,
    remove_port,
)
from tests.cluster.nodes import node_init, power_off, power_on, remove_remains, start_machine, start_services
from tests.cluster.pki import make_pki
from tests.cluster.processes import is_alive
from tests.cluster.products import remove
from tests.cluster.programs import PROGRAMS
from tests.cluster.shell import no_more_waiting, run, say, step, succeeds, wait_for
from tests.cluster.state import Shape, State, change_shape, changing, read_state, running_state, this_boot, write_state

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")  # shared by all nodes' kubelets; the default 128 is too few
ENOUGH_INOTIFY = 8192
AT_ONCE = 4  # threads; each waits more than it works


# ---- coming -----------------------------------------------------------------------------------------------------------


def check_shape(shape: Shape) -> None:
    """Raises ClusterError for a shape that the addresses or names do not allow."""
    if not 0 <= shape.nodes <= MAX_NODES:
        raise ClusterError(f"{shape.nodes} nodes: there are addresses for 0 to {MAX_NODES}")
    if len(shape.hosts) > MAX_HOSTS or len(set(shape.hosts)) != len(shape.hosts):
        raise ClusterError(f"traffic hosts: at most {MAX_HOSTS}, each named once")
    for name in shape.hosts:
        if not name.isalnum() or len(name) > 12 or name == "sw" or name.startswith("node"):
            raise ClusterError(f"traffic host {name!r}: up to 12 letters and digits, and neither `sw` nor `node...`")


def is_up(home: Home, state: State | None) -> bool:
    """Whether the recorded cluster came up whole and still has a process of its own."""
    if state is None or not state.complete or state.boot_id != this_boot():
        return False
    recorded = [component(home, name) for name in COMPONENTS] + [node_init(home, index) for index in state.nodes]
    return any(map(is_alive, recorded))


def refuse_strangers(nodes: int) -> None:
    """Names that are taken belong to a cluster with another home: leave it alone. Raises ClusterError."""
    taken = [name for name in (SWITCH,) if netns_exists(name)]
    taken += [name for name in (HOST_LINK,) if succeeds(["ip", "link", "show", name])]
    taken += [name for name in map(node_netns, range(1, nodes + 1)) if members(observe_hierarchies(), name)]
    if taken:
        raise ClusterError(f"{', '.join(taken)} is there already: another cluster's, with another home?")


def start(home: Home, cache: Cache, shape: Shape, template: Path, pause: Path) -> None:
    """Make the whole cluster, or nothing: on any failure or signal, what was made is taken down again."""
    refuse_strangers(shape.nodes)
    with undone_on_failure(lambda: give_up(home, cache)):
        state = prepare(home, cache, shape, template, pause)
        make_pki(home)
        make_network(shape)
        with step("starting the control plane"):
            start_machines(home, state, template)
        with step(f"starting {shape.nodes} nodes"):
            for index in state.nodes:
                start_services(home, index)
            make_routes(state.nodes, shape.hosts)
            wait_complete(home, shape.nodes)
        write_state(home, replace(state, complete=True))


def make_network(shape: Shape) -> None:
    make_switch(shape.mtu_bytes)
    for position, name in enumerate(shape.hosts):
        make_host_link(name, position, shape.mtu_bytes)


def start_machines(home: Home, state: State, template: Path) -> None:
    """The control plane and the nodes up to containerd, side by side: they do not need each other yet."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [pool.submit(start_control_plane, home)]
        started += [pool.submit(start_machine, home, index, state.shape.mtu_bytes, template) for index in state.nodes]
        try:
            for each in started:
                each.result()
        except BaseException:
            with no_more_waiting():
                pool.shutdown(cancel_futures=True)
            raise


def wait_complete(home: Home, nodes: int) -> None:
    wait_for("nodes that are Ready", lambda: nodes_ready(home, nodes), 120, home.logs)
    wait_for("default service account", lambda: default_account_exists(home), 60, home.logs)


def prepare(home: Home, cache: Cache, shape: Shape, template: Path, pause: Path) -> State:
    """Record how the machine is, then change it: a kernel limit and mount points."""
    missing = tuple(missing_directories((*NODE_DISK, str(NETNS))))
    raised = ((str(INOTIFY), INOTIFY.read_text().strip()),) if int(INOTIFY.read_text()) < ENOUGH_INOTIFY else ()
    state = write_state(home, State(shape, this_boot(), str(template), False, missing, raised, root_handed_on()))
    for name in missing:
        Path(name).mkdir()
    for name, _ in raised:
        Path(name).write_text(str(ENOUGH_INOTIFY))
    link_programs(home, cache, pause)
    return state


def missing_directories(paths: tuple[str, ...]) -> list[str]:
    """What has to be made so that all paths are there, outermost first."""
    chains = ([*reversed(Path(path).parents), Path(path)] for path in paths)
    wanted = dict.fromkeys(str(each) for chain in chains for each in chain)
    return [each for each in wanted if not Path(each).exists()]


def link_programs(home: Home, cache: Cache, pause: Path) -> None:
    """One folder with every program under its plain name: containerd looks for its parts by name."""
    home.bin.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        (home.bin / program.name).symlink_to(program.place(cache))
    (home.bin / "pause").symlink_to(pause)


def give_up(home: Home, cache: Cache) -> None:
    """Take a cluster down that did not come up, but keep what its programs said."""
    kept = cache.logs / "failed-cluster"
    remove(kept)
    if home.logs.is_dir():
        shutil.copytree(home.logs, kept)
        say(f"the logs are in {kept}")
    tear_down(home)


def start_node(home: Home, index: int) -> None:
    """Power a node on after a power cut; nothing happens if it has power."""
    with changing(home):
        state = running_state(home)
        check_node(state, index)
        if node_init(home, index) is None:
            remove_remains(index)  # its process 1 may have ended by itself
            power_on(home, index, state.shape.mtu_bytes, Path(state.template))
            make_routes(state.nodes, state.shape.hosts)


def kill_node(home: Home, index: int) -> None:
    """Cut a node's power."""
    with changing(home):
        check_node(running_state(home), index)
        power_off(home, index)


def add_node(home: Home) -> int:
    """Start one more node and wait until it is Ready; return its index."""
    with changing(home):
        state = running_state(home)
        index = state.shape.nodes + 1
        check_shape(replace(state.shape, nodes=index))
        state = change_shape(home, state, nodes=index)
        power_on(home, index, state.shape.mtu_bytes, Path(state.template))
        make_routes(state.nodes, state.shape.hosts)
    wait_for(f"{node_name(index)} Ready", lambda: node_ready(home, node_name(index)), 120, home.logs)
    return index


def check_node(state: State, index: int) -> None:
    """Raises NotUp if there is no such node."""
    if index not in state.nodes:
        raise NotUp(f"no {node_name(index)}: there are {state.shape.nodes} nodes")


# ---- going ------------------------------------------------------------------------------------------------------------


def tear_down(home: Home) -> bool:
    """Remove a cluster whole, or what is left of one. Says whether there was any."""
    state = read_state(home)
    if state is None:  # nothing was made: the record comes first
        return False
    if state.boot_id == this_boot():
        remove_running(home, state)
        restore_machine(state)
    for name in reversed(state.directories):
        remove_directory(Path(name))
    wait_for(f"end of {home.root}", lambda: is_removed(home.root), 30)
    return True


def remove_running(home: Home, state: State) -> None:
    """Processes, links, namespaces and control groups."""
    for index in state.nodes:
        power_off(home, index)
    kill_control_plane(home)
    for name in state.shape.hosts:
        remove_port(host_port(name))
        remove_netns(host_netns(name))
    remove_host_link()
    remove_netns(SWITCH)


def is_removed(folder: Path) -> bool:
    """Try to remove a folder with all it holds; somebody who is just ending may still write there."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def remove_directory(folder: Path) -> None:
    """Remove a mount point that we made, unless somebody else uses it by now."""
    with suppress(OSError):
        if folder == NETNS and not any(folder.iterdir()):  # `ip netns` mounts its folder on itself
            run(["umount", folder], check=False)
        folder.rmdir()


def restore_machine(state: State) -> None:
    for name, value in state.sysctls:
        Path(name).write_text(value)
    restore_root(state.controllers)


def netns_names(state: State) -> list[str]:
    """Every network namespace of a cluster."""
    return [SWITCH, *map(host_netns, state.shape.hosts), *map(node_netns, state.nodes)]
