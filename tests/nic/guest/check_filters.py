"""Filters on a real driver: the agent attaches to the card, floods from its far end die in the driver, counted to the packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spillway_crds.filters import FilterContent, Match, Mode, PortRange, Rule, RuleAction, XdpMode
from spillway_crds.orders import NodeState
from tests.kernel.agent_process import AgentProcess, Status, agent_apart
from tests.nic.guest.cable import NET, Cable, run

BPFFS, STATE = Path("/sys/fs/bpf"), Path("/run/agent")
PATIENCE_S = 120.0  # a compiler in an emulated machine
PACKETS, FIRST_PORT, FLOODED = 1000, 1024, 500  # as the cable numbers its flows; the first half of them is the flood
EVERYTHING = list(range(PACKETS))
pytestmark = pytest.mark.usefixtures("spread")


@pytest.fixture(scope="module")
def agent(cable: Cable) -> Iterator[AgentProcess]:
    """One agent for all checks: a second attach would restart the link once more."""
    with agent_apart(BPFFS, STATE, PATIENCE_S) as process:
        yield process
        empty(process)


def empty(agent: AgentProcess) -> None:
    """Nothing of ours on the card any more."""
    agent.order(contents={}, state=NodeState.EMPTY)
    agent.wait(lambda status: not status.get("filters") and not any("programId" in each for each in status.get("interfaces", ())))


def flood_filter(cable: Cable, flooded: int = FLOODED, **fields: Any) -> FilterContent:
    """Drops the first flows that the cable's far end sends, by their source ports."""
    ports = (PortRange(FIRST_PORT, FIRST_PORT + flooded - 1),)
    rule = Rule("flood", Match(protocol=17, source_ports=ports), RuleAction.DROP)
    return replace(FilterContent(rules=(rule,), interfaces=(cable.ifname,), xdp_mode=XdpMode.NATIVE), **fields)


def totals(status: Status, field: str) -> int:
    return int(status["filters"][0]["totals"][field])


def card(status: Status) -> Status:
    (found,) = status["interfaces"]
    return dict(found)


def arrived(cable: Cable) -> list[int]:
    """Send one packet of each flow to the card; return the numbers of those that came through."""
    cable.wait_for_carrier()
    listener = cable.listen()
    cable.send_from_far(PACKETS)
    return listener.numbers(PACKETS, timeout_s=5)


def flaps(cable: Cable) -> int:
    return int((NET / cable.ifname / "carrier_changes").read_text())


def test_what_runs_is_what_the_driver_shows(cable: Cable, agent: AgentProcess) -> None:
    shown = card(agent.run(flood_filter(cable), name="shown"))
    assert (shown["driver"], shown["xdpMode"], shown["rxQueues"]) == (cable.driver, "Native", 4)
    assert f"prog/xdp id {shown['programId']}" in run("ip", "-d", "link", "show", cable.ifname)


def test_a_flood_dies_in_the_driver_to_the_packet(cable: Cable, agent: AgentProcess) -> None:
    agent.run(flood_filter(cable), name="counted")
    assert arrived(cable) == EVERYTHING[FLOODED:]
    agent.wait(lambda status: totals(status, "droppedPackets") == FLOODED)


def test_mode_and_rules_change_without_the_link_noticing(cable: Cable, agent: AgentProcess) -> None:
    agent.run(flood_filter(cable), Mode.MONITOR, name="changed")
    cable.wait_for_carrier()
    before = flaps(cable)
    assert arrived(cable) == EVERYTHING
    agent.run(flood_filter(cable, 300), Mode.ENFORCE, name="changed")
    assert arrived(cable) == EVERYTHING[300:]
    status = agent.wait(lambda status: totals(status, "droppedPackets") == 300)
    assert totals(status, "wouldDropPackets") == FLOODED
    assert flaps(cable) == before


@pytest.mark.parametrize("queue", range(4))
def test_a_filter_of_one_queue_leaves_the_others_alone(cable: Cable, agent: AgentProcess, queue: int) -> None:
    agent.run(flood_filter(cable, rx_queue_ids=(queue,)), name=f"queue-{queue}")
    cable.spread_over(queue)
    assert arrived(cable) == EVERYTHING[FLOODED:]
    agent.wait(lambda status: totals(status, "droppedPackets") == FLOODED)
    cable.spread_over(*(each for each in range(4) if each != queue))
    assert arrived(cable) == EVERYTHING
    agent.wait(lambda status: totals(status, "droppedPackets") == FLOODED)


def test_an_mtu_that_the_driver_refuses_is_told_and_heals(cable: Cable, agent: AgentProcess) -> None:
    """igb has one buffer a frame; virtio_net takes as many as it needs."""
    empty(agent)
    run("ip", "link", "set", cable.ifname, "mtu", "9000")
    if cable.driver == "virtio_net":
        agent.run(flood_filter(cable), name="long")
        assert "mtu 9000" in run("ip", "link", "show", cable.ifname)
        assert arrived(cable) == EVERYTHING[FLOODED:]
    else:
        agent.tell_run(flood_filter(cable), name="long")
        refused = agent.wait_state("Failed", "NotSupported")
        assert "MTU 9000" in str(card(refused)["conditions"])
        assert arrived(cable) == EVERYTHING
    run("ip", "link", "set", cable.ifname, "mtu", "1500")
    agent.wait(lambda status: status["filters"][0]["state"] == "Enforcing")
    assert arrived(cable) == EVERYTHING[FLOODED:]
