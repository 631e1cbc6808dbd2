"""All that the agent uses of BPF: one object, no descriptor and no state kept between two calls.

What is in force lies in the kernel and below one directory of the BPF filesystem; two processes may use it, a lock orders them.
Every call may be cut short at any step: what runs goes on, and the next call that changes something tidies up (pins.py).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spillway_crds.errors import KernelError, NotSupported
from spillway_crds.failsafe import PeerEntry, merge_peers
from spillway_crds.filters import XdpMode
from spillway_dataplane.filter.program import Counts, InterfaceCounts, Switches
from spillway_dataplane.kernel import maps
from spillway_dataplane.kernel.artifact import MAPS, Artifact
from spillway_dataplane.kernel.explain import explained
from spillway_dataplane.kernel.libbpf import map_info, map_lookup, map_update
from spillway_dataplane.kernel.links import attach_artifact, attached_generation, change_mode, make_link, replace_artifact
from spillway_dataplane.kernel.objects import Fd
from spillway_dataplane.kernel.pins import NODE, NODE_MAPS, PINNED_MAPS, InterfacePins, entries, locked, remove_tree
from spillway_dataplane.kernel.programs import loaded, open_node_map, pinned_map
from spillway_dataplane.kernel.survey import pinned_names, pins_of, survey
from spillway_dataplane.node.observed import ObservedNode

SPECS = {spec.name: spec for spec in MAPS}
FIRST = b"\0\0\0\0"  # the only key of an array of one


class Datapath:
    """The BPF objects of one node. root: a directory of ours in a BPF filesystem; made when first needed.

    Raises KernelError for what the kernel refuses, Conflict and NotSupported as each method says.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._node = root / NODE

    def observe(self) -> ObservedNode:
        """Look at interfaces, routes, programs and pins. Changes nothing, not even what a crash left behind."""
        with explained("observe"):
            return survey(self._root)

    def pinned_names(self) -> tuple[str, ...]:
        """Names of the interfaces that something of ours is pinned for, whether they exist or not."""
        with explained("list pins"):
            return pinned_names(self._root)

    def prepare(self, ifname: str) -> bool:
        """Make and pin what is missing of an interface's maps, so that they can be written before its first packet.

        Returns True if its counters are new, that is all zero.
        """
        with explained("prepare maps", ifname), locked(self._root):
            return self._prepare(self._pins(ifname))

    def load_check(self, artifact: Artifact) -> None:
        """Let the verifier judge an artifact with maps that are thrown away. Raises KernelError with its last lines."""
        with explained("load program"), loaded(artifact, maps.create):
            pass

    def attach(self, ifname: str, artifact: Artifact, mode: XdpMode) -> None:
        """Attach an artifact to an interface's XDP hook; what of ours runs there is replaced, maps and counts stay.

        mode: Auto keeps the mode that our link has; another mode than it has makes the device flap.

        Raises Conflict if another program holds the hook, NotSupported if the driver cannot, Transient if the interface is gone.
        """
        with self._changing("attach", ifname) as pins:
            self._prepare(pins)
            current = attached_generation(ifname, pins)
            if current and mode in (XdpMode.AUTO, current.mode):
                replace_artifact(ifname, pins, artifact, self._node)
            elif current:
                change_mode(ifname, pins, artifact, mode, self._node)
            elif mode is XdpMode.AUTO:
                self._attach_best(ifname, pins, artifact)
            else:
                attach_artifact(ifname, pins, artifact, mode, self._node)

    def _attach_best(self, ifname: str, pins: InterfacePins, artifact: Artifact) -> None:
        try:
            attach_artifact(ifname, pins, artifact, XdpMode.NATIVE, self._node)
        except NotSupported:
            attach_artifact(ifname, pins, artifact, XdpMode.GENERIC, self._node)

    def replace(self, ifname: str, artifact: Artifact) -> None:
        """Put another artifact in the place of the one that runs, in one step; no packet sees a moment without a program.

        Raises Conflict if our link runs a program that is none of ours, Transient if the link is not attached (any more).
        """
        with self._changing("replace program", ifname) as pins:
            replace_artifact(ifname, pins, artifact, self._node)

    def reattach(self, ifname: str) -> None:
        """Attach the pinned program again with a new link, in the mode it had: the device was away.

        Nothing happens if it is attached: a device that only moved between namespaces took its link along.
        Raises what `attach` raises, and KernelError (ENOENT) when nothing is pinned.
        """
        with self._changing("attach again", ifname) as pins:
            if attached_generation(ifname, pins):
                return
            link = pins.link()
            current = pins.current(link.prog_id) if link else None
            if current is None:
                raise KernelError(errno=errno.ENOENT, operation="attach again", ifname=ifname, detail="no pinned program")
            with current.program() as program:
                make_link(ifname, pins, program, current.mode)
            pins.heal()

    def detach(self, ifname: str) -> None:
        """Take our program off an interface and forget its maps and counts. Nothing of ours there: nothing happens."""
        with self._changing("detach", ifname) as pins:
            pins.remove()

    def purge(self) -> None:
        """Leave nothing of ours in this node's kernel: every link detached, every pin gone, the directory too."""
        if not self._root.exists():
            return
        with explained("purge"), locked(self._root):
            for entry in entries(self._root):
                if entry.name != NODE and entry.is_dir():
                    InterfacePins(entry).remove()
            remove_tree(self._root)

    def write_switches(self, ifname: str, switches: Switches) -> None:
        """Set an interface's enforcement and modes; every packet from now on meets them."""
        with self._interface_map("write switches", ifname, "switches") as found:
            map_update(found, FIRST, maps.encode_switches(switches, maps.value_bytes(map_info(found))))

    def read_switches(self, ifname: str) -> Switches:
        """Read back what an interface's program obeys, with every mode slot."""
        with self._interface_map("read switches", ifname, "switches") as found:
            raw = map_lookup(found, FIRST, maps.value_bytes(map_info(found)))
            assert raw is not None, "an array has all its entries"
            return maps.decode_switches(raw)

    def write_peers(self, peers: tuple[PeerEntry, ...]) -> None:
        """Make these the failsafe peers of every interface. Nobody who was one and stays one is missing in between."""
        hosts, prefixes = maps.peer_entries(merge_peers(peers))
        with explained("write peers"), locked(self._root):
            for name, contents in zip(NODE_MAPS, (maps.peer_gate(hosts), hosts, prefixes), strict=True):
                with open_node_map(SPECS[name], self._node) as found:
                    maps.write_entries(found, contents)

    def read_counts(self, ifname: str, slots: Iterable[int]) -> Mapping[int, Counts]:
        """Read counter slots, summed over all CPUs."""
        with self._interface_map("read counts", ifname, "counters") as found:
            return maps.read_counts(found, slots)

    def clear_counts(self, ifname: str, slots: Iterable[int]) -> None:
        """Set counter slots to zero. Only for slots that the running program does not count in."""
        with self._interface_map("clear counts", ifname, "counters") as found:
            maps.clear_counts(found, slots)

    def read_interface_counts(self, ifname: str) -> InterfaceCounts:
        """Read what belongs to no rule. failsafe_packets: as many as the map has room for, so more than there are flows."""
        with self._interface_map("read counts", ifname, "stats") as found:
            malformed, unparsed, *flows = maps.read_numbers(found)
            return InterfaceCounts(malformed, unparsed, tuple(flows))

    @contextmanager
    def _changing(self, operation: str, ifname: str) -> Iterator[InterfacePins]:
        pins = self._pins(ifname)
        with explained(operation, ifname), locked(self._root):
            pins.heal()
            yield pins

    @contextmanager
    def _interface_map(self, operation: str, ifname: str, name: str) -> Iterator[Fd]:
        with explained(operation, ifname), pinned_map(self._pins(ifname).path / name) as found:
            yield found

    def _pins(self, ifname: str) -> InterfacePins:
        return pins_of(self._root, ifname)

    def _prepare(self, pins: InterfacePins) -> bool:
        pins.path.mkdir(exist_ok=True)
        return "counters" in [name for name in PINNED_MAPS if maps.ensure(SPECS[name], pins.path / name)]
