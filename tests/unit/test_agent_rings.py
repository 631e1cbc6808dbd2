"""Where transmit queues may be granted, a native program is attached in turns and stays, whatever filters come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.agent_fakes import FOREIGN, FakeKernel, Node, Orders, card, content

from spillway_crds.filters import XdpMode
from spillway_crds.orders import Attach, FilterState, NodeState
from spillway_dataplane.node.observed import ObservedXdp

TX = content(interfaces=("eth1",))


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path, FakeKernel(card("eth0", 2), card("eth1", 3)))
    yield made
    made.close()


@pytest.fixture
def orders():
    return Orders()


def granted(orders, *filters, rings=("eth1",), attach=Attach.ALLOWED):
    seen = orders.seen(*filters, state=NodeState.ACTIVE if filters else NodeState.IDLE, attach=attach)
    return replace(seen, order=replace(seen.order, ring_interfaces=rings))


def ready(status):
    return status.conditions[0].status, status.conditions[0].reason


def test_a_program_is_attached_in_its_turn_before_any_queue_is_granted(node, orders):
    status = node.order(granted(orders, attach=Attach.HOLD))
    assert (status.waiting_for_turn, node.kernel.changes()) == (("eth1",), [])
    status = node.order(granted(orders))
    assert node.kernel.changes() == [("attach", "eth1")]
    assert [(each.name, each.xdp_mode) for each in status.interfaces] == [("eth1", "Native")]
    assert ready(status) == ("True", "Converged")


def test_filters_come_and_go_without_a_flap(node, orders):
    node.order(granted(orders))
    dns = orders.filter("dns", TX)
    assert node.order(granted(orders, dns)).filters[0].state is FilterState.ENFORCING
    node.order(granted(orders))
    assert node.kernel.changes() == [("attach", "eth1"), ("replace", "eth1"), ("replace", "eth1")]


def test_the_end_of_the_grant_leaves_the_program_and_the_end_of_all_takes_it_off(node, orders):
    node.order(granted(orders))
    node.order(granted(orders, rings=(), attach=Attach.HOLD))
    assert node.kernel.changes() == [("attach", "eth1")]
    node.order(orders.seen(state=NodeState.EMPTY))
    assert node.kernel.changes()[-1] == ("detach", "eth1")


def test_an_interface_that_the_node_lacks_is_no_trouble_and_comes_by_itself(node, orders):
    status = node.order(granted(orders, rings=("eth1", "eth9")))
    assert ready(status) == ("True", "Converged")
    assert [each.name for each in status.interfaces] == ["eth1"]
    node.kernel.bring_back("eth9", 9)
    node.settle()
    assert ("attach", "eth9") in node.kernel.changes()


def test_anybodys_native_program_does(node, orders):
    node.kernel.set("eth1", attached=ObservedXdp(FOREIGN, XdpMode.NATIVE, "xdp_other"))
    assert ready(node.order(granted(orders))) == ("True", "Converged")
    assert node.kernel.changes() == []


def test_anybodys_generic_program_does_not(node, orders):
    node.kernel.set("eth1", attached=ObservedXdp(FOREIGN, XdpMode.GENERIC, "xdp_other"))
    assert ready(node.order(granted(orders))) == ("False", "Conflict")
    assert node.kernel.changes() == []


def test_a_generic_filter_goes_on_and_its_interface_says_what_it_costs(node, orders):
    generic = orders.filter("dns", replace(TX, xdp_mode=XdpMode.GENERIC))
    status = node.order(granted(orders, generic))
    assert status.filters[0].state is FilterState.ENFORCING
    (told,) = [each for each in status.interfaces[0].conditions if each.type == "RingsNeedNative"]
    assert "filter dns asks for Generic" in told.message
    assert ready(status) == ("True", "Converged")


def test_when_the_generic_filter_leaves_the_link_is_made_native_in_turns(node, orders):
    node.order(granted(orders, orders.filter("dns", replace(TX, xdp_mode=XdpMode.GENERIC))))
    status = node.order(granted(orders, attach=Attach.HOLD))
    assert status.waiting_for_turn == ("eth1",)
    status = node.order(granted(orders))
    assert node.kernel.changes()[-1] == ("attach", "eth1")
    assert status.interfaces[0].xdp_mode == "Native"


def test_a_card_without_native_xdp_says_so(node, orders):
    node.kernel.set("eth1", mtu=9000)
    assert ready(node.order(granted(orders))) == ("False", "NotSupported")
