"""Reads what the agent wrote down and what the kernel holds, with or without an agent at work. Changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from contextlib import suppress

from spillway_crds.errors import KernelError
from spillway_dataplane.cli.lock_seen import see_agent
from spillway_dataplane.cli.node_view import Reading, Remembered
from spillway_dataplane.kept.store import LOCK, OFF, TROUBLE, Store
from spillway_dataplane.memory import Memory
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.ports import Kernel

GONE = frozenset({errno.ENOENT, errno.ENODEV})


def read_memory(store: Store) -> Remembered:
    """Return what the agent wrote down, as far as it can be read. Raises PermissionError where we may not look."""
    with suppress(FileNotFoundError):
        any(store.root.iterdir())
    memory = Memory(store)
    memory.restore()
    return Remembered(
        records=memory.records,
        book=memory.book,
        order=memory.order,
        contents=memory.known,
        trouble=_trouble(store),
        off_here=store.has(OFF),
        off_in_cluster=memory.switched_off,
        agent=see_agent(store.root / LOCK),
    )


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


def _trouble(store: Store) -> dict[str, tuple[str, str]]:
    told = store.read_json(TROUBLE) or {}
    return {
        uid: (str(each.get("reason", "")), str(each.get("message", ""))) for uid, each in told.items() if isinstance(each, dict)
    }
