"""What each field matches: one filter of Count rules, and for each frame the names of the rules that match it.

docs/semantics.md, section 1, line by line. The unit test asks the plain matcher, the kernel test the compiled program.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from spillway_crds.filters import (
    FilterContent,
    Fragments,
    LengthRange,
    Match,
    PortRange,
    Rule,
    RuleAction,
    TcpFlag,
    TcpFlagsMatch,
)
from spillway_dataplane.filter.program import MODE_MONITOR, FilterUnit, ProgramSpec, Switches
from tests.filter_frames import (
    ACK,
    ARP,
    AUTHENTICATION,
    DESTINATION,
    ESP,
    FIN,
    GRE,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    QINQ,
    ROUTING,
    SCTP,
    SYN,
    TCP,
    UDP,
    VLAN,
    chain,
    ether,
    extension,
    fragment_header,
    icmp,
    ip4,
    ip6,
    ip6_behind,
    sctp,
    tagged,
    tcp,
    udp,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One frame. matched: names of the rules, apart by spaces. counted: `malformed`, `unparsed` or nothing."""

    id: str
    frame: bytes
    matched: str = ""
    counted: str = ""


def ports(*ranges: tuple[int, int]) -> tuple[PortRange, ...]:
    return tuple(PortRange(first, last) for first, last in ranges)


MATCHES = {
    "all": Match(),
    "udp": Match(protocol=UDP),
    "tcp": Match(protocol=TCP),
    "esp": Match(protocol=ESP),
    "ah": Match(protocol=AUTHENTICATION),
    "net": Match(sources=(ip_network("198.18.0.0/15"), ip_network("2001:db8:bad::/48"))),
    "host": Match(destinations=(ip_network("203.0.113.7/32"), ip_network("2001:db8:feed::7/128"))),
    "all-v6": Match(sources=(ip_network("::/0"),)),
    "dns": Match(protocol=UDP, source_ports=ports((53, 53))),
    "high": Match(protocol=UDP, destination_ports=ports((5000, 5010), (65535, 65535))),
    "tcp-port": Match(protocol=TCP, destination_ports=ports((443, 443))),
    "sctp-port": Match(protocol=SCTP, destination_ports=ports((2905, 2905))),
    "syn": Match(protocol=TCP, tcp_flags=TcpFlagsMatch(TcpFlag.SYN, TcpFlag.ACK)),
    "echo": Match(protocol=ICMP, icmp_types=(0, 8)),
    "nd": Match(protocol=ICMPV6, icmp_types=(135, 136)),
    "long": Match(ip_length_bytes=LengthRange(min=1000)),
    "exact": Match(ip_length_bytes=LengthRange(36, 36)),
    "whole": Match(protocol=UDP, fragments=Fragments.NONE),
    "first": Match(fragments=Fragments.FIRST),
    "later": Match(protocol=UDP, fragments=Fragments.LATER),
}
UNIT = FilterUnit(
    "fields",
    "uid-fields",
    FilterContent(tuple(Rule(name, match, RuleAction.COUNT) for name, match in MATCHES.items())),
    mode_slot=3,
    rule_slots=tuple(range(100, 100 + len(MATCHES))),
)
SPEC = ProgramSpec((UNIT,))
SWITCHES = Switches(modes=tuple(MODE_MONITOR if slot == 3 else 0 for slot in range(64)))
EXTENSIONS = (HOP_BY_HOP, ROUTING, DESTINATION, AUTHENTICATION)
EIGHT = tuple(extension(kind) for kind in (*EXTENSIONS, *EXTENSIONS))
U4, U6 = "all udp net host exact whole high", "all udp net host all-v6 whole high"

