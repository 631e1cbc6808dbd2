"""From a frame to the fields that rules name, in plain Python: slow, obvious, and the law (docs/packet.md).

The kernel program says the same in bpf/parse.h; tests compare both over random frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from spillway_crds.filters import ICMP, ICMPV6, SCTP, TCP, UDP, Fragments, TcpFlag

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
VLAN_TAGS = (0x8100, 0x88A8)
MAX_VLAN_TAGS = 2
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
EXTENSION_HEADERS = (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION)
MAX_EXTENSION_HEADERS = 8
HEADER_BYTES = {TCP: 20, UDP: 8, SCTP: 12}


class NotForRules(Enum):
    """Why no rule sees a frame: it is not IP, or its header lengths contradict each other or the frame."""

    OTHER = "other"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet. None is a field that it does not have or that could not be read; no rule that names the field matches then.

    ip_bytes: by the IP header. unparsed: its chain of headers or its transport header is not all there.
    """

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    ip_bytes: int
    hop_limit: int
    protocol: int | None = None
    fragment: Fragments = Fragments.NONE
    source_port: int | None = None
    destination_port: int | None = None
    tcp_flags: TcpFlag | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    unparsed: bool = False


class _MalformedError(Exception):
    pass


def parse_frame(frame: bytes) -> Packet | NotForRules:
    """Read an Ethernet frame without FCS. Never raises, whatever the bytes."""
    ethertype, rest = _strip_ethernet(frame)
    try:
        if ethertype == ETHERTYPE_IPV4:
            return _parse_ipv4(rest)
        if ethertype == ETHERTYPE_IPV6:
            return _parse_ipv6(rest)
    except _MalformedError:
        return NotForRules.MALFORMED
    return NotForRules.OTHER


def _strip_ethernet(frame: bytes) -> tuple[int | None, bytes]:
    rest = frame[12:]
    for _ in range(MAX_VLAN_TAGS):
        if _number(rest, 0, 2) not in VLAN_TAGS or len(rest) < 2:
            break
        rest = rest[4:]
    return (_number(rest, 0, 2), rest[2:]) if len(rest) >= 2 else (None, b"")


def _parse_ipv4(data: bytes) -> Packet:
    _require(len(data) >= 20)
    header, total = (data[0] & 15) * 4, _number(data, 2, 2)
    _require(data[0] >> 4 == 4 and 20 <= header <= total <= len(data))
    flags = _number(data, 6, 2)
    packet = Packet(
        source=IPv4Address(data[12:16]),
        destination=IPv4Address(data[16:20]),
        ip_bytes=total,
        hop_limit=data[8],
        protocol=data[9],
        fragment=_fragment(flags & 0x1FFF, bool(flags & 0x2000)),
    )
    return _parse_transport(packet, data[header:total])


def _parse_ipv6(data: bytes) -> Packet:
    _require(len(data) >= 40)
    total = 40 + _number(data, 4, 2)
    _require(data[0] >> 4 == 6 and total <= len(data))
    packet = Packet(
        source=IPv6Address(data[8:24]),
        destination=IPv6Address(data[24:40]),
        ip_bytes=total,
        hop_limit=data[7],
    )
    return _parse_chain(packet, data[6], data[40:total])


def _parse_chain(packet: Packet, header: int, payload: bytes) -> Packet:
    seen = 0
    while header in EXTENSION_HEADERS:
        length = _extension_bytes(header, payload)
        if seen == MAX_EXTENSION_HEADERS or length is None:
            return replace(packet, unparsed=True)
        if header == FRAGMENT:
            packet = _with_fragment(packet, _number(payload, 2, 2))
        seen, header, payload = seen + 1, payload[0], payload[length:]
        if packet.fragment is Fragments.LATER:
            break
    return _parse_transport(replace(packet, protocol=header), payload)


def _extension_bytes(header: int, payload: bytes) -> int | None:
    """Return how long an extension header is, or None if it is not all there. RFC 8200, section 4; RFC 4302 for AH."""
    if len(payload) < 8:
        return None
    length = 8
    if header == AUTHENTICATION:
        length = (payload[1] + 2) * 4
    elif header != FRAGMENT:
        length = (payload[1] + 1) * 8
    return length if length <= len(payload) else None


def _with_fragment(packet: Packet, word: int) -> Packet:
    """An atomic fragment (offset 0, nothing to come) is no fragment."""
    kind = _fragment(word >> 3, bool(word & 1))
    return packet if kind is Fragments.NONE else replace(packet, fragment=kind)


def _fragment(offset: int, more: bool) -> Fragments:
    if offset:
        return Fragments.LATER
    return Fragments.FIRST if more else Fragments.NONE


def _parse_transport(packet: Packet, payload: bytes) -> Packet:
    if packet.fragment is Fragments.LATER:
        return packet
    needed = _header_bytes(packet)
    if len(payload) < needed:
        _require(packet.fragment is Fragments.FIRST)  # its rest may come in the next fragment
        return replace(packet, unparsed=True)
    if needed == 0:
        return packet
    if packet.fragment is Fragments.NONE:  # of a first fragment, the lengths are those of the whole datagram
        _require(_lengths_agree(packet, payload))
    return _with_fields(packet, payload)


def _header_bytes(packet: Packet) -> int:
    if packet.protocol == (ICMP if packet.source.version == 4 else ICMPV6):
        return 8
    return HEADER_BYTES.get(packet.protocol or 0, 0)


def _lengths_agree(packet: Packet, payload: bytes) -> bool:
    if packet.protocol == TCP:
        return 20 <= (payload[12] >> 4) * 4 <= len(payload)
    if packet.protocol == UDP:
        length = _number(payload, 4, 2)
        if length == 0 and packet.source.version == 6:  # a jumbogram's: net/ipv6/udp.c takes the IP payload instead
            return True
        return 8 <= length <= len(payload)
    return True


def _with_fields(packet: Packet, payload: bytes) -> Packet:
    if packet.protocol in (ICMP, ICMPV6):
        return replace(packet, icmp_type=payload[0], icmp_code=payload[1])
    packet = replace(packet, source_port=_number(payload, 0, 2), destination_port=_number(payload, 2, 2))
    return replace(packet, tcp_flags=TcpFlag(payload[13])) if packet.protocol == TCP else packet


def _number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "big")


def _require(holds: bool) -> None:
    if not holds:
        raise _MalformedError
