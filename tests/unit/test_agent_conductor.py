"""The conductor on a fake kernel: convergence, isolation of what fails, adoption, and everything that must never happen."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.agent_fakes import FOREIGN, FakeKernel, Node, Orders, card, content, rule

from spillway_crds.errors import InvalidIntent, KernelError, Problem
from spillway_crds.failsafe import Peers
from spillway_crds.filters import Mode, RuleAction, XdpMode
from spillway_crds.orders import Attach, FilterState, NodeState
from spillway_crds.orders_wire import encode_status, trim_status
from spillway_crds.schema.nodedataplane import STATUS
from spillway_crds.validate import problems_of
from spillway_dataplane.filter.matcher import peers_of
from spillway_dataplane.node.observed import DefaultRoute, ObservedXdp
from spillway_dataplane.source import LinksChanged, OrderSeen, PeersSeen, SwitchSeen


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path, FakeKernel(card("eth0", 2), card("eth1", 3)))
    yield made
    made.close()


@pytest.fixture
def orders():
    return Orders()


def states(status):
    return {each.name: (each.state, each.reason) for each in status.filters}


def test_attach_and_report_from_the_kernel(node, orders):
    status = node.order(orders.seen(orders.filter("dns", content())))
    assert states(status) == {"dns": (FilterState.ENFORCING, "")}
    (eth0,) = status.interfaces
    assert (eth0.name, eth0.link_id > 0, eth0.xdp_mode, eth0.rx_queues) == ("eth0", True, "Native", 4)
    assert status.conditions[0].status == "True"


def test_settled_means_nothing_to_do(node, orders):
    """Carrying out a plan leaves an empty one: no call changes anything when nothing changed."""
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.calls.clear()
    node.settle()
    assert {name for name, _ in node.kernel.calls} <= {"read_counts"}


def test_mode_flip_needs_no_program(node, orders):
    node.order(orders.seen(orders.filter("dns", content(), Mode.MONITOR)))
    node.kernel.calls.clear()
    status = node.order(orders.seen(orders.filter("dns", content(), Mode.ENFORCE)))
    assert states(status) == {"dns": (FilterState.ENFORCING, "")}
    assert [name for name, _ in node.kernel.calls if name != "read_counts"] == ["write_switches"]


def test_rule_change_is_one_replacement(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.calls.clear()
    node.order(orders.seen(orders.filter("dns", content(rule(), rule("tcp", 6)))))
    assert node.kernel.changes() == [("replace", "eth0")]


def test_first_attach_waits_for_its_turn(node, orders):
    seen = orders.seen(orders.filter("dns", content()), attach=Attach.HOLD)
    status = node.order(seen)
    assert status.waiting_for_turn == ("eth0",)
    assert states(status)["dns"][0] is FilterState.PENDING
    assert node.kernel.changes() == []
    status = node.order(replace(seen, order=replace(seen.order, attach=Attach.ALLOWED)))
    assert status.waiting_for_turn == ()
    assert states(status)["dns"][0] is FilterState.ENFORCING


def test_last_filter_leaves_a_program_that_passes_everything(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.calls.clear()
    node.order(orders.seen(state=NodeState.IDLE, attach=Attach.HOLD))
    assert node.kernel.changes() == [("replace", "eth0")]
    node.order(orders.seen(state=NodeState.EMPTY))
    assert node.kernel.changes()[-1] == ("detach", "eth0")
    assert not node.kernel.cards["eth0"].counters


def test_one_bad_filter_takes_nothing_from_the_others(node, orders):
    """What ran keeps running, the culprit is named, and the others' changes come through."""
    good, other = orders.filter("good", content()), orders.filter("other", content(rule("tcp", 6)))
    node.order(orders.seen(good, other))
    node.kernel.bad_sources = lambda source: "211" in source
    changed = orders.filter("other", content(rule("tcp", 6), rule("icmp", 1)))
    status = node.order(orders.seen(orders.filter("good", content(rule(), rule("odd", 211))), changed))
    assert states(status)["other"] == (FilterState.ENFORCING, "")
    assert states(status)["good"][0] is FilterState.FAILED
    assert "invalid access" in status.filters[0].message
    running = node.conductor.memory.records.members(node.kernel.cards["eth0"].program.digest)
    assert {each.revision for each in running} == {good.revision, changed.revision}
    assert status.filters[0].revision == good.revision, "what the kernel runs, not what was ordered"