ETHERNET = (
    Row("udp over IPv4", ip4(udp()), U4),
    Row("udp over IPv6", ip6(udp()), U6),
    Row("one VLAN tag", tagged(ip4(udp()), VLAN), U4),
    Row("two VLAN tags (QinQ)", tagged(ip4(udp()), QINQ, VLAN), U4),
    Row("two 802.1Q tags before IPv6", tagged(ip6(udp()), VLAN, VLAN), U6),
    Row("three VLAN tags: not looked into", tagged(ip4(udp()), QINQ, VLAN, VLAN)),
    Row("ARP", ether(bytes(46), ARP)),
    Row("a length instead of an EtherType", ether(bytes(46), 46)),
    Row("an Ethernet header and nothing else", ether(b"", ARP)),
    Row("a VLAN tag cut short", ether(b"", VLAN)),
    Row("padding behind the IP packet", ip4(udp()) + bytes(26), U4),
    Row("9,000 bytes", ip4(udp(data=bytes(9000))), "all udp net host whole high long"),
)
FIELDS = (
    Row("source port", ip4(udp(53)), U4 + " dns"),
    Row("source port of a TCP segment", ip4(tcp(53), TCP), "all tcp net host"),
    Row("range: its first port", ip6(udp(target=5000)), U6),
    Row("range: its last port", ip6(udp(target=5010)), U6),
    Row("range: one more", ip6(udp(target=5011)), "all udp net host all-v6 whole"),
    Row("the highest port", ip6(udp(target=65535)), U6),
    Row("another source", ip4(udp(), source="198.20.0.0"), "all udp host exact whole high"),
    Row("last address of a prefix", ip4(udp(), source="198.19.255.255"), U4),
    Row("another destination", ip4(udp(), target="203.0.113.8"), "all udp net exact whole high"),
    Row("IPv6: last address of a prefix", ip6(udp(), source="2001:db8:bad:ffff:ffff:ffff:ffff:ffff"), U6),
    Row("IPv6: another source", ip6(udp(), source="2001:db8:bae::"), "all udp host all-v6 whole high"),
    Row("IPv6: another destination", ip6(udp(), target="2001:db8:feed::8"), "all udp net all-v6 whole high"),
    Row("SYN", ip4(tcp(target=443, flags=SYN), TCP), "all tcp net host tcp-port syn"),
    Row("SYN and FIN", ip4(tcp(target=443, flags=SYN | FIN), TCP), "all tcp net host tcp-port syn"),
    Row("SYN and ACK", ip4(tcp(target=443, flags=SYN | ACK), TCP), "all tcp net host tcp-port"),
    Row("SCTP", ip4(sctp(target=2905), SCTP), "all net host sctp-port"),
    Row("echo request", ip4(icmp(8), ICMP), "all net host echo"),
    Row("unreachable", ip4(icmp(3, 4), ICMP), "all net host"),
    Row("ICMP in IPv6 has no type of ICMP's", ip6(icmp(8), ICMP), "all net host all-v6"),
    Row("neighbour solicitation", ip6(icmp(135), ICMPV6), "all net host all-v6 nd"),
    Row("ICMPv6 in IPv4 has no type of ICMPv6's", ip4(icmp(135), ICMPV6), "all net host"),
    Row("ESP", ip4(bytes(8), ESP), "all net host esp"),
    Row("AH in IPv4 is the upper layer", ip4(bytes(24), AUTHENTICATION), "all net host ah"),
    Row("GRE", ip6(bytes(4), GRE), "all net host all-v6"),
    Row("1,000 bytes by the IP header", ip4(udp(data=bytes(972))), "all udp net host whole high long"),
    Row("999 bytes and padding", ip4(udp(data=bytes(971))) + bytes(8), "all udp net host whole high"),
    Row("IPv6: 40 + payload length", ip6(udp(data=bytes(952))), U6 + " long"),
    Row("IPv4 options", ip4(udp(data=b""), options=bytes(8)), U4),
)
CHAINS = (
    *(Row(f"extension header {kind}", ip6_behind(extension(kind)), U6) for kind in EXTENSIONS),
    Row("a long extension header", ip6_behind(extension(DESTINATION, 255), payload=udp()), U6 + " long"),
    Row("eight extension headers", ip6_behind(*EIGHT), U6),
    Row("nine extension headers", ip6_behind(*EIGHT, extension(DESTINATION)), "all net host all-v6", "unparsed"),
    Row("eight, each of 2,048 bytes", ip6_behind(*(extension(DESTINATION, 255) for _ in range(8))), U6 + " long"),
    Row("a chain cut short", ip6(b"\x11\x01" + bytes(6), HOP_BY_HOP), "all net host all-v6", "unparsed"),
    Row("a chain that ends before its first header", ip6(b"", ROUTING), "all net host all-v6", "unparsed"),
    Row("no next header", ip6(b"", 59), "all net host all-v6"),
)
FRAGMENTED = (
    Row("first fragment", ip4(udp(), fragment=0x2000), "all udp net host exact high first"),
    Row("later fragment: no ports", ip4(udp(53), fragment=0x2001), "all udp net host exact later"),
    Row("last fragment", ip4(udp(53), fragment=0x0001), "all udp net host exact later"),
    Row("do not fragment", ip4(udp(), fragment=0x4000), U4),
    Row("IPv6: first fragment", ip6_behind(fragment_header(more=True)), "all udp net host all-v6 high first"),
    Row("IPv6: later fragment", ip6_behind(fragment_header(2)), "all udp net host all-v6 later"),
    Row("IPv6: atomic fragment is none", ip6_behind(fragment_header()), U6),
    Row("a first fragment longer than it is", ip4(udp(length=4000), fragment=0x2000), "all udp net host exact high first"),
    Row("first fragment, header cut", ip4(tcp()[:16], TCP, fragment=0x2000), "all tcp net host exact first", "unparsed"),
    Row("IPv6: chain cut in the first fragment", ip6(chain(fragment_header(more=True), upper=DESTINATION, payload=b"")[0], 44),
        "all net host all-v6 first", "unparsed"),
)  # fmt: skip
MALFORMED = (
    Row("version 5", ip4(udp(), first=0x55), "", "malformed"),
    Row("IPv4 said, IPv6 inside", ether(ip6(udp())[14:], IPV4), "", "malformed"),
    Row("IPv6 said, IPv4 inside", ether(ip4(udp())[14:] + bytes(20), IPV6), "", "malformed"),
    Row("header of 16 bytes", ip4(udp(), first=0x44), "", "malformed"),
    Row("total length below the header's", ip4(udp(), total=19), "", "malformed"),
    Row("total length beyond the frame", ip4(udp(), total=37), "", "malformed"),
    Row("header longer than the packet", ip4(udp(data=b""), first=0x4F), "", "malformed"),
    Row("IPv4 header cut by the frame", ip4(udp())[:30], "", "malformed"),
    Row("an EtherType and nothing else", ether(b""), "", "malformed"),
    Row("IPv6 header cut by the frame", ip6(udp())[:50], "", "malformed"),
    Row("IPv6 payload length beyond the frame", ip6(udp(), length=17), "", "malformed"),
    Row("UDP length 7", ip4(udp(length=7)), "", "malformed"),
    Row("UDP length 0 over IPv4", ip4(udp(length=0)), "", "malformed"),
    Row("UDP length 0 over IPv6 is the payload's", ip6(udp(length=0)), U6),
    Row("UDP length beyond the IP payload", ip4(udp(length=17)), "", "malformed"),
    Row("UDP length below the IP payload", ip4(udp(length=8)), U4),
    Row("UDP header of 7 bytes", ip4(udp()[:7]), "", "malformed"),
    Row("TCP header of 16 bytes", ip4(tcp(words=4), TCP), "", "malformed"),
    Row("TCP header beyond the IP payload", ip4(tcp(words=6), TCP), "", "malformed"),
    Row("TCP header of 19 bytes", ip6(tcp()[:19], TCP), "", "malformed"),
    Row("ICMP of 7 bytes", ip4(icmp()[:7], ICMP), "", "malformed"),
    Row("ICMPv6 of 7 bytes", ip6(icmp()[:7], ICMPV6), "", "malformed"),
    Row("SCTP of 11 bytes", ip4(sctp()[:11], SCTP), "", "malformed"),
)
ROWS = (*ETHERNET, *FIELDS, *CHAINS, *FRAGMENTED, *MALFORMED)
