"""Status and switches from values. The kernel here is a dict: that maps really behave so is for tests/kernel/test_cli_node.py."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spillway_crds.errors import KernelError
from spillway_crds.filters import FilterContent, Match, Mode, Rule, RuleAction, XdpMode
from spillway_crds.orders import FilterOrder, FilterState, NodeOrder, NodeState, Totals
from spillway_dataplane.cli import lock_seen
from spillway_dataplane.cli.lock_seen import AgentSeen, see_agent
from spillway_dataplane.cli.node_files import read_memory
from spillway_dataplane.cli.node_view import Reading, Remembered, view_node
from spillway_dataplane.cli.status import _camel
from spillway_dataplane.cli.switching import switch_off, switch_on
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_OFF, Counts, Switches
from spillway_dataplane.filter.slots import RuleKey, SlotTable
from spillway_dataplane.kept.counts import CountBook
from spillway_dataplane.kept.records import MemberRecord, Records
from spillway_dataplane.kept.store import OFF, ON, SWITCH, Store
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode, ObservedXdp, PinnedLink

LINK = PinnedLink(link_id=7, ifindex=2, program_id=31, program_tag="0123456789abcdef", digest="aaaaaaaaaaa")
OURS = ObservedInterface("eth0", 2, attached=ObservedXdp(31, XdpMode.NATIVE, "spw_aaaaaaaaaaa"), pinned=LINK, maps_pinned=True)
RULES = tuple(Rule(name, Match(protocol=17), RuleAction.DROP) for name in ("b", "a"))
REMEMBERED = Remembered(
    records=Records(
        programs={"aaaaaaaaaaa": (MemberRecord("u1", "dns", "dns-1"),)},
        slots=SlotTable(rules=((RuleKey("u1", "a"), 1), (RuleKey("u1", "b"), 0)), modes=(("u1", 0),)),
    ),
    book=CountBook(
        bases={RuleKey("u1", "a"): Totals(100, 1000, 100, 1000)}, starts={("eth0", 0): Totals(), ("eth0", 1): Totals(5)}
    ),
    contents={"dns-1": FilterContent(RULES)},
)


def reading(mode: int = MODE_ENFORCE, *, enforcement: bool = True) -> Reading:
    return Reading(Switches(enforcement, (mode,)), {0: Counts(3, 300, 3, 300), 1: Counts(12, 1200, 7, 700)})


def node(*interfaces: ObservedInterface) -> ObservedNode:
    return ObservedNode(interfaces)


def test_counts_are_what_the_disk_closed_plus_what_the_kernel_holds_since():
    (found,) = view_node(node(OURS), REMEMBERED, {"eth0": reading()}).filters
    assert [(rule.name, rule.totals.matched_packets) for rule in found.rules] == [("b", 3), ("a", 100 + 12 - 5)]
    assert found.totals.dropped_packets == 3 + 100 + 7
    assert found.interfaces == ("eth0",)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        pytest.param(reading(), FilterState.ENFORCING, id="enforcing"),
        pytest.param(reading(MODE_MONITOR), FilterState.MONITORING, id="monitoring"),
        pytest.param(reading(MODE_OFF), FilterState.SUSPENDED, id="suspended"),
        pytest.param(reading(enforcement=False), FilterState.OFF, id="kill switch"),
        pytest.param(reading(MODE_MONITOR, enforcement=False), FilterState.MONITORING, id="monitoring anyway"),
    ],
)
def test_a_filter_s_state_is_the_kernel_s(given, state):
    (found,) = view_node(node(OURS), REMEMBERED, {"eth0": given}).filters
    assert found.state is state


def test_the_weakest_interface_decides():
    other = replace(OURS, name="eth1", ifindex=3, pinned=replace(LINK, ifindex=3))
    readings = {"eth0": reading(), "eth1": reading(MODE_MONITOR)}
    (found,) = view_node(node(OURS, other), REMEMBERED, readings).filters
    assert found.state is FilterState.MONITORING and found.interfaces == ("eth0", "eth1")


@pytest.mark.parametrize(
    ("interface", "state"),
    [
        pytest.param(OURS, "filtering", id="ours"),
        pytest.param(replace(OURS, pinned=replace(LINK, digest="bbbbbbbbbbb")), "passing", id="ours without filters"),
        pytest.param(replace(OURS, attached=None), "detached", id="hook empty"),
        pytest.param(replace(OURS, attached=ObservedXdp(99, XdpMode.NATIVE)), "foreign program", id="theirs over ours"),
        pytest.param(replace(OURS, pinned=None), "foreign program", id="theirs"),
        pytest.param(replace(OURS, attached=None, pinned=None), "none", id="nothing"),
    ],
)
def test_a_hook_says_who_holds_it(interface, state):
    assert view_node(node(interface), REMEMBERED, {}).interfaces[0].state == state


@pytest.mark.parametrize(
    ("fields", "port"), [({}, "up"), ({"carrier": False}, "no carrier"), ({"up": False, "carrier": False}, "down")]
)
def test_a_port_that_nothing_can_arrive_at_is_shown(fields, port):
    """Its program counts nothing however long one waits, and nothing else says why."""
    assert view_node(node(replace(OURS, **fields)), REMEMBERED, {}).interfaces[0].port == port


def test_somebody_else_s_program_is_shown_with_nothing_of_ours():
    (found,) = view_node(node(replace(OURS, attached=ObservedXdp(99, XdpMode.NATIVE, "theirs"))), REMEMBERED, {}).interfaces
    assert (found.program_id, found.program_name, found.program_tag, found.link_id, found.filters) == (99, "theirs", "", 0, ())


def test_what_is_pinned_for_an_absent_interface_is_shown():
    seen = view_node(ObservedNode(orphans=(("eth9", LINK),)), REMEMBERED, {})
    assert [(each.name, each.state) for each in seen.interfaces] == [("eth9", "interface gone")]


def test_a_filter_that_is_ordered_but_runs_nowhere_is_pending():
    order = NodeOrder(NodeState.ACTIVE, filters=(FilterOrder("ntp", "u2", "ntp-1", Mode.ENFORCE),))
    *_, last = view_node(node(OURS), replace(REMEMBERED, order=order), {"eth0": reading()}).filters
    assert (last.name, last.state) == ("ntp", FilterState.PENDING)


def test_a_filter_that_runs_nowhere_now_keeps_its_counts_and_says_why():
    """Its interface went: what it has dropped there was dropped, and the agent's last word is all that explains it."""
    order = NodeOrder(NodeState.ACTIVE, filters=(FilterOrder("dns", "u1", "dns-1", Mode.ENFORCE),))
    memory = replace(REMEMBERED, order=order, trouble={"u1": ("InterfaceNotFound", "no interface eth0 on this node")})
    (found,) = view_node(node(), memory, {}).filters
    assert (found.state, found.reason, found.message) == (FilterState.PENDING, *memory.trouble["u1"])
    assert found.totals.dropped_packets == 100
    assert [(rule.name, rule.totals.matched_packets) for rule in found.rules] == [("b", 0), ("a", 100)]


