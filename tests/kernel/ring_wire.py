"""What leaves a ring, seen at the far end of the wire: captured whole, VLAN tag included, and read by its own plain decoder."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.kernel.namespaces import inside
from tests.kernel.netpair import ETH_P_ALL, SOL_PACKET, NetnsPair

PACKET_AUXDATA = 8
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
TP_STATUS_VLAN_VALID = 1 << 4
UDP = 17


@dataclass(frozen=True, slots=True)
class Seen:
    """One UDP packet. vlan: the tag's 16 bits, None without. ident: IPv4's, 0 over IPv6. udp_check: as it stood."""

    target_mac: bytes
    source_mac: bytes
    vlan: int | None
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    ttl: int
    traffic_class: int
    ident: int
    source_port: int
    destination_port: int
    udp_check: int
    payload: bytes


def read(frame: bytes) -> Seen:
    """Decode a frame; every length and checksum in it has to be right."""
    (kind,) = struct.unpack_from(">H", frame, 12)
    vlan, at = None, 14
    if kind == 0x8100:
        vlan, kind = struct.unpack_from(">HH", frame, 14)
        at = 18
    ip = frame[at:]
    source, destination, ttl, traffic_class, ident, udp = read_ip4(ip) if kind == 0x0800 else read_ip6(ip, kind)
    source_port, destination_port, length, check = struct.unpack_from(">HHHH", udp)
    assert length == len(udp), (length, len(udp))
    if check or source.version == 6:
        pseudo = source.packed + destination.packed + struct.pack(">II", length, UDP)
        assert ones_sum(pseudo + udp) == 0xFFFF, "UDP checksum"
    return Seen(frame[:6], frame[6:12], vlan, source, destination, ttl, traffic_class, ident, source_port, destination_port,
                check, udp[8:])  # fmt: skip


def read_ip4(ip: bytes) -> tuple[IPv4Address, IPv4Address, int, int, int, bytes]:
    version, tos, total, ident, _, ttl, protocol, _ = struct.unpack_from(">BBHHHBBH", ip)
    assert (version, protocol, total) == (0x45, UDP, len(ip)), (version, protocol, total, len(ip))
    assert ones_sum(ip[:20]) == 0xFFFF, "IPv4 checksum"
    return IPv4Address(ip[12:16]), IPv4Address(ip[16:20]), ttl, tos, ident, ip[20:]


def read_ip6(ip: bytes, kind: int) -> tuple[IPv6Address, IPv6Address, int, int, int, bytes]:
    first, length, protocol, ttl = struct.unpack_from(">IHBB", ip)
    assert (kind, first >> 28, protocol, length) == (0x86DD, 6, UDP, len(ip) - 40), (kind, first, protocol, length, len(ip))
    return IPv6Address(ip[8:24]), IPv6Address(ip[24:40]), ttl, first >> 20 & 0xFF, 0, ip[40:]


def ones_sum(octets: bytes) -> int:
    """RFC 1071, in the slow, plain way."""
    padded = octets + b"\0" * (len(octets) % 2)
    total = sum(padded[i] << 8 | padded[i + 1] for i in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Wire:
    """All that arrives at the peer, in order, while it is open."""

    def __init__(self, ifname: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.bind((ifname, ETH_P_ALL))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def raw(self, expected: int, *, timeout_s: float = 10.0, settle_s: float = 0.05) -> list[bytes]:
        """Wait for so many frames and then a moment for those that should not be; return all."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < expected and time.monotonic() < deadline:
            found += self._drain()
            time.sleep(0.002)
        time.sleep(settle_s)
        return found + self._drain()

    def packets(self, expected: int) -> list[Seen]:
        """As raw(), decoded and checked; exactly so many."""
        frames = self.raw(expected)
        assert len(frames) == expected
        return [read(frame) for frame in frames]

    def _drain(self) -> list[bytes]:
        found = []
        while True:
            try:
                data, control, _, _ = self._socket.recvmsg(65536, 256)
            except BlockingIOError:
                return found
            found.append(with_tag(data, control))


def with_tag(data: bytes, control: list[tuple[int, int, bytes]]) -> bytes:
    """The kernel takes the tag out of a frame before it shows it; put it back."""
    for level, kind, value in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, *_, tci, tpid = AUXDATA.unpack_from(value)
            if status & TP_STATUS_VLAN_VALID:
                return data[:12] + struct.pack(">HH", tpid or 0x8100, tci) + data[12:]
    return data


@contextmanager
def wire(pair: NetnsPair) -> Iterator[Wire]:
    """Watch the peer's end while the block runs."""
    with inside(pair.peer_net):
        opened = Wire(pair.peer)
    try:
        yield opened
    finally:
        opened.close()


def address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)
