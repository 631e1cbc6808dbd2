"""The three changes of an XDP link: made, moved to another generation, made again. Only with the lock held and pins healed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from spillway_crds.errors import Conflict, SpillwayError, Transient
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.kernel.explain import attach_error
from spillway_dataplane.kernel.libbpf import (
    XDP_DRV_MODE,
    XDP_SKB_MODE,
    link_create,
    link_info,
    link_update,
    obj_get,
    prog_by_id,
    prog_info,
)
from spillway_dataplane.kernel.objects import Fd
from spillway_dataplane.kernel.pins import LINK, Generation, InterfacePins, detach, remove_tree
from spillway_dataplane.kernel.programs import load_generation
from spillway_dataplane.node.observed import ObservedInterface, ObservedXdp

MODE_FLAGS = {XdpMode.NATIVE: XDP_DRV_MODE, XdpMode.GENERIC: XDP_SKB_MODE}


def attached_generation(ifname: str, pins: InterfacePins) -> Generation | None:
    """Return what our link runs on the device that has this name now; None when nothing of ours is attached to it.

    The link's ifindex alone does not say so: a device that was moved away keeps link and number in its new namespace.
    Raises Conflict if the link runs what we did not pin.
    """
    link, device = pins.link(), netlink.interface(ifname)
    if link is None or device is None or device.attached is None:
        return None
    if (link.ifindex, link.prog_id) != (device.ifindex, device.attached.program_id):
        return None
    current = pins.current(link.prog_id)
    if current is None:
        raise Conflict(subject=ifname, owner=f"our link runs program {link.prog_id}, which is not what we pinned for it")
    return current


def attach_artifact(ifname: str, pins: InterfacePins, artifact: Artifact, mode: XdpMode, node: Path) -> None:
    """Load an artifact aside and give it a new link. mode: Native or Generic."""
    with _new_generation(pins, mode, artifact, node) as generation, generation.program() as program:
        make_link(ifname, pins, program, mode)
    pins.heal()


def make_link(ifname: str, pins: InterfacePins, program: Fd, mode: XdpMode) -> None:
    """Attach a loaded program with a new link and pin that. Until it is pinned, our death takes it off again."""
    ifindex = _ifindex(ifname)
    if ifindex == 0:
        raise Transient(operation=f"attach to {ifname}", detail="there is no such interface now")
    try:
        link = link_create(program, ifindex, MODE_FLAGS[mode])
    except OSError as error:
        raise _explain_attach(error, ifname, mode) from error
    with link:
        pins.commit_link(link)


def replace_artifact(ifname: str, pins: InterfacePins, artifact: Artifact, node: Path) -> None:
    """Load an artifact aside and let the link run it, if the link still runs the program that we pinned."""
    current = attached_generation(ifname, pins)
    if current is None:
        raise Transient(operation=f"replace program on {ifname}", detail="our link is not attached")
    with (
        obj_get(pins.path / LINK) as link,
        _new_generation(pins, current.mode, artifact, node) as generation,
        generation.program() as new,
        current.program() as old,
    ):
        _update(ifname, link, new, old)
    pins.heal()


def change_mode(ifname: str, pins: InterfacePins, artifact: Artifact, mode: XdpMode, node: Path) -> None:
    """Move from the driver's hook to the generic one, or back: a device has one of them. If it fails, what ran comes back."""
    current = attached_generation(ifname, pins)
    assert current is not None, "called for what is attached"
    with current.program() as old, obj_get(pins.path / LINK) as link:
        detach(link)
        try:
            attach_artifact(ifname, pins, artifact, mode, node)
        except (OSError, SpillwayError):
            make_link(ifname, pins, old, current.mode)
            raise


def _update(ifname: str, link: Fd, new: Fd, old: Fd) -> None:
    try:
        link_update(link, new, old)
    except OSError as error:
        now = link_info(link)
        if now.ifindex == 0:
            detail = "the link has been detached, or its device is gone"
            raise Transient(operation=f"replace program on {ifname}", detail=detail) from error
        if now.prog_id != prog_info(old).id:  # the kernel's EPERM here is no matter of permission
            owner = f"somebody put program {now.prog_id} on our link a moment ago"
            raise Conflict(subject=ifname, owner=owner) from error
        raise


@contextmanager
def _new_generation(pins: InterfacePins, mode: XdpMode, artifact: Artifact, node: Path) -> Iterator[Generation]:
    """Build a generation aside; it goes again if the block, which puts it in force, fails."""
    generation = pins.new_generation(mode)
    try:
        load_generation(artifact, generation, node)
        yield generation
    except (OSError, SpillwayError):
        remove_tree(generation.path)
        raise


def _ifindex(ifname: str) -> int:
    with suppress(OSError):
        return socket.if_nametoindex(ifname)
    return 0


def _explain_attach(error: OSError, ifname: str, mode: XdpMode) -> SpillwayError:
    device = netlink.interface(ifname)
    if device is None:
        return Transient(operation=f"attach to {ifname}", detail="the interface has just gone")
    return attach_error(error, mode, replace(device, attached=name_program(device)))


def name_program(device: ObservedInterface) -> ObservedXdp | None:
    """Return what holds a device's hook, with its name where the capabilities allow reading it (CAP_SYS_ADMIN)."""
    if device.attached is None:
        return None
    with suppress(OSError), prog_by_id(device.attached.program_id) as program:
        return replace(device.attached, name=prog_info(program).name)
    return device.attached
