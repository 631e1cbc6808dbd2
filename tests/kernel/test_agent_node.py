"""The agent on the real kernel: what is ordered runs, what runs survives the agent, what others do is left to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kernel.agent_process import PATIENCE_S, AgentProcess, Status, agent, drop_udp
from tests.kernel.artifacts import artifact
from tests.kernel.namespaces import open_namespace
from tests.kernel.netpair import NetnsPair, ip, namespace_path
from tests.traffic.frames import ipv4, udp

from spillway_crds.filters import FilterContent, Match, Mode, Rule, RuleAction, XdpMode
from spillway_crds.orders import Attach, FilterOrder, NodeState
from spillway_crds.revisions import revision_name
from spillway_dataplane.kernel import libbpf
from spillway_dataplane.kernel.datapath import Datapath

FLOOD, VALID = 7000, 8000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def node(netns_pair: NetnsPair, state: Path) -> Iterator[AgentProcess]:
    with agent(netns_pair, state) as process:
        yield process


def packets(pair: NetnsPair, port: int, count: int) -> list[bytes]:
    payload = udp("198.51.100.9", "203.0.113.1", 5353, port, bytes(20))
    return [pair.mac + pair.peer_mac + b"\x08\x00" + ipv4("198.51.100.9", "203.0.113.1", 17, payload)] * count


def passed(pair: NetnsPair, port: int, count: int = 50) -> int:
    with pair.listen() as listener:
        pair.send(packets(pair, port, count))
        return len(listener.frames(count, timeout_s=0.5))


def card(status: Status) -> Status:
    (found,) = (each for each in status["interfaces"] if each["name"] == "spw0")
    return found


def conditions(status: Status) -> set[str]:
    return {each["type"] for each in card(status).get("conditions", ()) if each["status"] == "True"}


def dropped(status: Status) -> int:
    return int(status["filters"][0]["totals"]["droppedPackets"])


def pins(pair: NetnsPair) -> Datapath:
    return Datapath(pair.bpffs / "spillway")


def attached_program(pair: NetnsPair) -> int:
    seen = pins(pair).observe().interface("spw0")
    return seen.attached.program_id if seen is not None and seen.attached is not None else 0


def test_drops_counts_and_reports_what_the_kernel_shows(netns_pair: NetnsPair, node: AgentProcess) -> None:
    status = node.run(drop_udp(FLOOD))
    assert card(status)["programId"] == attached_program(netns_pair) > 0
    assert (card(status)["driver"], card(status)["xdpMode"], card(status)["rxQueues"]) == ("veth", "Native", 4)
    assert (passed(netns_pair, FLOOD), passed(netns_pair, VALID)) == (0, 50)
    node.wait(lambda status: dropped(status) == 50)


def test_mode_flip_keeps_the_program(netns_pair: NetnsPair, node: AgentProcess) -> None:
    before = node.run(drop_udp(FLOOD), Mode.MONITOR)
    assert passed(netns_pair, FLOOD) == 50
    after = node.run(drop_udp(FLOOD), Mode.ENFORCE)
    assert passed(netns_pair, FLOOD) == 0
    assert card(before)["programId"] == card(after)["programId"]
    totals = node.wait(lambda status: dropped(status) == 50)["filters"][0]["totals"]
    assert (totals["matchedPackets"], totals["wouldDropPackets"]) == (100, 50)


def test_rule_changes_lose_and_let_through_nothing(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """Every program drops the flood; the rules around it change while packets come in. To the packet."""
    link = card(node.run(drop_udp(FLOOD)))["linkId"]
    sent = 0
    for number in range(10):
        extra = Rule(f"extra-{number}", Match(protocol=100 + number), RuleAction.COUNT)
        changed = drop_udp(FLOOD, rules=(extra, drop_udp(FLOOD).rules[0]))
        with netns_pair.listen() as listener:
            node.tell_run(changed)
            deadline = time.monotonic() + 0.6
            valid = 0
            while time.monotonic() < deadline:
                sent += netns_pair.send(packets(netns_pair, FLOOD, 20))
                valid += netns_pair.send(packets(netns_pair, VALID, 2))
            assert len(listener.frames(valid)) == valid
        status = node.run(changed)
    assert card(status)["linkId"] == link
    node.wait(lambda status: dropped(status) == sent)


def test_killed_agent_leaves_the_filter_and_the_next_one_counts_on(
    netns_pair: NetnsPair, node: AgentProcess, state: Path
) -> None:
    before = node.run(drop_udp(FLOOD))
    assert passed(netns_pair, FLOOD) == 0
    node.wait(lambda status: dropped(status) == 50)
    node.kill()
    assert passed(netns_pair, FLOOD) == 0, "no agent, no gap"
    with agent(netns_pair, state) as heir:
        after = heir.wait(lambda status: dropped(status) == 100)
        assert card(after)["linkId"] == card(before)["linkId"]
        assert card(after)["programId"] == card(before)["programId"]
        assert heir.wait_event("started")["known"], "it fetches nothing that lies on the disk"


def test_sigterm_ends_the_agent_and_not_the_filter(netns_pair: NetnsPair, node: AgentProcess) -> None:
    node.run(drop_udp(FLOOD))
    assert node.stop() == 0
    assert passed(netns_pair, FLOOD) == 0


def test_first_attach_waits_for_its_turn(netns_pair: NetnsPair, node: AgentProcess) -> None:
    content = drop_udp(FLOOD)
    node.tell_run(content, attach=Attach.HOLD)
    status = node.wait(lambda status: bool(status.get("waitingForTurn")))
    assert status["waitingForTurn"] == ["spw0"]
    assert attached_program(netns_pair) == 0
    assert not node.run(content).get("waitingForTurn")


def test_detached_is_reported_and_not_fought(netns_pair: NetnsPair, node: AgentProcess) -> None:
    node.run(drop_udp(FLOOD))
    with libbpf.obj_get(netns_pair.bpffs / "spillway" / "spw0" / "link") as link:
        libbpf.link_detach(link)
    node.wait_state("Failed", "Detached")
    time.sleep(2.5)  # two counter reports
    assert attached_program(netns_pair) == 0
    node.run(drop_udp(FLOOD + 1))
    assert attached_program(netns_pair) > 0


def test_on_attaches_again(netns_pair: NetnsPair, node: AgentProcess, state: Path) -> None:
    node.run(drop_udp(FLOOD))
    with libbpf.obj_get(netns_pair.bpffs / "spillway" / "spw0" / "link") as link:
        libbpf.link_detach(link)
    node.wait_state("Failed", "Detached")
    (state / "on").touch()
    node.wait_state("Enforcing")
    assert not (state / "on").exists()


def test_foreign_program_is_left_alone_and_replaced_when_gone(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """The end of somebody's bpf_link makes no netlink event: it is seen at the next counter report."""
    foreign = Datapath(netns_pair.bpffs / "other")
    foreign.attach("spw0", artifact("f" * 11), XdpMode.NATIVE)
    theirs = attached_program(netns_pair)
    node.tell_run(drop_udp(FLOOD))
    status = node.wait_state("Failed", "Conflict")
    assert str(theirs) in status["filters"][0]["message"]
    assert attached_program(netns_pair) == theirs
    foreign.detach("spw0")
    node.wait_state("Enforcing")
    assert attached_program(netns_pair) not in (0, theirs)


