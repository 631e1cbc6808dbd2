"""One agent, one card, policies that need more than a port: single queues, large frames, and one that the verifier refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.agent_process import AgentProcess, agent, drop_udp
from tests.kernel.netpair import QUEUES, NetnsPair, ip
from tests.traffic.frames import ipv4, udp

FLOOD, COUNT = 7000, 200
REFUSED_PORT = 6666  # agent_child.py spoils the bytecode of a program that names it


@pytest.fixture
def node(netns_pair: NetnsPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentProcess]:
    monkeypatch.setenv("SPOIL_PROGRAMS_THAT_NAME", str(REFUSED_PORT))
    with agent(netns_pair, tmp_path / "state") as process:
        yield process


def frames(pair: NetnsPair, size_bytes: int = 20, port: int = FLOOD, count: int = COUNT) -> list[bytes]:
    payload = udp("198.51.100.9", "203.0.113.1", 5353, port, bytes(size_bytes))
    return [pair.mac + pair.peer_mac + b"\x08\x00" + ipv4("198.51.100.9", "203.0.113.1", 17, payload)] * count


def passed_on(pair: NetnsPair, queue_id: int) -> int:
    with pair.listen() as listener:
        pair.send(frames(pair), queue_id=queue_id)
        return len(listener.frames(COUNT, timeout_s=0.5))


def totals(node: AgentProcess, dropped: int) -> dict[str, int]:
    """Wait until so many packets were dropped; return the filter's totals."""
    status = node.wait(lambda status: int(status["filters"][0]["totals"]["droppedPackets"]) >= dropped)
    return dict(status["filters"][0]["totals"])


def test_one_queue_of_four(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """`rxQueues.ids: [2]` drops on queue 2 only; other queues' packets are not even counted."""
    node.run(drop_udp(FLOOD, rx_queue_ids=(2,)))
    through = {queue_id: passed_on(netns_pair, queue_id) for queue_id in range(QUEUES)}
    assert through == {0: COUNT, 1: COUNT, 2: 0, 3: COUNT}
    seen = totals(node, COUNT)
    assert (seen["matchedPackets"], seen["droppedPackets"]) == (COUNT, COUNT)


def test_a_queue_that_is_not_there(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """Out of range on this node: the filter says so here, with both numbers, and drops nothing."""
    node.tell_run(drop_udp(FLOOD, rx_queue_ids=(7,)))
    status = node.wait_state("Failed", "QueueNotFound")
    message = status["filters"][0]["message"]
    assert "7" in message
    assert "4" in message
    assert passed_on(netns_pair, 0) == COUNT


def test_frames_of_nine_thousand_bytes(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """An MTU of 9,000 takes a program, and a large frame is matched and counted whole."""
    ip(f"link set {netns_pair.ifname} mtu 9000")
    netns_pair.peer_run("ip", "link", "set", netns_pair.peer, "mtu", "9000")
    node.run(drop_udp(FLOOD))
    large = frames(netns_pair, size_bytes=9000 - 28, count=50)
    with netns_pair.listen() as listener:
        netns_pair.send(large)
        assert listener.frames(1, timeout_s=0.3) == []
        other = frames(netns_pair, size_bytes=9000 - 28, port=FLOOD + 1, count=20)
        netns_pair.send(other)
        assert [len(frame) for frame in listener.frames(20)] == [9014] * 20
    assert totals(node, 50)["droppedBytes"] == 50 * 9014


def test_a_program_that_the_verifier_refuses(netns_pair: NetnsPair, node: AgentProcess) -> None:
    """The filter says what the verifier said; the program before it goes on, and so do its counts."""
    before = node.run(drop_udp(FLOOD))["interfaces"][0]["programId"]
    assert passed_on(netns_pair, 0) == 0
    node.tell_run(drop_udp(REFUSED_PORT))
    status = node.wait(lambda status: status["filters"][0].get("reason") == "KernelError")
    assert "R5 !read_ok" in status["filters"][0]["message"]
    assert status["interfaces"][0]["programId"] == before
    assert passed_on(netns_pair, 0) == 0
    node.run(drop_udp(FLOOD))
    assert totals(node, 2 * COUNT)["droppedPackets"] == 2 * COUNT
