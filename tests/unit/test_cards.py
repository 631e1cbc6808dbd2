"""May a queue be given away in zero copy? Cards as their drivers show them, and what is said of each."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from spillway_dataplane.kernel.cards import packets_of_queue
from spillway_dataplane.kernel.steering import rule_of
from spillway_dataplane.node.cards import ObservedCard, RssTable, SteeringRule, command_without, zero_copy_refusals

BLOCKS = tuple(queue for queue in range(4) for _ in range(32))  # igb after boot
INTERLEAVED = tuple(entry % 4 for entry in range(128))  # igb after `ethtool -X default`; virtio_net
WITHOUT_3 = tuple(entry % 3 for entry in range(128))
IGB = ObservedCard("eth1", "igb", rx_rings=4, offers_zero_copy=True, native_program=7, tables=(RssTable(0, BLOCKS),))
FREE = replace(IGB, tables=(RssTable(0, WITHOUT_3),))
VETH = ObservedCard("eth0", "veth", rx_rings=4, offers_zero_copy=False, native_program=7)
MLX5 = replace(FREE, driver="mlx5_core", tables=(RssTable(0, WITHOUT_3), RssTable(1, (2, 3))))


@pytest.mark.parametrize(
    ("card", "queue", "said"),
    [
        pytest.param(FREE, 3, [], id="out-of-the-table"),
        pytest.param(IGB, 3, ["the RSS table spreads to queue 3; `ethtool -X eth1 weight 1 1 1 0` takes it out"], id="in-blocks"),
        pytest.param(replace(IGB, tables=(RssTable(0, INTERLEAVED),)), 1, ["RSS table spreads to queue 1"], id="interleaved"),
        pytest.param(replace(FREE, tables=(RssTable(0, (1, 2)),)), 0, ["queue 0 receives what no table"], id="never-0"),
        pytest.param(replace(FREE, native_program=None), 3, ["eth1 has no native XDP program"], id="no-program"),
        pytest.param(replace(FREE, tables=None), 3, ["driver igb shows no RSS table"], id="no-table-to-see"),
        pytest.param(MLX5, 3, ["RSS context 1 spreads to queue 3"], id="in-a-context"),
        pytest.param(replace(FREE, rules=(SteeringRule(12, 3),)), 3, ["n-tuple rule 12 steers to queue 3"], id="a-rule"),
        pytest.param(replace(FREE, rules=(SteeringRule(12, 2), SteeringRule(13, None))), 3, [], id="rules-of-others-and-drops"),
        pytest.param(
            replace(FREE, rules=(SteeringRule(1, 0, context=9),)), 3, ["n-tuple rule 1"], id="rule-to-an-unseen-context"
        ),
        pytest.param(
            replace(FREE, tables=(RssTable(0, WITHOUT_3), RssTable(1, (0, 1))), rules=(SteeringRule(5, 2, context=1),)),
            3,
            ["n-tuple rule 5 steers to queue 3"],
            id="a-rule-adds-its-queue-to-the-context's",
        ),
        pytest.param(replace(FREE, arfs_queues=frozenset({3})), 3, ["accelerated RFS"], id="arfs"),
        pytest.param(replace(FREE, arfs_queues=frozenset({1})), 3, [], id="arfs-elsewhere"),
        pytest.param(replace(FREE, own_steering="it learns"), 3, ["it learns"], id="atr"),
        pytest.param(replace(IGB, native_program=None), 0, ["queue 0", "native XDP", "RSS table"], id="every-reason-is-said"),
        pytest.param(VETH, 1, [], id="veth-is-left-to-the-kernel's-own-answer"),
        pytest.param(
            replace(VETH, offers_zero_copy=None), 1, ["driver veth shows no RSS table"], id="an-old-kernel-says-nothing"
        ),
    ],
)
def test_every_way_of_receiving_refuses_and_is_named(card: ObservedCard, queue: int, said: list[str]) -> None:
    refusals = zero_copy_refusals(queue, card)
    assert len(refusals) == len(said)
    assert all(part in refusal for part, refusal in zip(said, refusals, strict=True)), refusals


def test_what_the_command_leaves_is_granted() -> None:
    assert command_without(2, IGB) == "ethtool -X eth1 weight 1 1 0 1"
    weights = [int(word) for word in command_without(2, IGB).split("weight ")[1].split()]
    spread = [queue for queue, weight in enumerate(weights) for _ in range(weight)]
    assert zero_copy_refusals(2, replace(IGB, tables=(RssTable(0, tuple(spread)),))) == ()


def kernel_rule(flow_type: int, cookie: int, context: int) -> bytes:
    """What ETHTOOL_GRXCLSRULE leaves: struct ethtool_rxnfc by the offsets of include/uapi/linux/ethtool.h."""
    answer = bytearray(192)
    struct.pack_into("=I", answer, 16, flow_type)
    struct.pack_into("=Q", answer, 16 + 152, cookie)
    struct.pack_into("=I", answer, 184, context)
    return bytes(answer)


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        pytest.param(kernel_rule(0x01, 3, 0), SteeringRule(4, 3), id="tcp4-to-a-queue"),
        pytest.param(kernel_rule(0x02 | 0x20000000, 1, 2), SteeringRule(4, 1, context=2), id="to-a-context"),
        pytest.param(kernel_rule(0x02 | 0x80000000, 3, 7), SteeringRule(4, 3), id="extended-match-is-no-context"),
        pytest.param(kernel_rule(0x02, 0xFFFFFFFFFFFFFFFF, 0), SteeringRule(4, None), id="drop"),
        pytest.param(kernel_rule(0x02, 0xFFFFFFFFFFFFFFFE, 0), SteeringRule(4, None), id="wake-on-lan"),
        pytest.param(kernel_rule(0x02, 2 << 32 | 3, 0), SteeringRule(4, None), id="virtual-function"),
    ],
)
def test_a_rule_is_read_as_the_kernel_lays_it_down(raw: bytes, rule: SteeringRule) -> None:
    assert rule_of(raw, 4) == rule


COUNTERS = {  # names as the drivers give them: igb, virtio_net and macb seen, the others from their sources
    "igb": "rx_queue_{}_packets",
    "virtio_net": "rx{}_packets",
    "ice": "rx_queue_{}_packets",
    "i40e": "rx-{}.packets",
    "mlx5_core": "rx{}_packets",
    "mlx5_core xsk": "rx{}_xsk_packets",
    "bnxt_en": "[{}]: rx_ucast_packets",
    "ena": "queue_{}_rx_cnt",
    "gve": "rx_packets[{}]",
    "qede": "{}: rcv_pkts",
    "nfp": "rvec_{}_rx_pkts",
    "stmmac": "q{}_rx_pkt_n",
    "macb": "q{}_rx_packets",
}


@pytest.mark.parametrize("name", [pytest.param(name, id=driver) for driver, name in COUNTERS.items()])
def test_a_queues_counter_is_found_among_its_neighbours(name: str) -> None:
    counters = {name.format(queue): 100 + queue for queue in range(12)}
    counters |= dict.fromkeys(("rx_packets", "tx_queue_1_packets", "tx1_packets", "rx_queue_1_bytes", "rx1_drops"), 7)
    assert packets_of_queue(1, counters) == 101
    assert packets_of_queue(11, counters) == 111
    assert packets_of_queue(12, counters) is None


def test_counters_that_together_are_a_queues_packets_are_added() -> None:
    assert packets_of_queue(2, {"rx2_packets": 3, "rx2_xsk_packets": 4, "rx2_xdp_drop": 5}) == 7
    assert packets_of_queue(0, {"[0]: rx_ucast_packets": 1, "[0]: rx_mcast_packets": 2, "[0]: rx_bcast_packets": 4}) == 7


def test_veths_counters_are_none_of_a_queue() -> None:
    assert packets_of_queue(0, {"rx_queue_0_xdp_packets": 1, "rx_queue_0_drops": 2, "peer_ifindex": 3}) is None