@pytest.mark.parametrize("quickly", [False, True], ids=["seen away", "too quick to be seen"])
def test_moved_away_and_back_is_attached_again(netns_pair: NetnsPair, node: AgentProcess, quickly: bool) -> None:
    content = drop_udp(FLOOD)
    node.run(content)
    node.run(content, attach=Attach.HOLD)
    ip(f"link set spw0 netns {namespace_path(netns_pair.peer_net)}")
    if not quickly:
        node.wait_state("Failed", "InterfaceNotFound")
    here = open_namespace("net")
    netns_pair.peer_run("ip", "link", "set", "spw0", "netns", namespace_path(here))
    os.close(here)
    ip("link set spw0 up")
    deadline = time.monotonic() + PATIENCE_S
    while (passed(netns_pair, FLOOD), passed(netns_pair, FLOOD + 1)) != (0, 50):  # before the link is up nothing passes
        assert time.monotonic() < deadline
    node.wait_state("Enforcing")


def test_restores_from_disk_without_source_compiler_or_turn(netns_pair: NetnsPair, node: AgentProcess, state: Path) -> None:
    """A power cut takes links and pins; disk and cards stay."""
    content = drop_udp(FLOOD)
    node.run(content)
    assert passed(netns_pair, FLOOD) == 0
    node.wait(lambda status: dropped(status) == 50)
    node.run(content, attach=Attach.HOLD)
    node.kill()
    pins(netns_pair).purge()
    assert attached_program(netns_pair) == 0
    before = {each.name for each in (state / "bytecode").iterdir()}
    with agent(netns_pair, state) as heir:
        assert heir.wait_event("started")
        assert passed(netns_pair, FLOOD) == 0, "it filters before it asks its source for the first time"
        heir.wait(lambda status: dropped(status) == 100)
    assert {each.name for each in (state / "bytecode").iterdir()} == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")], ids=["missing", "damaged"])
