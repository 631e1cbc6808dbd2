"""Floods and valid traffic on the cluster, and counting what came through, to the packet.

What passes the card's program is counted by an nftables rule in the node's own network namespace, before routing: a witness that
is not ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster import Cluster
from tests.traffic import start_flood
from tests.traffic.counting import backlog_drops
from tests.traffic.frames import udp4_flood

EXACT_RATE_PPS = 60_000  # slow enough that no queue between attacker and node overflows
TABLE = "spillway_witness"


@dataclass(slots=True)
class Witness:
    """Counts IPv4 UDP packets that reach a node's kernel, one counter for each destination port."""

    cluster: Cluster
    node: int
    ports: tuple[int, ...]
    _start: Mapping[int, int] = field(default_factory=dict)

    def passed(self) -> dict[int, int]:
        """Packets since the witness was called, by destination port."""
        said = self.cluster.node(self.node).run(["nft", "-j", "list", "table", "ip", TABLE]).stdout
        rules = [item["rule"] for item in json.loads(said)["nftables"] if "rule" in item]
        return {int(rule["comment"]): _packets(rule) for rule in rules}


def _packets(rule: Mapping[str, object]) -> int:
    expressions = rule["expr"]
    assert isinstance(expressions, list)
    return int(next(each["counter"]["packets"] for each in expressions if "counter" in each))


@contextmanager
def witness(cluster: Cluster, node: int, *ports: int) -> Iterator[Witness]:
    """Call a witness on a node for these destination ports; it is gone at the end."""
    lines = "\n".join(f'udp dport {port} counter comment "{port}"' for port in ports)
    chain = f"table ip {TABLE} {{ chain raw {{ type filter hook prerouting priority raw;\n{lines}\n }}\n}}"
    inside = cluster.node(node)
    inside.run(["nft", "-f", "-"], input=chain)
    try:
        yield Witness(cluster, node, ports)
    finally:
        inside.run(["nft", "delete", "table", "ip", TABLE])


def flood_macs(cluster: Cluster, node: int, host: str = "attacker") -> tuple[str, str]:
    """(destination, source) hardware addresses from a traffic host to a node's card."""
    return cluster.node(node).mac, cluster.host(host).mac


def udp_frames(cluster: Cluster, node: int, sources: Iterable[str], sport: int, dport: int, size: int = 600) -> list[bytes]:
    """UDP frames from those sources to a node."""
    return udp4_flood(flood_macs(cluster, node), sources, cluster.node(node).address, sport, dport, size)


def send_exactly(cluster: Cluster, frames: list[bytes], count: int, rate_pps: int = EXACT_RATE_PPS) -> int:
    """Send from the attacker, wait for the end, and return how many left. Fails if the machine lost one on the way."""
    lost = backlog_drops()
    sent = start_flood(cluster.host("attacker").netns, "eth0", frames, count, rate_pps).finish()
    assert backlog_drops() == lost, "a queue of this machine overflowed; the counts would not add up"
    return sent