def test_bad_new_filter_stays_out(node, orders):
    node.kernel.bad_sources = lambda source: "211" in source
    status = node.order(orders.seen(orders.filter("good", content()), orders.filter("bad", content(rule("odd", 211)))))
    assert states(status)["good"] == (FilterState.ENFORCING, "")
    assert states(status)["bad"] == (FilterState.FAILED, "KernelError")


def test_bad_change_does_not_tighten_the_old_rules(node, orders):
    """A new revision and Enforce come together and the revision is impossible: the old rules stay in Monitor."""
    node.order(orders.seen(orders.filter("dns", content(), Mode.MONITOR)))
    node.kernel.bad_sources = lambda source: "211" in source
    status = node.order(orders.seen(orders.filter("dns", content(rule("odd", 211)), Mode.ENFORCE)))
    assert states(status)["dns"][0] is FilterState.FAILED
    assert 2 not in node.kernel.cards["eth0"].switches.modes


def test_relief_reaches_the_old_rules(node, orders):
    node.order(orders.seen(orders.filter("dns", content(), Mode.ENFORCE)))
    node.kernel.bad_sources = lambda source: "211" in source
    node.order(orders.seen(orders.filter("dns", content(rule("odd", 211)), Mode.MONITOR)))
    assert 2 not in node.kernel.cards["eth0"].switches.modes


def test_deleted_filter_ends_before_the_compiler_does(node, orders):
    """Relief waits for nobody: also when the program without the filter cannot be had."""
    keep, gone = orders.filter("keep", content()), orders.filter("gone", content(rule("tcp", 6)))
    node.order(orders.seen(keep, gone))
    slots = dict(node.conductor.memory.records.slots.modes)
    node.kernel.refuse = lambda call, ifname: KernelError(errno=12, operation="load program") if call == "load_check" else None
    node.order(orders.seen(keep))
    modes = node.kernel.cards["eth0"].switches.modes
    assert (modes[slots[keep.uid]], modes[slots[gone.uid]]) == (2, 0)


@pytest.mark.parametrize(("mode", "first"), [(Mode.ENFORCE, 2), (Mode.MONITOR, 0)], ids=["enforcing", "monitoring"])
def test_a_filter_made_anew_under_its_name_takes_over(node, orders, mode, first):
    """Until its program is there the one that it succeeds drops on; a successor that is to drop nothing relieves at once."""
    old, new = orders.filter("dns", content()), orders.filter("dns", content(), mode, uid="uid-again")
    node.order(orders.seen(old))
    slot = dict(node.conductor.memory.records.slots.modes)[old.uid]
    node.kernel.refuse = lambda call, ifname: KernelError(errno=12, operation="load program") if call == "load_check" else None
    node.order(orders.seen(new))
    assert node.kernel.cards["eth0"].switches.modes[slot] == first


