"""One look at the node: what netlink shows, joined with what is pinned. Changes nothing, not even what a crash left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.links import name_program
from spillway_dataplane.kernel.pins import NODE, PINNED_MAPS, InterfacePins, decode_name, encode_name, entries
from spillway_dataplane.kernel.programs import digest_of
from spillway_dataplane.observed import ObservedInterface, ObservedNode, PinnedLink


def survey(root: Path) -> ObservedNode:
    """Return interfaces, routes and pins as they are now. root: the directory of all pins."""
    devices = netlink.interfaces()
    present = {each.name for each in devices}
    orphans = tuple((name, pinned_link(pins_of(root, name))) for name in pinned_names(root) if name not in present)
    return ObservedNode(tuple(_with_pins(root, each) for each in devices), netlink.default_routes(), orphans)


def pins_of(root: Path, ifname: str) -> InterfacePins:
    """Return where one interface's objects are pinned, or would be."""
    return InterfacePins(root / encode_name(ifname))


def pinned_names(root: Path) -> tuple[str, ...]:
    """Names of the interfaces that something is pinned for, whether they exist or not."""
    return tuple(sorted(decode_name(each.name) for each in entries(root) if each.name != NODE))


def pinned_link(pins: InterfacePins) -> PinnedLink | None:
    """Return our link as the kernel shows it. Tag and digest are empty when its program's own pin is gone."""
    link = pins.link()
    if link is None:
        return None
    current = pins.current(link.prog_id)
    program = current.program_info() if current else None
    if program is None:
        return PinnedLink(link.id, link.ifindex, link.prog_id, "", "")
    return PinnedLink(link.id, link.ifindex, link.prog_id, program.tag, digest_of(program.name))


def _with_pins(root: Path, device: ObservedInterface) -> ObservedInterface:
    pins = pins_of(root, device.name)
    return replace(
        device,
        attached=name_program(device),
        pinned=pinned_link(pins),
        maps_pinned=all((pins.path / name).exists() for name in PINNED_MAPS),
    )
