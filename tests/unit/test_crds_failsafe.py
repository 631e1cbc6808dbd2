"""Which failsafe flows a rule is in the way of: named if it may be, left out only if it cannot be."""

from __future__ import annotations

import pytest
from tests import crd_cases as cases

from spillway_crds.decode import decode_filter
from spillway_crds.failsafe import FailsafeFlow, Peers, flows
from spillway_crds.failsafe_overlap import overlapping_flows
from spillway_crds.filters import Rule

FLOWS = flows()
ALL = tuple(flow.name for flow in FLOWS)
UDP_FLOWS = ("dns-replies", "ntp-replies", "dhcp", "overlay", "bfd")
TCP_FLOWS = ("api-server", "etcd", "kubelet", "ssh", "dns-replies", "bgp")


def rule(action: str = "Drop", **match: object) -> Rule:
    return decode_filter(cases.rules(cases.rule(match=match, action=action))).spec.content.rules[0]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param({"sources": ["0.0.0.0/0", "::/0"]}, ALL, id="everything"),
        pytest.param({"protocol": "UDP"}, (*UDP_FLOWS[:4], "node-fragments", "bfd"), id="a protocol, its later fragments too"),
        pytest.param({"protocol": "UDP", "fragments": "None"}, UDP_FLOWS, id="no fragments"),
        pytest.param({"protocol": "UDP", "fragments": "Later"}, ("node-fragments",), id="only later fragments"),
        pytest.param({"protocol": "ESP", "fragments": "Later"}, ("tunnels", "node-fragments"), id="later fragments of a tunnel"),
        pytest.param(
            {"protocol": "UDP", "sourcePorts": ["53"]},
            ("dns-replies", "dhcp", "overlay", "bfd"),
            id="a reply's port: the other side is any port",
        ),
        pytest.param(
            {"protocol": "UDP", "sourcePorts": ["53"], "destinationPorts": ["1024-3000"]}, ("dns-replies",), id="replies of DNS"
        ),
        pytest.param(
            {"protocol": "UDP", "sourcePorts": ["1900-1910"], "destinationPorts": ["1024-3000"]}, (), id="ports of nobody"
        ),
        pytest.param({"protocol": "TCP", "tcpFlags": {"set": ["SYN"]}}, TCP_FLOWS, id="flags narrow nothing that is known"),
        pytest.param({"protocol": "TCP", "destinationPorts": ["20-25"], "sourcePorts": ["1024-2000"]}, ("ssh",), id="a range"),
        pytest.param({"protocol": "TCP", "destinationPorts": ["80"], "sourcePorts": ["1024-2000"]}, (), id="a web server"),
        pytest.param({"protocol": "ICMP"}, ("node-fragments", "path-mtu"), id="ICMP"),
        pytest.param({"protocol": "ICMP", "icmpTypes": [8]}, (), id="echo requests"),
        pytest.param({"protocol": "ICMP", "icmpTypes": [3, 8]}, ("path-mtu",), id="unreachable"),
        pytest.param({"protocol": "ICMP", "sources": ["2001:db8::/32"], "fragments": "None"}, (), id="ICMP is IPv4"),
        pytest.param({"protocol": "ICMPv6", "icmpTypes": [135]}, ("neighbour-discovery",), id="neighbour solicitation"),
        pytest.param({"protocol": "ICMPv6", "icmpTypes": [128]}, (), id="echo requests of IPv6"),
        pytest.param({"protocol": "UDP", "ipLengthBytes": {"max": 27}, "fragments": "None"}, (), id="shorter than any"),
        pytest.param({"protocol": "UDP", "ipLengthBytes": {"max": 28}, "fragments": "None"}, UDP_FLOWS, id="as short as it gets"),
        pytest.param(
            {"protocol": "UDP", "sources": ["10.0.0.0/8"], "ipLengthBytes": {"min": 65536}, "fragments": "None"},
            (),
            id="longer than IPv4 gets",
        ),
        pytest.param({"sources": ["224.0.0.0/4", "127.0.0.0/8", "ff02::/16"]}, (), id="sources that nobody has"),
        pytest.param({"sources": ["10.0.0.0/8"], "destinations": ["2001:db8::/32"]}, (), id="no packet has both families"),
        pytest.param({"protocolNumber": 89}, ("node-fragments",), id="another protocol"),
    ],
)
def test_overlap(match: dict[str, object], expected: tuple[str, ...]) -> None:
    """By protocol, ports, types, fragments, length and addresses."""
    assert overlapping_flows(rule(**match), FLOWS) == expected


@pytest.mark.parametrize("action", ["Allow", "Count"])
def test_only_drop_is_in_the_way(action: str) -> None:
    """What passes a packet cannot cut anybody off."""
    assert overlapping_flows(rule(action), FLOWS) == ()


def test_link_local_peers_are_known() -> None:
    """Their addresses are an RFC's, so a rule about others cannot be in their way."""
    flow = FailsafeFlow("local", (17,), peers=Peers.LINK_LOCAL)
    assert overlapping_flows(rule(protocol="UDP", sources=["fe80::/64"]), (flow,)) == ("local",)
    assert overlapping_flows(rule(protocol="UDP", sources=["10.0.0.0/8", "2001:db8::/32"]), (flow,)) == ()