def test_lost_revision_takes_no_filter_away(
    netns_pair: NetnsPair, node: AgentProcess, state: Path, damage: Callable[[Path], object]
) -> None:
    """Two filters share the card; one's content is lost, and nobody has it. The program stays whole until it is back."""
    first, second = drop_udp(FLOOD), drop_udp(FLOOD + 1)
    contents = {revision_name("dns", first): first, revision_name("ntp", second): second}
    filters = [FilterOrder(name.rpartition("-")[0], f"uid-{name}", name, Mode.ENFORCE) for name in contents]
    node.order(*filters, contents=contents)
    node.wait(lambda status: [each["state"] for each in status["filters"]] == ["Enforcing"] * 2)
    program = attached_program(netns_pair)
    node.kill()
    damage(state / "revisions" / f"{filters[0].revision}.json")
    with agent(netns_pair, state) as heir:
        status = heir.wait(lambda status: status["filters"][0].get("reason") == "Transient")
        assert [each["state"] for each in status["filters"]] == ["Pending", "Enforcing"]
        assert (attached_program(netns_pair), passed(netns_pair, FLOOD), passed(netns_pair, FLOOD + 1)) == (program, 0, 0)
        assert passed(netns_pair, VALID) == 50
        heir.order(*filters, contents=contents)
        heir.wait(lambda status: [each["state"] for each in status["filters"]] == ["Enforcing"] * 2)
        heir.wait(lambda status: [each["totals"]["droppedPackets"] for each in status["filters"]] == [50, 50])
        assert attached_program(netns_pair) == program


def test_idle_passes_everything_and_empty_leaves_nothing(netns_pair: NetnsPair, node: AgentProcess) -> None:
    link = card(node.run(drop_udp(FLOOD)))["linkId"]
    node.order(contents={}, state=NodeState.IDLE, attach=Attach.HOLD)
    status = node.wait(lambda status: not status.get("filters"))
    assert card(status)["linkId"] == link
    assert passed(netns_pair, FLOOD) == 50
    node.order(contents={}, state=NodeState.EMPTY, attach=Attach.HOLD)
    node.wait(lambda status: status.get("waitingForTurn") == ["spw0"])
    node.order(contents={}, state=NodeState.EMPTY)
    node.wait(lambda status: not status.get("interfaces"))
    assert attached_program(netns_pair) == 0
    assert pins(netns_pair).pinned_names() == ()


def test_off_acts_within_a_second_and_survives_the_agent(netns_pair: NetnsPair, node: AgentProcess, state: Path) -> None:
    node.run(drop_udp(FLOOD))
    (state / "off").touch()
    time.sleep(1)
    assert passed(netns_pair, FLOOD) == 50
    node.wait_state("Off")
    node.kill()
    with agent(netns_pair, state) as heir:
        heir.wait_state("Off")
        assert passed(netns_pair, FLOOD) == 50
        (state / "off").unlink()
        heir.wait_state("Enforcing")
        heir.tell({"off": True})
        time.sleep(1)
        assert passed(netns_pair, FLOOD) == 50


def test_newer_agent_takes_over_and_an_older_one_takes_its_place(netns_pair: NetnsPair, node: AgentProcess, state: Path) -> None:
    """One acts, one waits; whoever dies, the node has an agent."""
    node.run(drop_udp(FLOOD))
    with agent(netns_pair, state) as newer:
        newer.wait_state("Enforcing")
        node.wait_event("stopped")
        node.said.clear()
        newer.kill()
        node.wait_event("started")
    assert passed(netns_pair, FLOOD) == 0


