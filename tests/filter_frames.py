"""Frames for tables, built from the outside in; every length is right unless a test says another."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

TCP, UDP, SCTP, ICMP, ICMPV6, ESP, GRE = 6, 17, 132, 1, 58, 50, 47
IPV4, IPV6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SOURCE4, TARGET4 = "198.18.0.1", "203.0.113.7"
SOURCE6, TARGET6 = "2001:db8:bad::1", "2001:db8:feed::7"


def ether(payload: bytes, ethertype: int = IPV4, *, tags: tuple[int, ...] = ()) -> bytes:
    """An Ethernet frame without FCS. tags: EtherTypes of VLAN tags, outermost first."""
    vlan = b"".join(struct.pack("!HH", tag, 0x0123) for tag in tags)
    return bytes.fromhex("020000000001020000000002") + vlan + struct.pack("!H", ethertype) + payload


def ip4(
    payload: bytes = b"",
    protocol: int = UDP,
    *,
    source: str = SOURCE4,
    target: str = TARGET4,
    fragment: int = 0,
    options: bytes = b"",
    total: int | None = None,
    first: int | None = None,
    ttl: int = 64,
) -> bytes:
    """An IPv4 frame. fragment: flags and offset as in the header. first: its first byte, version and IHL."""
    head = 20 + len(options)
    size = head + len(payload) if total is None else total
    lead = 0x40 | head // 4 if first is None else first
    fixed = struct.pack("!BBHHHBBH", lead, 0, size, 1, fragment, ttl, protocol, 0)
    return ether(fixed + IPv4Address(source).packed + IPv4Address(target).packed + options + payload)


def ip6(
    payload: bytes = b"",
    following: int = UDP,
    *,
    source: str = SOURCE6,
    target: str = TARGET6,
    hop_limit: int = 64,
    length: int | None = None,
    first: int = 0x60,
) -> bytes:
    """An IPv6 frame. length: the payload length it states. first: its first byte, version and more."""
    fixed = struct.pack("!B3xHBB", first, len(payload) if length is None else length, following, hop_limit)
    return ether(fixed + IPv6Address(source).packed + IPv6Address(target).packed + payload, IPV6)


def tagged(frame: bytes, *tags: int) -> bytes:
    """The same frame behind VLAN tags."""
    return frame[:12] + b"".join(struct.pack("!HH", tag, 0x0123) for tag in tags) + frame[12:]


def chain(*headers: tuple[int, bytes], upper: int, payload: bytes) -> tuple[bytes, int]:
    """Payload and first next-header of an IPv6 packet: (kind, all but the first byte of the header) pairs, outermost first."""
    following = upper
    for kind, rest in reversed(headers):
        payload, following = bytes([following]) + rest + payload, kind
    return payload, following


def extension(kind: int, units: int = 0) -> tuple[int, bytes]:
    """An extension header of 8 + 8 x units bytes; of AH, 8 + 4 x units."""
    size = 4 if kind == AUTHENTICATION else 8
    return kind, struct.pack("!BHI", units, 0, 0) + bytes(size * units)


def fragment_header(offset: int = 0, *, more: bool = False) -> tuple[int, bytes]:
    """A fragment header. offset: in units of eight bytes."""
    return FRAGMENT, struct.pack("!BHI", 0, offset << 3 | more, 77)


def udp(source: int = 4000, target: int = 5000, data: bytes = bytes(8), *, length: int | None = None) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(data) if length is None else length, 0) + data


def tcp(source: int = 4000, target: int = 5000, flags: int = ACK, *, words: int = 5, options: bytes = b"") -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 2, words << 4, flags, 1024, 0, 0) + options


def icmp(kind: int = 8, code: int = 0) -> bytes:
    return struct.pack("!BBHI", kind, code, 0, 0)


def sctp(source: int = 4000, target: int = 5000) -> bytes:
    return struct.pack("!HHII", source, target, 1, 2)


def ip6_behind(*headers: tuple[int, bytes], upper: int = UDP, payload: bytes | None = None, **fields: object) -> bytes:
    """An IPv6 frame whose upper layer stands behind extension headers."""
    body, following = chain(*headers, upper=upper, payload=udp() if payload is None else payload)
    return ip6(body, following, **fields)  # type: ignore[arg-type]
