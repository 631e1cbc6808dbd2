"""Who has which address on the switch. Pure.

The control plane sits in the switch's own network namespace, so that no firewall, port or route of the machine meets it.
Pods are not in 10.244.0.0/16: a flannel on this machine may route that. Every node has a second card on a second bridge, a
segment of its own: what a test does to that card (a ring, a link that goes down) leaves the way to the API server alone.
"""

from __future__ import annotations

SWITCH = "spw-sw"  # network namespace of the bridge and the control plane
BRIDGE = "br0"
BRIDGE_MAC = "02:0a:63:00:00:01"
HOST_LINK = "spw-host"  # the machine's own link to the switch
NODE_LINK = "eth0"
STUDIO_BRIDGE = "br1"
STUDIO_LINK = "eth1"
QUEUES = 4

API_PORT = 6443
API_ADDRESS = "10.99.0.1"
API_ADDRESS6 = "fd00:10:99::1"
API_URL = f"https://{API_ADDRESS}:{API_PORT}"
MACHINE_ADDRESS = "10.99.0.2"
SERVICES = "10.96.0.0/24"
API_SERVICE_ADDRESS = "10.96.0.1"
ALL_PODS = "10.199.0.0/16"
MAX_NODES = 80
MAX_HOSTS = 20
FIRST_HOST = 101


def node_name(index: int) -> str:
    return f"node{index}"


def node_netns(index: int) -> str:
    return f"spw-node{index}"


def node_port(index: int) -> str:
    """The switch's end of a node's link."""
    return f"n{index}"


def node_address(index: int) -> str:
    return f"10.99.0.{10 + index}"


def node_address6(index: int) -> str:
    return f"fd00:10:99::{10 + index}"


def node_mac(index: int) -> str:
    """The same after a power cut, so that no neighbour has to learn it anew."""
    return f"02:0a:63:00:00:{10 + index:02x}"


def studio_port(index: int) -> str:
    """The second bridge's end of a node's second link."""
    return f"s{index}"


def studio_address(index: int) -> str:
    return f"10.98.0.{10 + index}"


def studio_address6(index: int) -> str:
    return f"fd00:10:98::{10 + index}"


def studio_mac(index: int) -> str:
    return f"02:0a:62:00:00:{10 + index:02x}"


def node_pods(index: int) -> str:
    return f"10.199.{index}.0/24"


def host_netns(name: str) -> str:
    return f"spw-{name}"


def host_port(name: str) -> str:
    return f"h-{name}"


def host_address(position: int) -> str:
    """position: 0-based place in the list of traffic hosts."""
    return f"10.99.0.{FIRST_HOST + position}"


def host_address6(position: int) -> str:
    return f"fd00:10:99::{FIRST_HOST + position}"


def host_mac(position: int) -> str:
    return f"02:0a:63:00:00:{FIRST_HOST + position:02x}"
