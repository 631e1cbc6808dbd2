"""The switch and its links. A bridge in a network namespace of its own; every link has four queues on both ends.

What an end in the machine's own namespace could disturb stays out of it: only one link, `spw-host`, ends there.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    own = ["address", BRIDGE_MAC, "mtu", str(mtu_bytes)]
    ip(SWITCH, "link", "add", BRIDGE, *own, "type", "bridge", "mcast_snooping", "0")
    ip(SWITCH, "link", "set", "lo", "up")
    ip(SWITCH, "link", "set", BRIDGE, "up")
    ip(SWITCH, "addr", "add", f"{API_ADDRESS}/24", "dev", BRIDGE)
    ip(SWITCH, "addr", "add", f"{API_ADDRESS6}/64", "dev", BRIDGE, "nodad")
    ip("", "link", "add", HOST_LINK, "mtu", str(mtu_bytes), "type", "veth", "peer", "name", "host", "netns", SWITCH)
    ip(SWITCH, "link", "set", "host", "mtu", str(mtu_bytes), "master", BRIDGE, "up")
    ip("", "link", "set", HOST_LINK, "up")
    ip("", "addr", "add", f"{MACHINE_ADDRESS}/24", "dev", HOST_LINK)


def make_link(netns: str, port: str, mac: str, addresses: Iterable[str], mtu_bytes: int) -> None:
    """A namespace with one card, `eth0`, plugged into the switch, and a default route.

    The carrier comes last: addresses are there when the first packet is.
    """
    queues = ["numtxqueues", str(QUEUES), "numrxqueues", str(QUEUES)]
    size = ["mtu", str(mtu_bytes)]
    ip("", "netns", "add", netns)
    peer = ["peer", "name", NODE_LINK, "netns", netns, "address", mac, *size, *queues]
    ip(SWITCH, "link", "add", port, *size, *queues, "type", "veth", *peer)
    ip(netns, "link", "set", "lo", "up")
    for address in addresses:
        ip(netns, "addr", "add", address, "dev", NODE_LINK, *(["nodad"] if ":" in address else []))
    ip(netns, "link", "set", NODE_LINK, "up")
    ip(netns, "route", "add", "default", "via", API_ADDRESS)
    ip(SWITCH, "link", "set", port, "master", BRIDGE, "up")


def make_node_link(index: int, mtu_bytes: int) -> None:
    addresses = [f"{node_address(index)}/24", f"{node_address6(index)}/64"]
    make_link(node_netns(index), node_port(index), node_mac(index), addresses, mtu_bytes)


def make_host_link(name: str, position: int, mtu_bytes: int) -> None:
    addresses = [f"{host_address(position)}/24", f"{host_address6(position)}/64"]
    make_link(host_netns(name), host_port(name), host_mac(position), addresses, mtu_bytes)


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