def test_interface_that_comes_later(netns_pair: NetnsPair, node: AgentProcess) -> None:
    content = drop_udp(FLOOD, interfaces=("spw9",))
    node.tell_run(content)
    node.wait_state("Failed", "InterfaceNotFound")
    ip("link add spw9 type veth peer name spw8")
    node.wait(lambda status: status["filters"][0]["state"] == "Enforcing")


def test_another_device_takes_the_name_while_nobody_looks(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """A card is exchanged for one with another driver: what it cannot do is said, and what then is ordered runs."""
    node.run(drop_udp(FLOOD))
    assert passed(netns_pair, FLOOD) == 0
    node.wait(lambda status: dropped(status) == 50)
    node.child.send_signal(signal.SIGSTOP)
    ip("link del spw0")
    ip("link add spw0 type bridge")
    ip("link set spw0 up")
    node.child.send_signal(signal.SIGCONT)
    node.wait_state("Failed", "NotSupported")
    status = node.run(drop_udp(FLOOD, xdp_mode=XdpMode.GENERIC))
    assert (card(status)["driver"], card(status)["xdpMode"], dropped(status)) == ("bridge", "Generic", 50)
    program = card(status)["programId"]
    node.tell_run(drop_udp(FLOOD, xdp_mode=XdpMode.NATIVE))
    refused = node.wait_state("Failed", "NotSupported")
    assert (card(refused)["xdpMode"], card(refused)["programId"]) == ("Generic", program), "what ran goes on running"


def test_a_mode_that_the_driver_lacks_keeps_nobody_else_waiting(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """A bridge has no native XDP: who asks for it is told, and who runs there is changed in place, by the same link."""
    ip("link add br0 type bridge")
    ip("link set spw0 master br0")
    ip("link set br0 up")
    anywhere, native = {"interfaces": ("br0",), "xdp_mode": XdpMode.AUTO}, {"interfaces": ("br0",)}
    node.run(drop_udp(VALID, **anywhere), name="old")
    order_two(node, drop_udp(VALID, **anywhere), drop_udp(VALID, **native))
    refused = node.wait(lambda status: states(status) == {"old": "Enforcing", "new": "NotSupported"})
    changed = order_two(node, drop_udp(FLOOD, **anywhere), drop_udp(VALID, **native))
    status = node.wait(lambda status: status["filters"][0].get("revision") == changed and states(status)["old"] == "Enforcing")
    assert [each["linkId"] for each in status["interfaces"]] == [each["linkId"] for each in refused["interfaces"]]
    assert states(status)["new"] == "NotSupported"
    netns_pair.send(packets(netns_pair, FLOOD, 50) + packets(netns_pair, VALID, 50))
    node.wait(lambda status: dropped(status) == 50)


def order_two(node: AgentProcess, old: FilterContent, new: FilterContent) -> str:
    """Order filters `old` and `new`; returns the revision of `old`."""
    contents = {revision_name(name, content): content for name, content in (("old", old), ("new", new))}
    node.order(*(FilterOrder(name.split("-")[0], f"uid-{name[:3]}", name, Mode.ENFORCE) for name in contents), contents=contents)
    return next(iter(contents))


def states(status: Status) -> dict[str, str]:
    """What is said of each filter: the reason where it failed."""
    return {each["name"]: each.get("reason") or each["state"] for each in status["filters"]}


def test_another_mode_keeps_counting(netns_pair: NetnsPair, node: AgentProcess) -> None:
    node.run(drop_udp(FLOOD))
    assert passed(netns_pair, FLOOD) == 0
    status = node.run(drop_udp(FLOOD, xdp_mode=XdpMode.GENERIC))
    assert card(status)["xdpMode"] == "Generic"
    node.wait(lambda status: dropped(status) == 50)
    assert passed(netns_pair, FLOOD) == 0
    node.wait(lambda status: dropped(status) == 100)


def test_memory_stays_small(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """The compiler's megabytes end with its process."""
    node.run(drop_udp(FLOOD))
    assert node.rss_mb() < 120


def test_agent_that_waits_is_not_in_the_way_of_a_stop(netns_pair: NetnsPair, node: AgentProcess, state: Path) -> None:
    node.run(drop_udp(FLOOD))
    with agent(netns_pair, state) as newer:
        newer.wait_state("Enforcing")
        node.wait_event("stopped")
        assert node.stop() == 0
