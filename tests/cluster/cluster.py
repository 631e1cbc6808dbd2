"""The test cluster as tests and the demo use it: one object, whose nodes and hosts are asked for by number and name."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cluster import control_plane, lifecycle
from tests.cluster.building import Built, build_all, build_one_image
from tests.cluster.errors import ClusterError
from tests.cluster.images import DEFAULT_TAG, BuiltImage, Images
from tests.cluster.interruption import signals
from tests.cluster.layout import Home, cache, home
from tests.cluster.nodes import ctr, store_path
from tests.cluster.places import Host, Node
from tests.cluster.shell import say, step
from tests.cluster.state import Shape, State, changing, read_state, running_state, write_state
from tests.cluster.stores import import_archive, import_image, known_digests


@dataclass(frozen=True, slots=True)
class Cluster:
    """The one cluster that is up on this machine."""

    home: Home

    @classmethod
    def load(cls) -> Cluster:
        """The cluster that runs. Raises NotUp."""
        running_state(home())
        return cls(home())

    @classmethod
    def up(cls, nodes: int = 2, hosts: Sequence[str] = (), *, mtu_bytes: int = 1500, tag: str = DEFAULT_TAG) -> Cluster:
        """Start a cluster with the images of the code as it is now, building what is missing.

        One of the same shape that is up stays, and is given those images; its pods are not restarted. Raises ClusterError
        if one of another shape is up.
        """
        shape = Shape(nodes, tuple(hosts), mtu_bytes, tag)
        lifecycle.check_shape(shape)
        built = build_all(cache(), tag)
        cluster = cls(home())
        with changing(cluster.home):
            if found_up(cluster.home, shape):
                cluster.renew(built)
            else:
                lifecycle.start(cluster.home, cache(), shape, built.template, built.pause)
        return cluster

    def renew(self, built: Built) -> None:
        """Give all nodes, and those still to come, the images of another build."""
        state = self.state
        if state.template != str(built.template):
            for image in built.images:
                self.give(image, state.shape.tag)
            write_state(self.home, replace(state, template=str(built.template)))

    def down(self) -> None:
        take_down()

    # ---- what it has --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return running_state(self.home)

    @property
    def kubeconfig(self) -> Path:
        return self.home.kubeconfig()

    @property
    def images(self) -> Images:
        """Names and tag of the images that every node has."""
        return Images(tag=self.state.shape.tag)

    @property
    def nodes(self) -> list[Node]:
        return [Node(self.home, index) for index in self.state.nodes]

    @property
    def hosts(self) -> list[Host]:
        return [Host(name, position) for position, name in enumerate(self.state.shape.hosts)]

    def node(self, index: int) -> Node:
        """Node `index`, counted from 1. Raises NotUp if there is none."""
        lifecycle.check_node(self.state, index)
        return Node(self.home, index)

    def host(self, name: str) -> Host:
        """The traffic host of this name. Raises ClusterError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise ClusterError(f"no traffic host {name}; there are {', '.join(self.state.shape.hosts) or 'none'}")

    # ---- what it does -------------------------------------------------------------------------------------------------

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - as subprocess calls it
        """kubectl as admin; returns what it writes to standard output. Raises CommandFailed."""
        return control_plane.kubectl(self.home, *args, stdin=input)

    def helm(self, *args: str) -> str:
        """helm as admin; returns what it writes to standard output. Raises CommandFailed."""
        return control_plane.helm(self.home, *args)

    def api_stop(self) -> None:
        """Stop the API server; everything else goes on without it."""
        with changing(self.home):
            control_plane.stop_api(self.home)

    def api_start(self) -> None:
        """Start the API server; returns once it is ready."""
        with changing(self.home):
            control_plane.start_api(self.home)

    def add_node(self) -> Node:
        """Start one more node; returns once it is Ready. It has the images that the cluster was started with."""
        return Node(self.home, lifecycle.add_node(self.home))

    def load_archive(self, archive: Path) -> None:
        """Import an image archive on every node that has power."""
        for node in self.powered():
            import_archive(ctr(self.home, node.index), archive.resolve())

    def load_image(self, name: str, tag: str | None = None) -> str:
        """Build `dataplane` or `operator` from the code as it is now and give it to every node; returns its full name."""
        built = build_one_image(cache(), name)
        chosen = tag or self.state.shape.tag
        self.give(built, chosen)
        return built.reference(chosen)

    def give(self, image: BuiltImage, tag: str) -> None:
        """Import a built image on every node that has power."""
        for node in self.powered():
            give_image(node, image, tag)

    def powered(self) -> list[Node]:
        return [node for node in self.nodes if node.has_power]


def give_image(node: Node, image: BuiltImage, tag: str) -> None:
    """Import an image on one node: only the layers that its store does not have."""
    known = known_digests(store_path(node.home.node(node.index)))
    import_image(ctr(node.home, node.index), image, tag, known)


def found_up(where: Home, shape: Shape) -> bool:
    """Whether a cluster of this shape is up; one that crashed is cleared away. Raises ClusterError for another shape."""
    state = read_state(where)
    if not lifecycle.is_up(where, state):
        if state is not None:
            with step("clearing away a cluster that ended badly"):
                lifecycle.tear_down(where)
        return False
    assert state is not None
    if state.shape != shape:
        raise ClusterError(f"another cluster is up: {describe(state.shape)}; take it down first")
    say(f"a cluster is up already: {describe(shape)}")
    return True


def take_down() -> None:
    """Take down whatever cluster there is, whole or in part; it is no error if there is none."""
    with changing(home()), signals(signal.SIG_IGN):
        there = lifecycle.tear_down(home())
    say("the cluster is down" if there else "no cluster was up")


def describe(shape: Shape) -> str:
    hosts = f", traffic hosts {', '.join(shape.hosts)}" if shape.hosts else ""
    return f"{shape.nodes} nodes{hosts}, MTU {shape.mtu_bytes}, images tagged {shape.tag}"


def status_lines(where: Home) -> list[str]:
    """What there is and whether it lives, for people."""
    state = read_state(where)
    if state is None:
        return ["no cluster"]
    nodes = [Node(where, index) for index in state.nodes]
    hosts = [Host(name, position) for position, name in enumerate(state.shape.hosts)]
    return [
        describe(state.shape),
        f"KUBECONFIG={where.kubeconfig()}",
        *(f"{name}: {'runs' if control_plane.component(where, name) else 'stopped'}" for name in control_plane.COMPONENTS),
        *(f"{node.name} {node.address}: {'has power' if node.has_power else 'no power'}" for node in nodes),
        *(f"{host.name} {host.address}" for host in hosts),
    ]
