"""The kill switch at this node: in the kernel's maps at once, and on disk so that it outlives the agent and a reboot."""

from __future__ import annotations

import errno
from dataclasses import replace

from spillway_crds.errors import KernelError
from spillway_dataplane.kept.store import OFF, ON, SWITCH, Store
from spillway_dataplane.kernel.datapath import Datapath

ATTEMPTS = 5  # an agent that is writing its switches in this moment has not seen the file yet


def switch_off(datapath: Datapath, store: Store) -> tuple[str, ...]:
    """Turn every enforcing filter of this node into Monitor. Returns the interfaces it was done on.

    The kernel comes first: a disk that is full must not keep a drop going. Then the file, then a look whether it held.
    Raises KernelError when the kernel refuses, OSError when the disk does: the kernel's part then holds until a reboot.
    """
    done = set_enforcement(datapath, on=False)
    store.prepare()
    store.remove([ON])
    store.write_bytes(OFF, b"")
    for _ in range(ATTEMPTS):
        again = set_enforcement(datapath, on=False)
        if not again:
            break
    return done


def switch_on(datapath: Datapath, store: Store) -> bool:
    """Take `off` back; True if filters drop again at once, False if the cluster's kill switch still holds.

    Also leaves word for the agent that what somebody detached may be attached again.
    """
    store.prepare()
    store.write_bytes(ON, b"")
    store.remove([OFF])
    if (store.read_json(SWITCH) or {}).get("off"):
        return False
    set_enforcement(datapath, on=True)
    return True


def set_enforcement(datapath: Datapath, *, on: bool) -> tuple[str, ...]:
    """Write the switch of every interface of ours that says otherwise; the names of those come back."""
    return tuple(ifname for ifname in datapath.pinned_names() if _set(datapath, ifname, on=on))


def _set(datapath: Datapath, ifname: str, *, on: bool) -> bool:
    try:
        switches = datapath.read_switches(ifname)
        if switches.enforcement is on:
            return False
        datapath.write_switches(ifname, replace(switches, enforcement=on))
    except KernelError as error:
        if error.errno == errno.ENOENT:  # its maps are not made yet, or just gone: nothing runs there
            return False
        raise
    return True
