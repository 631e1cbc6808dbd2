"""The switch and its links. Two bridges in a network namespace of its own; every link has four queues on both ends.

What an end in the machine's own namespace could disturb stays out of it: only one link, `spw-host`, ends there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.addresses import (
    API_ADDRESS,
    API_ADDRESS6,
    API_PORT,
    BRIDGE,
    BRIDGE_MAC,
    HOST_LINK,
    MACHINE_ADDRESS,
    NODE_LINK,
    QUEUES,
    STUDIO_BRIDGE,
    STUDIO_LINK,
    SWITCH,
    host_address,
    host_address6,
    host_mac,
    host_netns,
    host_port,
    node_address,
    node_address6,
    node_mac,
    node_netns,
    node_pods,
    node_port,
    studio_address,
    studio_address6,
    studio_mac,
    studio_port,
)
from tests.cluster.processes import identify, kill
from tests.cluster.shell import output, run, succeeds

NETNS = Path("/run/netns")


def ip(netns: str, *words: str) -> None:
    """One `ip` command in a network namespace; "" is the machine's own."""
    run(["ip", *(["-n", netns] if netns else []), *words])


def netns_exists(netns: str) -> bool:
    return (NETNS / netns).exists()


def in_netns(netns: str) -> list[str]:
    """Prefix of a command that is to run in a network namespace; the command stays this process, signals reach it."""
    return ["nsenter", f"--net={NETNS / netns}"]


# ---- making -----------------------------------------------------------------------------------------------------------


def make_switch(mtu_bytes: int) -> None:
    """The bridge, the control plane's addresses on it, and the machine's link to it.

    The bridge has an address of its own: it would take the lowest of its ports' otherwise, another one with each port that
    comes or goes, and its neighbours would send to the old one for half a minute.
    """
    ip("", "netns", "add", SWITCH)
    ip(SWITCH, "link", "set", "lo", "up")
    for bridge, own in ((BRIDGE, ["address", BRIDGE_MAC]), (STUDIO_BRIDGE, [])):
        ip(SWITCH, "link", "add", bridge, *own, "mtu", str(mtu_bytes), "type", "bridge", "mcast_snooping", "0")
        ip(SWITCH, "link", "set", bridge, "up")
    ip(SWITCH, "addr", "add", f"{API_ADDRESS}/24", "dev", BRIDGE)
    ip(SWITCH, "addr", "add", f"{API_ADDRESS6}/64", "dev", BRIDGE, "nodad")
    ip("", "link", "add", HOST_LINK, "mtu", str(mtu_bytes), "type", "veth", "peer", "name", "host", "netns", SWITCH)
    ip(SWITCH, "link", "set", "host", "mtu", str(mtu_bytes), "master", BRIDGE, "up")
    ip("", "link", "set", HOST_LINK, "up")
    ip("", "addr", "add", f"{MACHINE_ADDRESS}/24", "dev", HOST_LINK)


@dataclass(frozen=True, slots=True)
class Card:
    """One link of a namespace: `name` in there, `port` its other end on the bridge."""

    name: str
    port: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]


def make_place(netns: str) -> None:
    ip("", "netns", "add", netns)
    ip(netns, "link", "set", "lo", "up")


def make_link(netns: str, card: Card, mtu_bytes: int) -> None:
    """Plug a card into its bridge. The carrier comes last: addresses are there when the first packet is."""
    queues = ["numtxqueues", str(QUEUES), "numrxqueues", str(QUEUES)]
    size = ["mtu", str(mtu_bytes)]
    peer = ["peer", "name", card.name, "netns", netns, "address", card.mac, *size, *queues]
    ip(SWITCH, "link", "add", card.port, *size, *queues, "type", "veth", *peer)
    for address in card.addresses:
        ip(netns, "addr", "add", address, "dev", card.name, *(["nodad"] if ":" in address else []))
    ip(netns, "link", "set", card.name, "up")
    ip(SWITCH, "link", "set", card.port, "master", card.bridge, "up")


def make_node_links(index: int, mtu_bytes: int) -> None:
    """A node's network: `eth0` with the default route, and `eth1` on the second bridge."""
    netns = node_netns(index)
    first = (f"{node_address(index)}/24", f"{node_address6(index)}/64")
    second = (f"{studio_address(index)}/24", f"{studio_address6(index)}/64")
    make_place(netns)
    make_link(netns, Card(NODE_LINK, node_port(index), BRIDGE, node_mac(index), first), mtu_bytes)
    make_link(netns, Card(STUDIO_LINK, studio_port(index), STUDIO_BRIDGE, studio_mac(index), second), mtu_bytes)
    ip(netns, "route", "add", "default", "via", API_ADDRESS)


def make_host_link(name: str, position: int, mtu_bytes: int) -> None:
    netns, addresses = host_netns(name), (f"{host_address(position)}/24", f"{host_address6(position)}/64")
    make_place(netns)
    make_link(netns, Card(NODE_LINK, host_port(name), BRIDGE, host_mac(position), addresses), mtu_bytes)
    ip(netns, "route", "add", "default", "via", API_ADDRESS)


def make_routes(nodes: Iterable[int], hosts: Iterable[str]) -> None:
    """Everybody on the switch, and the machine, reaches every node's pods. Repeating it changes nothing."""
    indices = list(nodes)
    netns = filter(netns_exists, [SWITCH, *map(host_netns, hosts), *map(node_netns, indices)])  # a node may have no power
    for place in ["", *netns]:
        for index in indices:
            if place != node_netns(index):
                ip(place, "route", "replace", node_pods(index), "via", node_address(index))


# ---- cutting the way to the API server --------------------------------------------------------------------------------


def block_api(index: int) -> None:
    """Drop, without a word, all that a node or its pods send to the API server. Everything else goes on."""
    for rule in block_rules(index):
        if not succeeds([*iptables("-C"), *rule]):
            run([*iptables("-A"), *rule])


def unblock_api(index: int) -> None:
    for rule in block_rules(index):
        if succeeds([*iptables("-C"), *rule]):
            run([*iptables("-D"), *rule])


def iptables(verb: str) -> list[str]:
    """Before connection tracking, so that open connections end as well."""
    return [*in_netns(SWITCH), "iptables", "-t", "raw", verb, "PREROUTING"]


def block_rules(index: int) -> list[list[str]]:
    target = ["-d", API_ADDRESS, "-p", "tcp", "--dport", str(API_PORT), "-j", "DROP"]
    return [["-s", source, *target] for source in (node_address(index), node_pods(index))]


# ---- removing ---------------------------------------------------------------------------------------------------------


def remove_port(port: str) -> None:
    """Unplug a link from the switch; both of its ends are gone at once."""
    run(["ip", "-n", SWITCH, "link", "del", port], check=False)


def remove_netns(netns: str) -> None:
    """End whoever is still in a namespace of ours, and remove it."""
    if netns_exists(netns):
        pids = output(["ip", "netns", "pids", netns]).split()
        kill([identify(int(pid)) for pid in pids])
        ip("", "netns", "del", netns)


def remove_host_link() -> None:
    run(["ip", "link", "del", HOST_LINK], check=False)