def test_withdrawal_relieves_before_its_turn_comes(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    status = node.order(orders.seen(state=NodeState.EMPTY, attach=Attach.HOLD))
    assert status.waiting_for_turn == ("eth0",)
    assert not any(node.kernel.cards["eth0"].switches.modes)


def test_empty_leaves_not_even_what_interfaces_share(node, orders):
    """With the last interface the node's own maps go; a filter that comes back finds its peers written anew."""
    dns = orders.filter("dns", content())
    node.order(orders.seen(dns))
    node.order(orders.seen(state=NodeState.EMPTY, attach=Attach.HOLD))
    assert ("purge", "") not in node.kernel.calls
    node.order(orders.seen(state=NodeState.EMPTY))
    assert node.kernel.calls[-1] == ("purge", "")
    node.kernel.calls.clear()
    node.order(orders.seen(dns))
    names = [name for name, _ in node.kernel.calls]
    assert names.index("write_peers") < names.index("attach")


def test_data_that_cannot_be_written_is_told_and_tried_again(node, orders):
    node.order(orders.seen(orders.filter("dns", content(), Mode.MONITOR)))
    node.kernel.refuse = lambda call, ifname: KernelError(errno=5, operation=call) if call == "write_switches" else None
    status = node.order(orders.seen(orders.filter("dns", content(), Mode.ENFORCE)))
    assert states(status)["dns"] == (FilterState.FAILED, "KernelError")
    assert node.conductor.troubled
    assert [name for name, _ in node.kernel.calls].count("write_switches") <= 2, "once a look, not in a circle"
    node.kernel.refuse = lambda call, ifname: None
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_leaving_unseen_is_forgotten_once_the_link_is_seen(node, orders):
    """A device that was said to leave but whose link lives: what somebody detaches later is not fought."""
    node.order(orders.seen(orders.filter("dns", content())))
    node.conductor.take(LinksChanged(frozenset({"eth0"})), node.now)
    node.settle()
    node.kernel.detach_by_hand("eth0")
    assert states(node.settle())["dns"] == (FilterState.FAILED, "Detached")


def test_content_that_cannot_be_read_is_isolated(node, orders):
    seen = orders.seen(orders.filter("good", content()), orders.filter("bad", content(rule("tcp", 6))))
    bad = InvalidIntent((Problem("spec.rules", None, "Required value"),))
    contents = {name: bad if name.startswith("bad") else each for name, each in seen.contents.items()}
    status = node.order(replace(seen, contents=contents))
    assert states(status) == {"good": (FilterState.ENFORCING, ""), "bad": (FilterState.FAILED, "InvalidIntent")}


def test_missing_content_is_waited_for_and_the_old_one_stays(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    program = node.kernel.cards["eth0"].program
    after = orders.filter("dns", content(rule("tcp", 6)))
    seen = orders.seen(after)
    status = node.order(OrderSeen(seen.order, seen.uid, {}))
    assert states(status)["dns"] == (FilterState.PENDING, "Transient")
    assert node.kernel.cards["eth0"].program == program
    assert states(node.order(seen))["dns"] == (FilterState.ENFORCING, "")


def test_younger_of_two_that_contradict_gets_the_conflict(node, orders):
    older = orders.filter("older", content(xdp_mode=XdpMode.NATIVE), created="2025-01-01T00:00:00Z")
    younger = orders.filter("younger", content(xdp_mode=XdpMode.GENERIC, priority=1), created="2026-01-01T00:00:00Z")
    status = node.order(orders.seen(younger, older))
    assert states(status) == {"younger": (FilterState.FAILED, "Conflict"), "older": (FilterState.ENFORCING, "")}
    assert "older" in status.filters[0].message


def test_loser_of_a_conflict_stays_as_it_ran(node, orders):
    """A change that cannot be had takes away nothing: the filter's old revision goes on beside the older filter."""
    older, before = orders.filter("older", content()), orders.filter("younger", content(rule("tcp", 6)))
    node.order(orders.seen(older, before))
    status = node.order(orders.seen(older, orders.filter("younger", content(rule("tcp", 6), xdp_mode=XdpMode.GENERIC))))
    assert states(status)["younger"] == (FilterState.FAILED, "Conflict")
    running = node.conductor.situation.running["eth0"]
    assert {each.revision for each in running} == {older.revision, before.revision}


def test_queue_out_of_range_fails_alone(node, orders):
    status = node.order(orders.seen(orders.filter("good", content()), orders.filter("bad", content(rx_queue_ids=(4,)))))
    assert states(status) == {"good": (FilterState.ENFORCING, ""), "bad": (FilterState.FAILED, "QueueNotFound")}


def test_absent_interface_heals(node, orders):
    status = node.order(orders.seen(orders.filter("dns", content(interfaces=("eth7",)))))
    assert states(status)["dns"] == (FilterState.FAILED, "InterfaceNotFound")
    node.kernel.bring_back("eth7", 9)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_filter_stays_while_there_is_no_default_route(node, orders):
    """A flood that takes the route away must not find the card open; who can bring it back, by BGP or DHCP, stays failsafe."""
    gateway = ip_address("10.0.0.1")
    node.kernel.routes = (DefaultRoute("eth0", gateway),)
    seen = orders.seen(orders.filter("dns", content(interfaces=())))
    node.order(seen)
    node.kernel.calls.clear()
    node.kernel.routes = ()
    assert states(node.settle())["dns"] == (FilterState.FAILED, "InterfaceNotFound")
    assert node.kernel.changes() == []
    node.restart()
    assert states(node.status())["dns"] == (FilterState.FAILED, "InterfaceNotFound")
    assert node.kernel.changes() == []
    assert peers_of(gateway, node.kernel.peers) & Peers.GATEWAYS
    node.kernel.routes = (DefaultRoute("eth1", ip_address("10.0.1.1")),)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")
    assert not peers_of(gateway, node.kernel.peers) & Peers.GATEWAYS


def test_foreign_program_is_left_alone_and_heals(node, orders):
    node.kernel.set("eth0", attached=ObservedXdp(FOREIGN, XdpMode.NATIVE, "xdp_other"))
    status = node.order(orders.seen(orders.filter("dns", content())))
    assert states(status)["dns"] == (FilterState.FAILED, "Conflict")
    assert f"{FOREIGN} (xdp_other)" in status.filters[0].message
    assert node.kernel.changes() == []
    node.kernel.set("eth0", attached=None)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_detached_by_hand_is_not_fought(node, orders):
    seen = orders.seen(orders.filter("dns", content()))
    node.order(seen)
    node.kernel.detach_by_hand("eth0")
    for _ in range(3):
        assert states(node.settle())["dns"] == (FilterState.FAILED, "Detached")
    node.order(replace(seen, order=replace(seen.order, attach=Attach.HOLD)))
    assert states(node.settle())["dns"] == (FilterState.FAILED, "Detached"), "a turn taken back is no changed order"
    status = node.order(orders.seen(orders.filter("dns", content(rule("tcp", 6)))))
    assert states(status)["dns"] == (FilterState.ENFORCING, "")


def test_spillway_on_attaches_again(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.detach_by_hand("eth0")
    node.settle()
    node.store.write_bytes("on", b"")
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")
    assert not node.store.has("on")


@pytest.mark.parametrize("ifindex", [2, 9], ids=["same index", "another index"])
@pytest.mark.parametrize("noticed", [True, False], ids=["seen away", "only told"])
def test_device_away_and_back_needs_no_turn(node, orders, ifindex, noticed):
    node.order(orders.seen(orders.filter("dns", content()), attach=Attach.ALLOWED))
    node.order(orders.seen(orders.filter("dns", content()), attach=Attach.HOLD))
    node.kernel.take_away("eth0")
    if noticed:
        assert states(node.settle())["dns"] == (FilterState.FAILED, "InterfaceNotFound")
    node.kernel.bring_back("eth0", ifindex)
    node.conductor.take(LinksChanged(frozenset({"eth0"})), node.now)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_restart_adopts(node, orders):
    """A new process finds everything as it was, touches nothing, and counts on."""
    node.order(orders.seen(orders.filter("dns", content()), attach=Attach.HOLD))
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.count("eth0", 0, 5)
    node.kernel.calls.clear()
    node.restart()
    assert node.kernel.changes() == []
    node.kernel.count("eth0", 0, 2)
    status = node.count()
    assert status.filters[0].totals.matched_packets == 7


def test_reboot_attaches_from_disk_without_compiler_or_turn(node, orders):
    node.order(orders.seen(orders.filter("dns", content())))
    node.order(orders.seen(orders.filter("dns", content()), attach=Attach.HOLD))
    node.kernel.count("eth0", 0, 5)
    node.count()
    node.kernel.reboot()
    node.kernel.sources.clear()
    node.restart()
    assert node.kernel.changes()[-1] == ("attach", "eth0")
    assert not node.kernel.sources, "the bytecode lies on disk"
    node.kernel.count("eth0", 0, 2)
    assert node.count().filters[0].totals.matched_packets == 7


def test_counts_go_on_over_programs_and_rules(node, orders):
    node.order(orders.seen(orders.filter("dns", content(rule("one"), rule("two", 6)))))
    for slot in (0, 1):
        node.kernel.count("eth0", slot, 10)
    node.order(orders.seen(orders.filter("dns", content(rule("one"), rule("three", 1)))))
    status = node.count()
    assert status.filters[0].totals.matched_packets == 20
    assert [(each.name, each.totals.matched_packets) for each in status.filters[0].rules] == [("one", 10), ("three", 0)]


def test_new_object_counts_anew(node, orders):
    seen = orders.seen(orders.filter("dns", content()))
    node.order(seen)
    node.kernel.count("eth0", 0, 10)
    status = node.order(replace(seen, uid="nd-2"))
    assert (status.counts_for, status.filters[0].totals.matched_packets) == ("nd-2", 0)


def test_kill_switch_from_either_side(node, orders):
    """Relief wins: both have to say on."""
    node.order(orders.seen(orders.filter("dns", content())))
    node.conductor.take(SwitchSeen(True), node.now)
    status = node.settle()
    assert states(status)["dns"] == (FilterState.OFF, "")
    assert "spillway-switch" in status.enforcement_off
    node.store.write_bytes("off", b"")
    node.conductor.take(SwitchSeen(False), node.now)
    assert node.settle().enforcement_off == "spillway off on this node"
    node.restart()
    assert not node.kernel.cards["eth0"].switches.enforcement
    node.store.remove(["off"])
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_native_beyond_its_mtu_is_told_and_heals(node, orders):
    node.kernel.set("eth0", mtu=9000)
    status = node.order(orders.seen(orders.filter("dns", content())))
    assert states(status)["dns"] == (FilterState.FAILED, "NotSupported")
    node.kernel.calls.clear()
    node.settle()
    assert node.kernel.changes() == [], "nothing changed, so nothing is tried"
    node.kernel.set("eth0", mtu=1500)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_another_mode_that_is_refused_leaves_what_runs(node, orders):
    """Generic runs; Native cannot be had: the flood does not come in meanwhile."""
    node.kernel.set("eth0", mtu=9000)
    generic = content(xdp_mode=XdpMode.GENERIC)
    node.order(orders.seen(orders.filter("dns", generic)))
    node.kernel.count("eth0", 0, 5)
    node.kernel.calls.clear()
    status = node.order(orders.seen(orders.filter("dns", content(xdp_mode=XdpMode.NATIVE))))
    assert states(status)["dns"] == (FilterState.FAILED, "NotSupported")
    assert node.kernel.changes() == [("attach", "eth0")], "tried once"
    assert node.kernel.cards["eth0"].seen.attached.mode is XdpMode.GENERIC
    node.kernel.set("eth0", mtu=1500)
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")
    assert node.count().filters[0].totals.matched_packets == 5


def test_a_mode_that_the_driver_lacks_keeps_nobody_else_waiting(node, orders):
    """Native is what a filter asks for that says nothing: it must not take an interface from one that runs there."""
    node.kernel.set("eth0", mtu=9000)
    auto, native = content(xdp_mode=XdpMode.AUTO), content(rule("tcp", 6))
    both = orders.filter("dns", auto), orders.filter("tcp", native)
    status = node.order(orders.seen(*both))
    assert states(status) == {"dns": (FilterState.ENFORCING, ""), "tcp": (FilterState.FAILED, "NotSupported")}
    node.kernel.calls.clear()
    changed = orders.filter("dns", content(rule("dns", 17), rule("more", 47), xdp_mode=XdpMode.AUTO))
    status = node.order(orders.seen(changed, orders.filter("tcp", native)))
    assert states(status) == {"dns": (FilterState.ENFORCING, ""), "tcp": (FilterState.FAILED, "NotSupported")}
    assert node.kernel.changes() == [("replace", "eth0")], "what runs was never taken off for the other one's sake"
    node.kernel.set("eth0", mtu=1500)
    status = node.settle()
    assert states(status) == {"dns": (FilterState.ENFORCING, ""), "tcp": (FilterState.ENFORCING, "")}
    assert status.interfaces[0].xdp_mode == "Native"


def test_a_refused_mode_is_not_asked_for_again_and_again(node, orders):
    """Each time what runs would be off for a moment. A changed interface, or `spillway on`, is asked anew."""
    node.kernel.set("eth0", mtu=9000)
    node.order(orders.seen(orders.filter("dns", content(xdp_mode=XdpMode.GENERIC))))
    node.order(orders.seen(orders.filter("dns", content())))
    node.kernel.calls.clear()
    for _ in range(5):
        node.now += 3600
        node.conductor.take(LinksChanged(), node.now)
        assert states(node.settle())["dns"] == (FilterState.FAILED, "NotSupported")
    assert node.kernel.changes() == []
    node.store.write_bytes("on", b"")
    node.settle()
    assert node.kernel.changes() == [("attach", "eth0")]
    node.kernel.calls.clear()
    node.now += 3600
    node.settle()
    assert node.kernel.changes() == [], "its answer is known again"


def test_bond_without_native_xdp_names_its_lower_devices(tmp_path, orders):
    node = Node(tmp_path, FakeKernel(card("bond0", 5, kind="bond", lower=("eth0", "eth1"), mtu=9000)))
    status = node.order(orders.seen(orders.filter("dns", content(interfaces=("bond0",)))))
    assert states(status)["dns"] == (FilterState.FAILED, "Conflict")
    assert "eth0, eth1" in status.filters[0].message
    node.close()


def test_missing_permission_is_no_filters_fault(node, orders):
    node.kernel.refuse = lambda call, ifname: (
        KernelError(errno=1, operation="load program", detail="seccomp, AppArmor") if call == "load_check" else None
    )
    status = node.order(orders.seen(orders.filter("dns", content()), orders.filter("ntp", content(rule("tcp", 6)))))
    assert set(states(status).values()) == {(FilterState.FAILED, "KernelError")}
    node.kernel.refuse = lambda call, ifname: None
    node.now += 3600
    assert set(states(node.settle()).values()) == {(FilterState.ENFORCING, "")}


def test_damaged_bytecode_is_compiled_again(node, orders):
    seen = orders.seen(orders.filter("dns", content()))
    node.order(seen)
    for each in (node.root / "bytecode").iterdir():
        each.write_bytes(b"rubbish")
    node.kernel.reboot()
    node.restart()
    node.now += 60
    assert states(node.settle())["dns"] == (FilterState.ENFORCING, "")


def test_without_an_order_nothing_is_touched(node):
    assert node.settle() is None
    assert node.kernel.calls == []


def test_peers_are_written_before_the_first_attach(node, orders):
    node.conductor.take(PeersSeen({"nodes": '["10.0.0.12"]'}), node.now)
    node.order(orders.seen(orders.filter("dns", content())))
    names = [name for name, _ in node.kernel.calls]
    assert names.index("write_peers") < names.index("attach")
    assert any(str(each.prefix) == "10.0.0.12/32" for each in node.kernel.peers)


CONTENTS = st.builds(
    lambda protocols, interfaces, mode, priority: content(
        *(rule(f"p{number}", number, action) for number, action in protocols),
        interfaces=interfaces,
        xdp_mode=mode,
        priority=priority,
    ),
    st.lists(
        st.tuples(st.sampled_from([1, 6, 17, 132]), st.sampled_from(RuleAction)), min_size=1, max_size=3, unique_by=lambda x: x[0]
    ),
    st.sampled_from([("eth0",), ("eth1",), ("eth0", "eth1"), ("eth*",)]),
    st.sampled_from([XdpMode.NATIVE, XdpMode.AUTO]),  # of those that contradict each other the loser stays as it ran
    st.integers(1, 3),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcd"), CONTENTS), max_size=4, unique_by=lambda x: x[0]), min_size=1, max_size=4)
)
def test_converges_and_order_does_not_matter(tmp_path_factory, history):
    """Whatever was ordered before, and in whichever order filters are listed, the node ends where the last order alone leads."""
    orders = Orders()
    root = tmp_path_factory.mktemp("node")
    node = Node(root / "one", FakeKernel(card("eth0", 2), card("eth1", 3)))
    fresh = Node(root / "two", FakeKernel(card("eth0", 2), card("eth1", 3)))
    try:
        for filters in history:
            node.order(orders.seen(*(orders.filter(name, what) for name, what in filters)))
        last = [orders.filter(name, what) for name, what in history[-1]]
        fresh.order(orders.seen(*reversed(last)))
        node.kernel.calls.clear()
        node.settle()
        assert node.kernel.changes() == []
        for name in ("eth0", "eth1"):
            ours = node.conductor.situation.running.get(name, ())
            theirs = fresh.conductor.situation.running.get(name, ())
            assert {(each.uid, each.revision) for each in ours} == {(each.uid, each.revision) for each in theirs}
    finally:
        node.close()
        fresh.close()


def test_status_fits_the_crd(node, orders):
    """Every reason, state and length that an agent can report is one that the API server takes."""
    node.kernel.set("eth1", attached=ObservedXdp(FOREIGN, XdpMode.NATIVE))
    status = node.order(
        orders.seen(
            orders.filter("dns", content()),
            orders.filter("queue", content(rx_queue_ids=(9,))),
            orders.filter("taken", content(interfaces=("eth1",))),
            orders.filter("absent", content(interfaces=("eth7", "eth*"))),
        )
    )
    assert problems_of(STATUS, encode_status(trim_status(status)), "status") == ()
