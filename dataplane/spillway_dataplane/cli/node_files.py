"""Reads what the agent wrote down and what the kernel holds, with or without an agent at work. Changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from spillway_crds.errors import KernelError
from spillway_dataplane.cli.node_view import Reading, Remembered
from spillway_dataplane.memory import Memory
from spillway_dataplane.observed import ObservedNode
from spillway_dataplane.peers import OwnPeers, flows_in_force
from spillway_dataplane.ports import Kernel
from spillway_dataplane.store import LOCK, OFF, Store

PROC_LOCKS = Path("/proc/locks")
GONE = frozenset({errno.ENOENT, errno.ENODEV})


def read_memory(store: Store) -> Remembered:
    """Return what the agent wrote down, as far as it can be read."""
    memory = Memory(store)
    memory.restore()
    own = OwnPeers(api_endpoints=memory.endpoints)
    return Remembered(
        records=memory.records,
        book=memory.book,
        order=memory.order,
        contents=memory.known,
        flows=tuple(flow.name for flow in flows_in_force(memory.cluster_peers, own)),
        off_here=store.has(OFF),
        off_in_cluster=memory.switched_off,
        agent_pid=lock_holder(store.root / LOCK),
    )


def lock_holder(path: Path) -> int:
    """Process that holds the node's lock, 0 if none does. Looks only: trying the lock could make an agent wait."""
    try:
        inode = str(path.stat().st_ino)
        rows = PROC_LOCKS.read_text().splitlines()
    except OSError:
        return 0
    for row in rows:
        words = row.split()  # `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`; one that waits has an arrow after the number
        if words[1] == "FLOCK" and words[3] == "WRITE" and words[5].rpartition(":")[2] == inode:
            return int(words[4])
    return 0


def read_kernel(kernel: Kernel, node: ObservedNode, slots: Iterable[int]) -> dict[str, Reading]:
    """Read the maps of every interface that has all of them pinned. Raises KernelError when the kernel refuses."""
    wanted = sorted(slots)
    found: dict[str, Reading] = {}
    for interface in node.interfaces:
        if interface.maps_pinned and (reading := _read(kernel, interface.name, wanted)):
            found[interface.name] = reading
    return found


def _read(kernel: Kernel, ifname: str, slots: list[int]) -> Reading | None:
    try:
        counts = kernel.read_counts(ifname, slots)
        return Reading(kernel.read_switches(ifname), counts, kernel.read_interface_counts(ifname))
    except KernelError as error:
        if error.errno in GONE:  # taken off in this moment
            return None
        raise
