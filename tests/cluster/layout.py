"""Where the test cluster keeps things. Reads the environment, touches nothing.

The cache holds what is built (programs, images, image stores) and outlives clusters; the home holds the one cluster that
runs, and goes with it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parents[1]
SLOW = float(os.environ.get("SLOW", "1"))  # stretches every time-out: 20 under software emulation


@dataclass(frozen=True, slots=True)
class Cache:
    """What is built, each product under a name that holds the hash of what it was made from."""

    root: Path

    @property
    def programs(self) -> Path:
        return self.root / "programs"

    @property
    def tools(self) -> Path:
        return self.root / "tools"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def containers(self) -> Path:
        """The image builder's own storage; the machine's is never touched."""
        return self.root / "containers"

    @property
    def stores(self) -> Path:
        """Image stores, ready to be cloned for a node."""
        return self.root / "stores"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        return self.root / "build.lock"


@dataclass(frozen=True, slots=True)
class Home:
    """The one cluster that runs: its record, keys, logs and the nodes' disks."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        """Beside the home, not in it: the home is removed while the lock is held."""
        return self.root.with_name(self.root.name + ".lock")

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.root / f"{user}.kubeconfig"

    def node(self, index: int) -> Path:
        return self.root / f"node{index}"


def cache() -> Cache:
    """The user's cache: $XDG_CACHE_HOME/spillway, by default ~/.cache/spillway."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Cache(Path(base) / "spillway")


def home() -> Home:
    """The folder `cluster` in $SPILLWAY_CLUSTER_HOME, by default in the cache.

    On the cache's file system, so that a node's image store is cloned by hard links. Never under /run, which every node
    covers with its own. Always a folder of its own: it is removed with all it holds.
    """
    chosen = os.environ.get("SPILLWAY_CLUSTER_HOME")
    return Home((Path(chosen).resolve() if chosen else cache().root) / "cluster")
