"""A node's card and the switch port opposite: a four-queue veth between two network namespaces, as quiet as a wire."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.namespaces import inside, mount, new_network, open_namespace

IFNAME, PEER = "spw0", "spw1"
QUEUES = 4
ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_RCVBUFFORCE = 33  # above net.core.rmem_max, which is 208 KiB on a stock machine: 98 frames


def run(*command: str) -> str:
    """Run a program in the thread's present namespaces; its error output is in the exception."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def ip(arguments: str) -> str:
    return run("ip", *arguments.split())


def namespace_path(net: int) -> str:
    """What `ip link set ... netns` takes for a namespace that has no name."""
    return f"/proc/{os.getpid()}/fd/{net}"


def cpu_mask(count: int) -> str:
    """Every CPU, as sysfs wants a mask: hexadecimal, a comma after each 32 bits."""
    digits = f"{(1 << count) - 1:x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    return ",".join(digits[at : at + 8] for at in range(0, len(digits), 8))


def open_descriptors() -> list[str]:
    """Descriptors of this process, by number and what they are."""
    return sorted(f"{each.name} {each.readlink()}" for each in Path("/proc/self/fd").iterdir() if each.is_symlink())


def quieten(ifname: str) -> None:
    """No IPv6 of its own: neighbour discovery and MLD would be counted as the test's packets."""
    Path(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6").write_text("1")


@dataclass(frozen=True, slots=True)
class NetnsPair:
    """The test's thread is on the node's side. ifname: the card there. peer: the other end, in the namespace `peer_net`.

    net: the node's own namespace.
    bpffs: a BPF filesystem of the test's own, empty. mac, peer_mac: 6 bytes each. Neither end has an address.
    """

    ifname: str
    peer: str
    net: int
    peer_net: int
    bpffs: Path
    mac: bytes
    peer_mac: bytes

    @property
    def ifindex(self) -> int:
        return socket.if_nametoindex(self.ifname)

    def peer_run(self, *command: str) -> str:
        """Run a program at the peer's side."""
        with inside(self.peer_net):
            return run(*command)

    def send(self, frames: Iterable[bytes], *, queue_id: int | None = None) -> int:
        """Send whole Ethernet frames from the peer to the card; returns how many. queue_id: the RX queue they arrive on."""
        with inside(self.peer_net):
            if queue_id is not None:
                self._steer(queue_id)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                sender.bind((self.peer, 0))
                return sum(1 for frame in frames if sender.send(frame))

    def _steer(self, queue_id: int) -> None:
        everything = cpu_mask(os.cpu_count() or 1)
        for each in range(QUEUES):
            path = Path(f"/sys/class/net/{self.peer}/queues/tx-{each}/xps_cpus")
            path.write_text(everything if each == queue_id else "0")

    def peer_listen(self) -> Listener:
        """Collect what the card sent, as it reaches the other end from now on."""
        with inside(self.peer_net):
            return Listener(self.peer)

    def listen(self) -> Listener:
        """Collect what reaches the node's kernel on the card from now on."""
        return Listener(self.ifname)


class Listener:
    """Frames that the card's program let through, as a packet socket behind it sees them. Use in a `with` block."""

    def __init__(self, ifname: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind((ifname, ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def frames(self, expected: int, *, timeout_s: float = 2.0, settle_s: float = 0.05) -> list[bytes]:
        """Wait for `expected` frames, then a moment longer for those that should not be; return all."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found += self._drain()
            if len(found) >= expected:
                time.sleep(settle_s)
                return found + self._drain()
            time.sleep(0.002)
        return found + self._drain()

    def _drain(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(65536))
            except BlockingIOError:
                return found


def make_pair(directory: Path) -> NetnsPair:
    """Build the pair around the thread's present network namespace, which becomes the node's."""
    bpffs = directory / "bpf"
    bpffs.mkdir()
    mount("bpf", bpffs, "bpf")
    peer_net = new_network()
    queues = f"numtxqueues {QUEUES} numrxqueues {QUEUES}"
    ip(f"link add {IFNAME} {queues} type veth peer name {PEER} {queues}")
    ip(f"link set {PEER} netns {namespace_path(peer_net)}")
    quieten(IFNAME)
    ip("link set lo up")
    ip(f"link set {IFNAME} up")
    with inside(peer_net):
        quieten(PEER)
        ip("link set lo up")
        ip(f"link set {PEER} up")
        peer_mac = mac_of(PEER)
    return NetnsPair(IFNAME, PEER, open_namespace("net"), peer_net, bpffs, mac_of(IFNAME), peer_mac)


def mac_of(ifname: str) -> bytes:
    return bytes.fromhex(Path(f"/sys/class/net/{ifname}/address").read_text().strip().replace(":", ""))