def test_rules_keep_their_names_when_the_content_is_lost():
    (found,) = view_node(node(OURS), replace(REMEMBERED, contents={}), {"eth0": reading()}).filters
    assert {rule.name for rule in found.rules} == {"a", "b"}


@pytest.mark.parametrize(
    ("here", "cluster", "kernel_on", "words"),
    [
        (True, True, False, "at this node"),
        (False, True, False, "spillway-switch"),
        (False, False, False, "nobody"),
        (False, False, True, ""),
    ],
)
def test_who_has_the_kill_switch(here, cluster, kernel_on, words):
    memory = replace(REMEMBERED, off_here=here, off_in_cluster=cluster)
    said = view_node(node(OURS), memory, {"eth0": reading(enforcement=kernel_on)}).off_by
    assert words in said and bool(said) is bool(words)


def test_files_that_nobody_may_read_are_not_taken_for_none(tmp_path, monkeypatch):
    """Without root the answer is "permission denied", never "no filter is ordered"."""
    assert read_memory(Store(tmp_path / "never")).order is None

    def denied(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(PermissionError):
        read_memory(Store(tmp_path))


def test_json_names_are_the_crd_s():
    assert _camel({"would_drop_packets": 1, "matched_bytes": 2}) == {"wouldDropPackets": 1, "matchedBytes": 2}


class Maps:
    """Switches maps as a dict. Cannot prove that a program obeys them, nor what an agent does at the same time."""

    def __init__(self, **switches: Switches) -> None:
        self.switches = switches
        self.writes: list[tuple[str, bool]] = []

    def pinned_names(self) -> tuple[str, ...]:
        return (*self.switches, "unmade")

    def read_switches(self, ifname: str) -> Switches:
        if ifname not in self.switches:
            raise KernelError(errno=2, operation="read switches", ifname=ifname)
        return self.switches[ifname]

    def write_switches(self, ifname: str, switches: Switches) -> None:
        self.writes.append((ifname, switches.enforcement))
        self.switches[ifname] = switches


def test_off_writes_the_kernel_and_the_disk_and_keeps_every_mode(tmp_path):
    maps, store = Maps(eth0=Switches(True, (2, 1)), eth1=Switches(False, (2,))), Store(tmp_path / "state")
    assert switch_off(maps, store) == ("eth0",)
    assert maps.switches == {"eth0": Switches(False, (2, 1)), "eth1": Switches(False, (2,))}
    assert store.has(OFF)


def test_off_with_a_disk_that_refuses_still_holds_in_the_kernel(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    maps = Maps(eth0=Switches())
    with pytest.raises(OSError):
        switch_off(maps, Store(tmp_path / "state"))
    assert maps.switches["eth0"].enforcement is False


def test_off_wins_over_an_agent_that_writes_at_the_same_moment(tmp_path):
    class Racing(Maps):
        races = 2

        def write_switches(self, ifname: str, switches: Switches) -> None:
            super().write_switches(ifname, switches)
            if self.races:
                self.races -= 1
                self.switches[ifname] = replace(switches, enforcement=True)

    maps = Racing(eth0=Switches())
    switch_off(maps, Store(tmp_path))
    assert maps.switches["eth0"].enforcement is False


def test_on_takes_off_back_and_leaves_word_for_the_agent(tmp_path):
    maps, store = Maps(eth0=Switches(True, (2,))), Store(tmp_path)
    switch_off(maps, store)
    assert switch_on(maps, store) is True
    assert maps.switches["eth0"] == Switches(True, (2,))
    assert store.has(ON) and not store.has(OFF)


def test_on_leaves_the_cluster_s_kill_switch_in_force(tmp_path):
    maps, store = Maps(eth0=Switches(True, (2,))), Store(tmp_path)
    store.prepare()
    store.write_bytes(SWITCH, json.dumps({"off": True}).encode())
    switch_off(maps, store)
    assert switch_on(maps, store) is False
    assert maps.switches["eth0"].enforcement is False


def test_the_lock_s_holder_is_seen_without_taking_the_lock(tmp_path):
    lock = tmp_path / "lock"
    assert see_agent(lock) == AgentSeen()
    with lock.open("w") as held:
        assert see_agent(lock) == AgentSeen()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert see_agent(lock) == AgentSeen(working=True, pid=os.getpid())


def test_a_holder_in_another_container_is_seen_as_somebody(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_seen, "PROC_LOCKS", tmp_path / "hidden")
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert see_agent(lock) == AgentSeen(working=True)
    assert see_agent(lock) == AgentSeen()
