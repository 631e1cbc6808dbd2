"""What the agent is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from spillway_dataplane.node.interfaces import Address

DEFAULT_STATE = Path("/var/lib/spillway")
DEFAULT_BPFFS = Path("/bpf")
DEFAULT_METRICS_PORT = 9464
DEFAULT_PER_RULE = "32"
PINS = "spillway"  # directory of the bpffs


@dataclass(frozen=True, slots=True)
class Settings:
    """state: our directory on the node's disk. bpffs: where the host's BPF file system is mounted.

    per_rule: `All`, `None`, or how many rules of a filter have metrics of their own. metrics_port 0: no server.
    """

    node_name: str = ""
    node_addresses: frozenset[Address] = frozenset()
    namespace: str = "spillway-system"
    state: Path = DEFAULT_STATE
    bpffs: Path = DEFAULT_BPFFS
    metrics_port: int = DEFAULT_METRICS_PORT
    per_rule: str = DEFAULT_PER_RULE
    holder: str = ""

    @property
    def pins(self) -> Path:
        """Where our links, programs and maps are pinned."""
        return self.bpffs / PINS


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read what the DaemonSet sets. Raises KeyError without NODE_NAME, ValueError for what cannot be read."""
    per_rule = environment.get("SPILLWAY_METRICS_PER_RULE", DEFAULT_PER_RULE)
    if per_rule not in ("All", "None") and not per_rule.isdigit():
        raise ValueError(f"SPILLWAY_METRICS_PER_RULE: {per_rule!r} is neither All nor None nor a number")
    addresses = environment.get("NODE_IP", "").split(",")
    return Settings(
        node_name=environment["NODE_NAME"],
        node_addresses=frozenset(ip_address(each.strip()) for each in addresses if each.strip()),
        namespace=environment.get("POD_NAMESPACE", Settings().namespace),
        state=Path(environment.get("SPILLWAY_STATE", DEFAULT_STATE)),
        bpffs=Path(environment.get("SPILLWAY_BPFFS", DEFAULT_BPFFS)),
        metrics_port=int(environment.get("SPILLWAY_METRICS_PORT", DEFAULT_METRICS_PORT)),
        per_rule=per_rule,
        holder=environment.get("POD_NAME", ""),
    )
