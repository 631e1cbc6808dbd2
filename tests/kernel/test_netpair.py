"""The fixture itself: what the other kernel tests rely on."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair

from spillway_dataplane.kernel.libbpf import XDP_DRV_MODE, link_create, prog_load

FRAMES = 40


def instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """struct bpf_insn: registers holds the destination in its low and the source in its high four bits."""
    return struct.pack("<BBhi", code, registers, offset, immediate)


def drop_other_queues(queue_id: int) -> bytes:
    """r0 = XDP_PASS; r1 = ctx->rx_queue_index; if (r1 == queue_id) exit; r0 = XDP_DROP; exit."""
    return (
        instruction(0xB7, 0, 0, 2)
        + instruction(0x61, 0x11, 16)
        + instruction(0x15, 1, 1, queue_id)
        + instruction(0xB7, 0, 0, 1)
        + instruction(0x95)
    )


def frame(pair: NetnsPair, size: int = 60) -> bytes:
    return pair.mac + pair.peer_mac + b"\x88\xb5" + bytes(size - 14)


def names_in_sys() -> set[str]:
    return {each.name for each in Path("/sys/class/net").iterdir()}


def test_a_frame_from_the_peer_arrives_once(netns_pair: NetnsPair) -> None:
    with netns_pair.listen() as listener:
        assert netns_pair.send([frame(netns_pair)] * FRAMES) == FRAMES
        assert len(listener.frames(FRAMES)) == FRAMES


@pytest.mark.parametrize("queue_id", range(4))
def test_frames_can_be_sent_to_a_queue(netns_pair: NetnsPair, queue_id: int) -> None:
    """XPS of the peer chooses its TX queue, and a veth's TX queue N is the other end's RX queue N."""
    with (
        prog_load(drop_other_queues(queue_id), "queues") as program,
        link_create(program, netns_pair.ifindex, XDP_DRV_MODE),
        netns_pair.listen() as listener,
    ):
        netns_pair.send([frame(netns_pair)] * FRAMES, queue_id=queue_id)
        assert len(listener.frames(FRAMES)) == FRAMES
        netns_pair.send([frame(netns_pair)] * FRAMES, queue_id=(queue_id + 1) % 4)
        assert listener.frames(0) == []


def test_the_thread_is_in_its_own_namespace(netns_pair: NetnsPair) -> None:
    assert names_in_sys() == {name for _, name in socket.if_nameindex()} == {"lo", "spw0"}
    assert [each.name for each in netns_pair.bpffs.iterdir() if not each.name.endswith(".debug")] == []  # the kernel's own


def test_nothing_is_left_outside() -> None:
    assert "spw0" not in [name for _, name in socket.if_nameindex()]
    assert "spw0" not in names_in_sys()
