"""Which interfaces a filter means: docs/semantics.md, section 5, as a table."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from spillway_dataplane.node.findings import Reason
from spillway_dataplane.node.interfaces import choose
from spillway_dataplane.node.observed import DefaultRoute, ObservedInterface, ObservedNode

NODE_IP = ip_address("10.0.0.11")
LO = ObservedInterface("lo", 1)
ETH0 = ObservedInterface("eth0", 2, physical=True)
ETH1 = ObservedInterface("eth1", 3, physical=True)
VETH = ObservedInterface("eth9", 9, kind="veth")
POD = ObservedInterface("veth12", 12, kind="veth")
KIND = ObservedInterface("eth0", 2, kind="veth", addresses=(ip_interface("10.0.0.11/24"),))
BOND = ObservedInterface("bond0", 4, kind="bond", lower=("eth0", "eth1"))
VLAN = ObservedInterface("eth0.7", 5, kind="vlan", lower=("eth0",))
BRIDGE = ObservedInterface("br0", 6, kind="bridge", lower=("eth0", "veth12"))
PODS = ObservedInterface("cni0", 7, kind="bridge", lower=("veth12", "eth9"))
TUNNEL = ObservedInterface("wg0", 8, kind="wireguard")
RING = ObservedInterface("ring", 10, kind="vlan", lower=("ring",))


def routes(*names: str) -> tuple[DefaultRoute, ...]:
    return tuple(DefaultRoute(name, ip_address("10.0.0.1")) for name in names)


@pytest.mark.parametrize(
    ("patterns", "interfaces", "default", "names", "reasons"),
    [
        pytest.param(("eth0",), (LO, ETH0), (), ("eth0",), (), id="name: that device"),
        pytest.param(("veth12",), (LO, ETH0, POD), (), ("veth12",), (), id="name: also a virtual one"),
        pytest.param(("lo",), (LO,), (), (), (Reason.NOT_SUPPORTED,), id="name: never lo"),
        pytest.param(("eth7",), (LO, ETH0), (), (), (Reason.INTERFACE_NOT_FOUND,), id="name: absent"),
        pytest.param(("eth7", "eth0"), (ETH0,), (), ("eth0",), (Reason.INTERFACE_NOT_FOUND,), id="one absent, the other stays"),
        pytest.param(("eth*",), (LO, ETH0, ETH1, VETH), (), ("eth0", "eth1"), (), id="glob: physical only"),
        pytest.param(("*",), (LO, KIND, POD), (), ("eth0",), (), id="glob without physical ones: who has the node's address"),
        pytest.param(("l*",), (LO, ETH0), (), (), (Reason.INTERFACE_NOT_FOUND,), id="glob: never lo"),
        pytest.param(("eth*", "eth0"), (ETH0,), (), ("eth0",), (), id="meant twice, had once"),
        pytest.param((), (ETH0, ETH1), routes("eth1"), ("eth1",), (), id="omitted: default route"),
        pytest.param((), (ETH0, ETH1), routes("eth1", "eth0"), ("eth0", "eth1"), (), id="omitted: every ECMP leg"),
        pytest.param((), (ETH0,), (), (), (Reason.INTERFACE_NOT_FOUND,), id="omitted: no default route"),
        pytest.param((), (ETH0, ETH1, BOND), routes("bond0"), ("bond0",), (), id="bond: itself"),
        pytest.param((), (ETH0, VLAN), routes("eth0.7"), ("eth0",), (), id="VLAN: its parent"),
        pytest.param((), (ETH0, BRIDGE, POD), routes("br0"), ("eth0",), (), id="bridge: the port that leads out"),
        pytest.param((), (PODS, POD, VETH), routes("cni0"), (), (Reason.CONFLICT,), id="bridge of pods: name one"),
        pytest.param((), (TUNNEL,), routes("wg0"), (), (Reason.NOT_SUPPORTED,), id="tunnel: what carries it is not known"),
        pytest.param((), (RING,), routes("ring"), (), (Reason.INTERFACE_NOT_FOUND,), id="a ring of devices ends"),
    ],
)
def test_choice(patterns, interfaces, default, names, reasons):
    choice = choose(ObservedNode(interfaces, default), patterns, frozenset({NODE_IP}))
    assert choice.names == names
    assert tuple(each.reason for each in choice.findings) == reasons
