"""What a driver shows of its queues, read from the real kernel; and a frame that proves a ring, on a veth that copies.

A veth has no RSS table, no rules and no zero copy: the drivers that have are in tests/nic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair, ip, run

from spillway_crds.errors import Transient
from spillway_dataplane.kernel.cards import observe_card, received_packets, zero_copy_refusal
from spillway_dataplane.kernel.ethtool import features, private_flags, statistics
from spillway_dataplane.kernel.if_xdp import XDP_COPY
from spillway_dataplane.kernel.memfd import sealed_memory
from spillway_dataplane.kernel.netdev import queue_received
from spillway_dataplane.kernel.steering import ntuple_rules, rss_contexts, rss_table
from spillway_dataplane.kernel.umem import side_by_side
from spillway_dataplane.kernel.xsk import RingShape, Xsk
from spillway_dataplane.kernel.xsk_bind import open_xsk
from spillway_dataplane.kernel.zero_copy import PROBE_BYTES, QueueWatch, complete_a_frame, prove_zero_copy

MAPS = Path("/proc/self/maps")
SHAPE = RingShape(frames=64, frame_bytes=2048, tx_slots=32, completion_slots=64, fill_slots=32, fill_frames=32)


@pytest.fixture
def ring(netns_pair: NetnsPair) -> Iterator[Xsk]:
    opened = open_xsk(netns_pair.ifindex, 1, SHAPE, XDP_COPY)
    yield opened
    opened.close()


def test_a_veth_shows_no_table_no_rules_and_no_zero_copy(netns_pair: NetnsPair) -> None:
    card = observe_card(netns_pair.ifname)
    assert (card.driver, card.rx_rings, card.tables, card.rules) == ("veth", 4, None, ())
    assert (card.offers_zero_copy, card.native_program, card.own_steering) == (False, None, "")
    assert (rss_table(netns_pair.ifname), rss_contexts(netns_pair.ifname, (1, 2)), ntuple_rules(netns_pair.ifname)) == (
        None,
        (),
        (),
    )


def test_a_driver_without_zero_copy_is_left_to_the_kernels_answer(netns_pair: NetnsPair) -> None:
    assert zero_copy_refusal(netns_pair.ifname, 1) is None


def test_an_interface_that_is_not_there_may_come(netns_pair: NetnsPair) -> None:
    with pytest.raises(Transient, match="there is no such interface now"):
        zero_copy_refusal("nothere0", 1)
    assert received_packets("nothere0", 1) is None


def test_counters_and_features_are_those_that_ethtool_shows(netns_pair: NetnsPair) -> None:
    shown = re.findall(r"^ +([^:]+): (\d+)$", run("ethtool", "-S", netns_pair.ifname), re.MULTILINE)
    assert statistics(netns_pair.ifname) == {name: int(count) for name, count in shown}
    assert features(netns_pair.ifname)["tx-tcp-segmentation"] is ("tcp-segmentation-offload: on" in run("ethtool", "-k", "spw0"))
    run("ethtool", "-K", netns_pair.ifname, "tso", "off")
    assert features(netns_pair.ifname)["tx-tcp-segmentation"] is False
    assert private_flags(netns_pair.ifname) == {}


def test_a_veth_has_no_counter_of_a_queue(netns_pair: NetnsPair) -> None:
    assert queue_received(netns_pair.ifindex, 1) is None
    assert received_packets(netns_pair.ifname, 1) is None


def test_a_frame_proves_a_ring_and_leaves_it_as_new(netns_pair: NetnsPair, ring: Xsk) -> None:
    with netns_pair.peer_listen() as listener:
        assert prove_zero_copy(ring, netns_pair.ifname, 1, quiet_s=0.05)
        (probe,) = listener.frames(1)
    assert len(probe) == PROBE_BYTES
    assert (probe[:6], probe[6:12], probe[12:14]) == (netns_pair.mac, netns_pair.mac, b"\x88\xb5")
    left = ring.indices()
    assert (left.tx_producer, left.tx_consumer, left.completion_producer, left.completion_consumer) == (1, 1, 1, 1)


def test_a_link_that_is_down_proves_nothing_and_sends_nothing_later(netns_pair: NetnsPair, ring: Xsk) -> None:
    ip(f"link set {netns_pair.ifname} down")
    assert not complete_a_frame(ring, netns_pair.ifname, 1)
    with netns_pair.peer_listen() as listener:
        ip(f"link set {netns_pair.ifname} up")
        assert listener.frames(1, timeout_s=0.5) == []
    assert ring.indices().tx_producer == ring.indices().tx_consumer


def test_a_watch_on_a_quiet_queue_tells_nothing(netns_pair: NetnsPair, ring: Xsk) -> None:
    watch = QueueWatch(netns_pair.ifname, 1, ring)
    assert [watch.look() for _ in range(3)] == ["", "", ""]


def test_parts_of_a_memory_lie_one_behind_the_other() -> None:
    first, second = sealed_memory("first", 8192), sealed_memory("second", 4096)
    with side_by_side((first, 8192), (second, 4096)) as start:
        mapped = [line.split()[0] for line in MAPS.read_text().splitlines() if "memfd:first" in line or "memfd:second" in line]
    assert mapped == [f"{start:x}-{start + 8192:x}", f"{start + 8192:x}-{start + 12288:x}"]
    assert "memfd:first" not in MAPS.read_text()
