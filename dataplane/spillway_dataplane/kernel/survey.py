"""One look at the node: what netlink shows, joined with what is pinned. Changes nothing, not even what a crash left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.links import name_program
from spillway_dataplane.kernel.pins import NODE, PINNED_MAPS, InterfacePins, decode_name, encode_name, entries
from spillway_dataplane.kernel.programs import digest_of
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode, PinnedLink

ATTEMPTS = 3  # another process may change a program between our look at the links and at the devices


def survey(root: Path) -> ObservedNode:
    """Return interfaces, routes and pins as they are now. root: the directory of all pins.

    A link whose device has been moved to another network namespace reads ifindex 0, as one that the kernel detached: nothing of
    ours runs here. The kernel itself leaves it attached there, and goes on naming the device by its number.
    """
    for _ in range(ATTEMPTS):
        devices = netlink.interfaces()
        links = {name: pinned_link(pins_of(root, name)) for name in pinned_names(root)}
        here = {(each.ifindex, each.attached.program_id) for each in devices if each.attached}
        strayed = {name for name, link in links.items() if link and link.ifindex and (link.ifindex, link.program_id) not in here}
        if not strayed:
            break
    found = {name: replace(link, ifindex=0) if link and name in strayed else link for name, link in links.items()}
    present = {each.name for each in devices}
    orphans = tuple((name, link) for name, link in found.items() if name not in present)
    return ObservedNode(tuple(_with_pins(root, each, found) for each in devices), netlink.default_routes(), orphans)


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


def _with_pins(root: Path, device: ObservedInterface, links: Mapping[str, PinnedLink | None]) -> ObservedInterface:
    pins = pins_of(root, device.name)
    return replace(
        device,
        attached=name_program(device),
        pinned=links.get(device.name),
        maps_pinned=all((pins.path / name).exists() for name in PINNED_MAPS),
    )
