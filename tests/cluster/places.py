"""Where tests run programs: a node, a traffic host, or only the network of one of them.

`net` keeps the machine's processes and files and changes the network alone: the program is a child like any other, and a
signal reaches it. A node's own `run` and `popen` are inside it with everything, and end with its power.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.addresses import (
    host_address,
    host_address6,
    host_mac,
    host_netns,
    host_port,
    node_address,
    node_address6,
    node_mac,
    node_name,
    node_netns,
    node_port,
    studio_address,
    studio_address6,
    studio_mac,
    studio_port,
)
from tests.cluster.boot import disk_path
from tests.cluster.errors import CommandFailed
from tests.cluster.layout import Home
from tests.cluster.lifecycle import kill_node, start_node
from tests.cluster.network import NETNS, block_api, in_netns, unblock_api
from tests.cluster.nodes import inside, node_init, restart_kubelet
from tests.cluster.shell import DIES_WITH_CALLER, Argv, words
from tests.cluster.state import changing


def run_words(prefix: Argv, argv: Argv, options: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """subprocess.run with what tests want by default: text, captured, and for a failure CommandFailed with what it said."""
    captured = {} if "stdout" in options or "stderr" in options else {"capture_output": True}
    chosen = {"text": True, **captured, **options}
    check = chosen.pop("check", True)
    command = words(*prefix, *argv)
    done: subprocess.CompletedProcess[str] = subprocess.run(command, check=False, **chosen)
    if check and done.returncode:
        raise CommandFailed(argv=command, returncode=done.returncode, output=str(done.stderr or done.stdout or ""))
    return done


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace on the switch. port: the switch's end of its `eth0`."""

    netns: str
    port: str

    @property
    def path(self) -> Path:
        """What setns(2) opens."""
        return NETNS / self.netns

    def run(self, argv: Argv, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. options: those of subprocess.run; check and capture_output are on."""
        return run_words(in_netns(self.netns), argv, options)

    def popen(self, argv: Argv, **options: Any) -> subprocess.Popen[Any]:
        """Start a program; it is a child of this process, and signals reach it."""
        return subprocess.Popen(words(*in_netns(self.netns), *argv), **options)


@dataclass(frozen=True, slots=True)
class Host:
    """A traffic host. position: its place in the list of hosts, which gives it its address."""

    name: str
    position: int

    @property
    def address(self) -> str:
        return host_address(self.position)

    @property
    def address6(self) -> str:
        return host_address6(self.position)

    @property
    def mac(self) -> str:
        return host_mac(self.position)

    @property
    def netns(self) -> str:
        return host_netns(self.name)

    @property
    def net(self) -> Network:
        return Network(self.netns, host_port(self.name))

    def run(self, argv: Argv, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.net.run(argv, **options)

    def popen(self, argv: Argv, **options: Any) -> subprocess.Popen[Any]:
        return self.net.popen(argv, **options)


@dataclass(frozen=True, slots=True)
class Studio:
    """A node's second card, `eth1`. port: its other end on the bridge."""

    address: str
    address6: str
    mac: str
    port: str


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the running cluster."""

    home: Home
    index: int

    @property
    def name(self) -> str:
        return node_name(self.index)

    @property
    def address(self) -> str:
        return node_address(self.index)

    @property
    def address6(self) -> str:
        return node_address6(self.index)

    @property
    def mac(self) -> str:
        return node_mac(self.index)

    @property
    def netns(self) -> str:
        return node_netns(self.index)

    @property
    def net(self) -> Network:
        """Only the node's network; gone with its power."""
        return Network(self.netns, node_port(self.index))

    @property
    def studio(self) -> Studio:
        """The node's second card."""
        return Studio(studio_address(self.index), studio_address6(self.index), studio_mac(self.index), studio_port(self.index))

    @property
    def has_power(self) -> bool:
        return node_init(self.home, self.index) is not None

    def disk(self, path: str) -> Path:
        """Where the node's own /var/lib/spillway, /etc/kubernetes/manifests and so on lie on this machine."""
        return disk_path(self.home.node(self.index), path)

    def run(self, argv: Argv, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside the node to its end. options: those of subprocess.run; check and capture_output are on."""
        return run_words(inside(self.home, self.index), argv, options)

    def popen(self, argv: Argv, **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside the node. Terminating it kills it: use `net.popen` for one that has to tidy up.

        What is terminated is nsenter, which passes no signal on; so the program dies when nsenter does.
        """
        argv = words(*inside(self.home, self.index), *DIES_WITH_CALLER, *argv)
        return subprocess.Popen(argv, **options)

    def kill(self) -> None:
        """Cut the node's power."""
        kill_node(self.home, self.index)

    def start(self) -> None:
        """Power the node on again; returns when its kubelet has been started, not when it is Ready."""
        start_node(self.home, self.index)

    def restart_kubelet(self) -> None:
        with changing(self.home):
            restart_kubelet(self.home, self.index)

    def block_api(self) -> None:
        """Drop silently what the node and its pods send to the API server, until `unblock_api`."""
        block_api(self.index)

    def unblock_api(self) -> None:
        unblock_api(self.index)
