"""What runs stays: a content that is missing or damaged on disk, with nobody to fetch it from, takes no filter away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.agent_fakes import FakeKernel, Node, Orders, card, content, rule

from spillway_crds.filters import Mode, XdpMode
from spillway_crds.orders import FilterState, NodeState, NodeStatus
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_OFF, MODE_SLOTS, Switches
from spillway_dataplane.kept.store import PEERS, RECORDS, REVISIONS
from spillway_dataplane.source import LinksChanged, OrderSeen, PeersSeen, SwitchSeen

ORDERS = Orders()
DNS = ORDERS.filter("dns", content())
TCP = ORDERS.filter("tcp", content(rule("tcp", 6)))
BOTH = ORDERS.seen(DNS, TCP)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path, FakeKernel(card("eth0", 2), card("eth1", 3)))
    yield made
    made.close()


def remove(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def lose(node: Node, revision: str, how: Callable[[Path], None] = remove) -> None:
    how(node.root / REVISIONS / f"{revision}.json")


def restarted(node: Node) -> NodeStatus:
    """Begin anew from the disk, without any API."""
    node.kernel.calls.clear()
    node.restart()
    status = node.status()
    assert status is not None
    return status


def told(status: NodeStatus) -> dict[str, tuple[FilterState, str]]:
    return {each.name: (each.state, each.reason) for each in status.filters}


def without_contents(seen: OrderSeen) -> OrderSeen:
    return replace(seen, contents={})


def words(*modes: int) -> Switches:
    return Switches(True, (*modes, *(MODE_OFF,) * (MODE_SLOTS - len(modes))))


@pytest.mark.parametrize("how", [remove, damage])
def test_restart_keeps_the_program_and_says_what_it_lacks(node: Node, how: Callable[[Path], None]) -> None:
    node.order(ORDERS.seen(DNS))
    program = node.kernel.cards["eth0"].program
    lose(node, DNS.revision, how)
    status = restarted(node)
    assert (node.kernel.changes(), node.kernel.cards["eth0"].program) == ([], program)
    assert node.kernel.cards["eth0"].switches == words(MODE_ENFORCE)
    assert told(status) == {"dns": (FilterState.PENDING, "Transient")}
    assert DNS.revision in status.filters[0].message
    assert status.filters[0].revision == DNS.revision, "the kernel runs it all the same"
    assert (status.conditions[0].status, status.conditions[0].reason) == ("False", "Transient")


def test_one_lost_content_keeps_the_whole_program(node: Node) -> None:
    node.order(BOTH)
    lose(node, DNS.revision)
    status = restarted(node)
    assert node.kernel.changes() == []
    assert told(status) == {"dns": (FilterState.PENDING, "Transient"), "tcp": (FilterState.ENFORCING, "")}


def test_twice_in_a_row(node: Node) -> None:
    """What is kept is remembered as what it is made of, over the next restart too, and goes on counting."""
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    restarted(node)
    assert node.kernel.changes() == []
    node.kernel.count("eth0", 0, 5)
    assert sum(each.totals.matched_packets for each in node.count().filters) == 5


def test_change_of_another_filter_waits_and_is_told_for_whom(node: Node) -> None:
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    changed = ORDERS.filter("tcp", content(rule("tcp", 6), rule("more", 1)))
    joining = ORDERS.filter("new", content(rule("sctp", 132)))
    seen = ORDERS.seen(DNS, changed, joining)
    del seen.contents[DNS.revision]  # type: ignore[attr-defined]
    status = node.order(seen)
    assert node.kernel.changes() == []
    assert set(told(status).values()) == {(FilterState.PENDING, "Transient")}
    assert all("content of dns" in each.message for each in status.filters[1:])
    assert told(node.order(ORDERS.seen(DNS, changed, joining))) == dict.fromkeys(
        ("dns", "tcp", "new"), (FilterState.ENFORCING, "")
    ), "once it can be fetched, all of it goes on"


def test_program_without_the_lost_one_goes_on_elsewhere(node: Node) -> None:
    """Only interfaces where it runs wait for it."""
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    seen = ORDERS.seen(DNS, TCP, ORDERS.filter("other", content(interfaces=("eth1",))))
    del seen.contents[DNS.revision]  # type: ignore[attr-defined]
    assert told(node.order(seen))["other"] == (FilterState.ENFORCING, "")
    assert node.kernel.changes() == [("attach", "eth1")]


def test_modes_and_kill_switch_reach_what_is_kept(node: Node) -> None:
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    node.order(without_contents(ORDERS.seen(replace(DNS, mode=Mode.MONITOR), replace(TCP, suspend=True))))
    assert node.kernel.cards["eth0"].switches == words(MODE_MONITOR, MODE_OFF)
    node.conductor.take(SwitchSeen(True), node.now)
    node.settle()
    assert not node.kernel.cards["eth0"].switches.enforcement
    assert node.kernel.changes() == []


def test_filter_that_ends_beside_it_ends_at_once(node: Node) -> None:
    """Deleted, or moved to another interface: its word says so, the program stays."""
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    moved = ORDERS.filter("tcp", content(rule("tcp", 6), interfaces=("eth1",)))
    seen = ORDERS.seen(DNS, moved)
    del seen.contents[DNS.revision]  # type: ignore[attr-defined]
    node.order(seen)
    assert node.kernel.cards["eth0"].switches == words(MODE_ENFORCE, MODE_OFF)
    node.order(without_contents(ORDERS.seen(DNS)))
    assert node.kernel.cards["eth0"].switches == words(MODE_ENFORCE, MODE_OFF)
    assert ("replace", "eth0") not in node.kernel.changes()


def test_who_is_no_longer_wanted_is_not_kept(node: Node) -> None:
    """The order decides what runs; the disk only what it can be made of."""
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    assert told(node.order(ORDERS.seen(TCP))) == {"tcp": (FilterState.ENFORCING, "")}
    assert node.kernel.changes() == [("replace", "eth0")]


def test_bad_change_of_a_filter_whose_old_content_is_lost(node: Node) -> None:
    """The new revision asks for a queue that is not there, and what runs cannot be made again: it stays."""
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    after = ORDERS.filter("dns", content(rx_queue_ids=(77,)))
    status = node.order(ORDERS.seen(after, TCP))
    assert told(status) == {"dns": (FilterState.FAILED, "QueueNotFound"), "tcp": (FilterState.ENFORCING, "")}
    assert node.kernel.changes() == []


def test_device_that_comes_back_gets_the_kept_program(node: Node) -> None:
    node.order(BOTH)
    lose(node, DNS.revision)
    restarted(node)
    program = node.kernel.cards["eth0"].program
    node.kernel.take_away("eth0")
    node.kernel.bring_back("eth0", 9)
    node.conductor.take(LinksChanged(frozenset({"eth0"})), node.now)
    node.settle()
    assert node.kernel.changes() == [("reattach", "eth0")]
    assert node.kernel.cards["eth0"].program == program


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.AUTO])
def test_program_that_nobody_remembers_stays_while_a_content_is_missing(node: Node, mode: XdpMode) -> None:
    """The records are lost as well: the filter may be in it. What it is made of is known again with the content."""
    only = ORDERS.filter("only", content(xdp_mode=mode))
    node.order(ORDERS.seen(only))
    program = node.kernel.cards["eth0"].program
    lose(node, only.revision)
    (node.root / RECORDS).unlink()
    assert told(restarted(node)) == {"only": (FilterState.PENDING, "Transient")}
    restarted(node)
    assert (node.kernel.changes(), node.kernel.cards["eth0"].program) == ([], program)
    assert told(node.order(ORDERS.seen(only))) == {"only": (FilterState.ENFORCING, "")}
    assert (node.kernel.changes(), node.kernel.cards["eth0"].program) == ([], program)


@pytest.mark.parametrize("how", [remove, damage])
def test_lost_peers_stay_as_the_kernel_has_them(node: Node, how: Callable[[Path], None]) -> None:
    """An API server on a port of its own: neither its flow nor its address is given up before somebody says who the peers are."""
    node.conductor.take(PeersSeen({"apiServers": '["192.0.2.1:16443"]', "flows": '["api-server"]'}), node.now)
    node.order(BOTH)
    program, peers = node.kernel.cards["eth0"].program, node.kernel.peers
    how(node.root / PEERS)
    assert told(restarted(node)) == dict.fromkeys(("dns", "tcp"), (FilterState.ENFORCING, ""))
    assert (node.kernel.changes(), node.kernel.cards["eth0"].program, node.kernel.peers) == ([], program, peers)
    node.conductor.take(PeersSeen({"apiServers": '["192.0.2.2:16443"]', "flows": '["api-server"]'}), node.now)
    node.order(BOTH)
    assert node.kernel.peers != peers
    assert node.kernel.cards["eth0"].program == program


def test_peers_that_nobody_ever_named_are_not_lost(node: Node) -> None:
    """A folder as the source: who the peers are is found out here, and may be other ones after a restart."""
    node.order(BOTH)
    node.restart()
    assert not node.conductor.memory.peers_lost


def test_node_without_programs_gets_the_peers_that_are_known(node: Node) -> None:
    """After a reboot nothing runs that could stay."""
    node.order(BOTH)
    (node.root / PEERS).unlink()
    node.kernel.reboot()
    node.kernel.peers = ()
    assert told(restarted(node))["dns"] == (FilterState.ENFORCING, "")
    assert node.kernel.peers


def test_program_that_passes_everything_is_not_taken_for_unknown(node: Node) -> None:
    node.order(ORDERS.seen(DNS))
    node.order(ORDERS.seen(state=NodeState.IDLE))
    (node.root / RECORDS).unlink()
    restarted(node)
    new = ORDERS.filter("new", content(rule("sctp", 132)))
    seen = ORDERS.seen(new, TCP)
    del seen.contents[TCP.revision]  # type: ignore[attr-defined]
    assert told(node.order(seen)) == {"new": (FilterState.ENFORCING, ""), "tcp": (FilterState.PENDING, "Transient")}
