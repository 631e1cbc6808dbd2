"""What the agent uses of the kernel, so that tests can put a fake in its place. The real one is kernel.datapath.Datapath."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import XdpMode
from spillway_dataplane.filter.program import Counts, InterfaceCounts, Switches
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.node.observed import ObservedNode


class Kernel(Protocol):
    """Every call raises a SpillwayError for what the kernel refuses."""

    def observe(self) -> ObservedNode:
        """Look at interfaces, routes, programs and pins."""

    def prepare(self, ifname: str) -> bool:
        """Make what is missing of an interface's maps; whether its counters are new, that is zero."""

    def load_check(self, artifact: Artifact) -> None:
        """Let the verifier judge, changing nothing."""

    def attach(self, ifname: str, artifact: Artifact, mode: XdpMode) -> None:
        """Make and pin a link where there is none."""

    def replace(self, ifname: str, artifact: Artifact) -> None:
        """Swap the program of our link."""

    def reattach(self, ifname: str) -> None:
        """Link the pinned program again."""

    def detach(self, ifname: str) -> None:
        """Take ours off, maps and all."""

    def purge(self) -> None:
        """Leave nothing of ours."""

    def write_switches(self, ifname: str, switches: Switches) -> None:
        """Set modes and kill switch."""

    def read_switches(self, ifname: str) -> Switches:
        """Read back modes and kill switch."""

    def write_peers(self, peers: tuple[PeerEntry, ...]) -> None:
        """Set the failsafe peers of the node."""

    def read_counts(self, ifname: str, slots: Iterable[int]) -> Mapping[int, Counts]:
        """Read counter slots."""

    def read_interface_counts(self, ifname: str) -> InterfaceCounts:
        """Read what belongs to no rule."""
