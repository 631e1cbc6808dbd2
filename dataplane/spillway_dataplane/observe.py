"""One look at the node: the kernel's side, and what people put into our directory. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spillway_crds.errors import SpillwayError
from spillway_dataplane.filter.program import Switches
from spillway_dataplane.kept.store import OFF, ON, Store
from spillway_dataplane.node.interfaces import Address
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.node.peers import read_resolvers
from spillway_dataplane.ports import Kernel

LOG = logging.getLogger(__name__)
RESOLV_CONF = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Observation:
    """switches: of every interface that has our maps. off: somebody said `spillway off` here. on_word: `spillway on`, since."""

    node: ObservedNode
    switches: Mapping[str, Switches] = field(default_factory=dict)
    resolvers: frozenset[Address] = frozenset()
    off: bool = False
    on_word: bool = False


def observe(kernel: Kernel, store: Store) -> Observation:
    """Look at everything that a plan depends on and that is not the agent's own memory.

    Raises SpillwayError when the kernel shows nothing; without a look there is no plan.
    """
    node = kernel.observe()
    off = store.has(OFF)
    return Observation(node, read_switches(kernel, node), resolvers_here(), off, on_word=not off and store.has(ON))


def read_switches(kernel: Kernel, node: ObservedNode) -> dict[str, Switches]:
    """Read back what every program of ours obeys."""
    found = {}
    for interface in node.interfaces:
        if not interface.maps_pinned:
            continue
        try:
            found[interface.name] = kernel.read_switches(interface.name)
        except SpillwayError as error:
            LOG.warning("%s", error)
    return found


def resolvers_here() -> frozenset[Address]:
    """Read the node's name servers; without a readable resolv.conf there are none."""
    try:
        return read_resolvers(RESOLV_CONF.read_text(errors="replace"))
    except OSError:
        return frozenset()
