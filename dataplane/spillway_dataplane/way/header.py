"""A stream's header template: Ethernet to UDP, as every frame begins. Pure.

Sources: IEEE 802.1Q, RFC 791, RFC 8200, RFC 768, RFC 1112 section 6.4, RFC 2464 section 7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from spillway_crds.streams import Address, Flow

ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6 = 0x8100, 0x0800, 0x86DD
IPPROTO_UDP = 17
DONT_FRAGMENT = 0x4000  # with it an identification of 0 is right for every packet: RFC 6864 section 4.1
BROADCAST_MAC = b"\xff" * 6


@dataclass(frozen=True, slots=True)
class Header:
    """octets: lengths, identification and UDP checksum 0; the IPv4 checksum is right for that. Offsets: where IP and UDP begin.

    pseudo_sum: ones' complement sum of pseudo header (UDP length 0) and ports, folded to 16 bits.
    """

    octets: bytes
    ip_offset: int
    udp_offset: int
    family: int
    pseudo_sum: int


def header_of(flow: Flow, *, source_mac: bytes, target_mac: bytes, source: Address) -> Header:
    """Build the template. MAC addresses: 6 bytes each. source: of the destination's family."""
    link = _ethernet(flow, source_mac, target_mac)
    network = _ipv4(flow, source) if flow.destination.version == 4 else _ipv6(flow, source)
    ports = struct.pack(">HH", flow.source_port, flow.destination_port)
    pseudo = ones_sum(source.packed + flow.destination.packed + struct.pack(">H", IPPROTO_UDP) + ports)
    octets = link + network + ports + bytes(4)
    return Header(octets, len(link), len(link) + len(network), flow.destination.version, pseudo)


def multicast_mac(address: Address) -> bytes:
    """The group address that an IP multicast address maps to: its low 23 bits for IPv4, 32 for IPv6."""
    if isinstance(address, IPv4Address):
        return b"\x01\x00\x5e" + (int(address) & 0x7FFFFF).to_bytes(3, "big")
    return b"\x33\x33" + address.packed[-4:]


def ones_sum(octets: bytes) -> int:
    """The ones' complement sum of big-endian 16-bit words (RFC 1071), folded; an even number of octets."""
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _ethernet(flow: Flow, source_mac: bytes, target_mac: bytes) -> bytes:
    kind = struct.pack(">H", ETH_P_IP if flow.destination.version == 4 else ETH_P_IPV6)
    if flow.vlan is None:
        return target_mac + source_mac + kind
    return target_mac + source_mac + struct.pack(">HH", ETH_P_8021Q, flow.vlan.priority << 13 | flow.vlan.id) + kind


def _ipv4(flow: Flow, source: Address) -> bytes:
    assert isinstance(source, IPv4Address)
    start = struct.pack(">BBHHHBB", 0x45, flow.dscp << 2, 0, 0, DONT_FRAGMENT, flow.ttl, IPPROTO_UDP)
    addresses = source.packed + flow.destination.packed
    return start + struct.pack(">H", 0xFFFF ^ ones_sum(start + addresses)) + addresses


def _ipv6(flow: Flow, source: Address) -> bytes:
    assert isinstance(source, IPv6Address)
    start = struct.pack(">IHBB", 6 << 28 | flow.dscp << 22, 0, IPPROTO_UDP, flow.ttl)
    return start + source.packed + flow.destination.packed
