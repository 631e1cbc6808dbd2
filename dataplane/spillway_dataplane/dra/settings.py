"""What the driver is told by its environment, and the paths that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.node.interfaces import Address

DEFAULT_KUBELET = Path("/var/lib/kubelet")
DEFAULT_CDI = Path("/var/run/cdi")
DEFAULT_CONFIG = Path("/etc/spillway/streams.json")
DEFAULT_METRICS_PORT = 9466
OWN_BYTES = 160 << 20  # of the container's limit for the process itself
INSTANCE_LETTERS = 8  # of the pod's uid: a socket's path ends at 107 bytes, and some kubelet directories are long


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """kubelet, cdi: directories of the host, at the same path here. metrics_port 0: no server.

    instance: letters and digits that tell two pods of one node apart. frames_bytes: memory that the frames of all rings may take
    together; 0: as much as they ask for.
    """

    node_name: str
    node_addresses: frozenset[Address] = field(default_factory=frozenset)
    instance: str = "0"
    kubelet: Path = DEFAULT_KUBELET
    cdi: Path = DEFAULT_CDI
    config: Path = DEFAULT_CONFIG
    metrics_port: int = DEFAULT_METRICS_PORT
    frames_bytes: int = 0

    @property
    def plugin(self) -> Path:
        """The driver's own directory."""
        return self.kubelet / "plugins" / QUEUE_DRIVER

    @property
    def claims(self) -> Path:
        """Checkpoints, and a directory for each claim."""
        return self.plugin / "claims"

    @property
    def plugin_socket(self) -> Path:
        """Where this process prepares claims."""
        return self.plugin / f"dra-{self.instance}.sock"

    @property
    def registration_socket(self) -> Path:
        """Where kubelet finds this process."""
        return self.kubelet / "plugins_registry" / f"{QUEUE_DRIVER}-{self.instance}-reg.sock"


def read_settings(environment: Mapping[str, str]) -> StreamSettings:
    """Read what the DaemonSet sets. Raises KeyError without NODE_NAME, ValueError for what cannot be read."""
    addresses = environment.get("NODE_IP", "").split(",")
    limit_bytes = int(environment.get("SPILLWAY_MEMORY_LIMIT", 0))
    letters = "".join(each for each in environment.get("POD_UID", "") if each.isalnum())
    return StreamSettings(
        node_name=environment["NODE_NAME"],
        node_addresses=frozenset(ip_address(each.strip()) for each in addresses if each.strip()),
        instance=letters[:INSTANCE_LETTERS] or StreamSettings("").instance,
        kubelet=Path(environment.get("SPILLWAY_KUBELET_DIR", DEFAULT_KUBELET)),
        cdi=Path(environment.get("SPILLWAY_CDI_DIR", DEFAULT_CDI)),
        config=Path(environment.get("SPILLWAY_STREAMS_CONFIG", DEFAULT_CONFIG)),
        metrics_port=int(environment.get("SPILLWAY_STREAMS_METRICS_PORT", DEFAULT_METRICS_PORT)),
        frames_bytes=max(1, limit_bytes - OWN_BYTES) if limit_bytes else 0,
    )
