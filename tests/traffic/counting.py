"""Counts of packets from where the kernel keeps them: interfaces, sockets, and the places where it loses any."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """One interface's counters. A veth counts as received only what its XDP program let through."""

    rx_packets: int = 0
    rx_bytes: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_dropped: int = 0

    def __sub__(self, before: InterfaceCounters) -> InterfaceCounters:
        return InterfaceCounters(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class UdpCounters:
    """UDP of one network namespace (IPv4). full_buffers: datagrams lost because a socket's receive buffer was full."""

    delivered: int = 0
    no_port: int = 0
    full_buffers: int = 0

    def __sub__(self, before: UdpCounters) -> UdpCounters:
        return UdpCounters(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(self)))


def interface_counters(ifname: str, *, inside: Sequence[str] = ()) -> InterfaceCounters:
    """Read an interface's counters."""
    said = _output(inside, "ip", "-j", "-s", "link", "show", "dev", ifname)
    stats = json.loads(said)[0]["stats64"]
    rx, tx = stats["rx"], stats["tx"]
    return InterfaceCounters(rx["packets"], rx["bytes"], rx["dropped"], tx["packets"], tx["bytes"], tx["dropped"])


def udp_counters(*, inside: Sequence[str] = ()) -> UdpCounters:
    """Read /proc/net/snmp of a network namespace."""
    lines = _output(inside, "cat", "/proc/net/snmp").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    found = dict(zip(names, map(int, values), strict=True))
    return UdpCounters(found["InDatagrams"], found["NoPorts"], found["RcvbufErrors"])


def backlog_drops() -> int:
    """Packets that the machine's per-CPU backlogs were too full for, in all namespaces (/proc/net/softnet_stat, column 2).

    A bridge port without XDP receives through the backlog: an exact test sends slowly enough that this stays as it was.
    """
    rows = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(row.split()[1], 16) for row in rows)


def mac_address(ifname: str, *, inside: Sequence[str] = ()) -> str:
    """Return an interface's hardware address."""
    return str(json.loads(_output(inside, "ip", "-j", "link", "show", "dev", ifname))[0]["address"])


def _output(inside: Sequence[str], *argv: str) -> str:
    return subprocess.run([*inside, *argv], check=True, capture_output=True, text=True).stdout
