"""Frames for floods and valid traffic, with right lengths and checksums. Addresses are text, ports numbers; big endian out."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

ETH_IPV4, ETH_IPV6, ETH_VLAN, ETH_QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of data, padded with a zero byte."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination: str, source: str, ethertype: int, payload: bytes, vlans: Sequence[tuple[int, int]] = ()) -> bytes:
    """vlans: (TPID, VLAN id) from the outermost inwards."""
    tags = b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in vlans)
    return mac(destination) + mac(source) + tags + struct.pack("!H", ethertype) + payload


def ipv4(source: str, destination: str, protocol: int, payload: bytes, *, fragment: int = 0, ident: int = 0) -> bytes:
    """fragment: the flags-and-offset field: 0x2000 more fragments, low 13 bits offset in units of 8 bytes."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0)
    head += IPv4Address(source).packed + IPv4Address(destination).packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, destination: str, next_header: int, payload: bytes, hop_limit: int = 64) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), next_header, hop_limit)
    return head + IPv6Address(source).packed + IPv6Address(destination).packed + payload


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    packed = ip_address(source).packed + ip_address(destination).packed
    if len(packed) == 8:
        return packed + struct.pack("!BBH", 0, protocol, length)
    return packed + struct.pack("!II", length, protocol)


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes) -> bytes:
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    value = checksum(pseudo_header(source, destination, UDP, 8 + len(payload)) + head + payload)
    return head[:6] + struct.pack("!H", value or 0xFFFF) + payload


def tcp(source: str, destination: str, sport: int, dport: int, flags: int, sequence: int = 0) -> bytes:
    head = struct.pack("!HHIIBBHHH", sport, dport, sequence, 0, 5 << 4, flags, 65535, 0, 0)
    value = checksum(pseudo_header(source, destination, TCP, len(head)) + head)
    return head[:16] + struct.pack("!H", value) + head[18:]


def udp4_flood(macs: tuple[str, str], sources: Iterable[str], destination: str, sport: int, dport: int, size: int) -> list[bytes]:
    """One UDP frame for each source. macs: (destination, source). size: bytes of UDP payload."""
    payload = bytes(range(256)) * (size // 256 + 1)
    return [
        ethernet(*macs, ETH_IPV4, ipv4(source, destination, UDP, udp(source, destination, sport, dport, payload[:size])))
        for source in sources
    ]


def random_sources(prefix: str, count: int, seed: int) -> list[str]:
    """`count` addresses `prefix.x.y`, the same for the same seed. prefix: the first two bytes, as `198.18`."""
    chooser = random.Random(seed)
    return [f"{prefix}.{chooser.randrange(256)}.{chooser.randrange(1, 255)}" for _ in range(count)]


def pack(frames: Iterable[bytes]) -> bytes:
    """Frames as send.c reads them."""
    return b"".join(struct.pack("=H", len(frame)) + frame for frame in frames)
