"""A node's control groups: a top-level `spw-nodeN` of its own, on cgroup v1 and v2, with systemd or without.

The node's own processes sit in `spw-nodeN/system`, kubelet makes `spw-nodeN/kubepods`. On v1 there is one such tree in every
hierarchy. On v2 there is one tree, and a group that hands controllers on to its children may hold no process itself.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import wait_for

ROOT = Path("/sys/fs/cgroup")
SYSTEM = "system"
LEAF = "init"  # takes the processes of a root that may hold none


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """How this machine mounts control groups. controllers: names of the v1 folders, as in `cpu,cpuacct`; () on v2."""

    unified: bool
    controllers: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[Path, ...]:
        return (ROOT,) if self.unified else tuple(ROOT / name for name in (*self.controllers, *self.extras))


def observe_hierarchies() -> Hierarchies:
    """Read what is mounted."""
    if (ROOT / "cgroup.controllers").exists():
        return Hierarchies(unified=True)
    extras = tuple(name for name in ("systemd", "unified") if (ROOT / name).is_dir())
    return Hierarchies(False, parse_controllers(Path("/proc/self/cgroup").read_text()), extras)


def parse_controllers(text: str) -> tuple[str, ...]:
    """The v1 hierarchies with controllers in /proc/self/cgroup; named ones and the unified one have none."""
    fields = (line.split(":")[1] for line in text.splitlines())
    return tuple(name for name in fields if name and "=" not in name)


def mount_commands(hierarchies: Hierarchies) -> str:
    """Shell commands that mount the hierarchies afresh inside a node, so that it sees its own groups as the roots."""
    if hierarchies.unified:
        return f"mount -t cgroup2 cgroup2 {ROOT}"
    options = {name: f"-t cgroup -o {name}" for name in hierarchies.controllers}
    kinds = {"systemd": "-t cgroup -o none,name=systemd", "unified": "-t cgroup2"}
    options |= {name: kinds[name] for name in hierarchies.extras}
    each = [f"mkdir {ROOT}/{name}; mount {option} cgroup {ROOT}/{name}" for name, option in options.items()]
    return "\n".join([f"mount -t tmpfs -o mode=755 cgroup {ROOT}", *each])


def groups_of(hierarchies: Hierarchies, name: str, below: str = "") -> list[Path]:
    """The node's group, or one below it, in every hierarchy."""
    return [root / name / below for root in hierarchies.roots]


# ---- making and removing ----------------------------------------------------------------------------------------------


def make_groups(hierarchies: Hierarchies, name: str) -> None:
    """Make a node's groups anew; what a power cut left is removed first."""
    remove_groups(hierarchies, name)
    for group in groups_of(hierarchies, name):
        group.mkdir()
    if hierarchies.unified:
        hand_on_controllers(ROOT, LEAF)
        return
    copy_cpuset(hierarchies, name)
    make_system_groups(hierarchies, name)


def make_system_groups(hierarchies: Hierarchies, name: str) -> None:
    for group in groups_of(hierarchies, name, SYSTEM):
        group.mkdir(exist_ok=True)


def copy_cpuset(hierarchies: Hierarchies, name: str) -> None:
    """A new v1 cpuset has no processor and no memory, and takes no process until it has."""
    for root in hierarchies.roots:
        group = root / name
        if (group / "cpuset.cpus").exists():
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((root / file).read_text())
            (group / "cgroup.clone_children").write_text("1")


def complete_v2(name: str) -> None:
    """Once a node's process 1 has made its group a root: move it to the leaf, and hand the controllers on."""
    hand_on_controllers(ROOT / name, SYSTEM)


def hand_on_controllers(group: Path, leaf: str) -> None:
    """v2: give the group's children all its controllers; its processes move to the leaf. The true root may keep its own."""
    if (group / "cgroup.type").exists():
        (group / leaf).mkdir(exist_ok=True)
        move_processes(group, group / leaf)
    controllers = (group / "cgroup.controllers").read_text().split()
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def move_processes(source: Path, target: Path) -> None:
    for pid in (source / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            (target / "cgroup.procs").write_text(pid)


def remove_groups(hierarchies: Hierarchies, name: str) -> None:
    """Remove a node's groups; waits for the processes that are just ending."""
    wait_for(f"end of {name}'s processes", lambda: not any(map(still_there, groups_of(hierarchies, name))), 30)


def still_there(group: Path) -> bool:
    """Try to remove a group and all below it, deepest first; say whether something is left."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # busy: asked again later
            Path(folder).rmdir()
    return group.exists()


def members(hierarchies: Hierarchies, name: str) -> set[int]:
    """Processes in a node's groups, by their ids on the machine."""
    files = (file for group in groups_of(hierarchies, name) for file in group.rglob("cgroup.procs"))
    return {int(pid) for file in files for pid in read_quietly(file).split()}


def read_quietly(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the group went away, or is a threaded one
        return ""


# ---- the root's own settings (v2) -------------------------------------------------------------------------------------


def root_handed_on() -> tuple[str, ...]:
    """v2: which controllers the root hands on; () on v1."""
    file = ROOT / "cgroup.subtree_control"
    return tuple(file.read_text().split()) if file.exists() else ()


def restore_root(before: tuple[str, ...]) -> None:
    """v2: take back what was handed on beyond `before`, and the leaf if we made one. Somebody else's use goes first."""
    for name in set(root_handed_on()) - set(before):
        with suppress(OSError):
            (ROOT / "cgroup.subtree_control").write_text(f"-{name}")
    leaf = ROOT / LEAF
    if (ROOT / "cgroup.type").exists() and leaf.is_dir() and not root_handed_on():
        move_processes(leaf, ROOT)
        with suppress(OSError):
            leaf.rmdir()
