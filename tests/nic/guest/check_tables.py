"""What we read from a driver by ioctl is what the `ethtool` program reads, and queue counters count."""

from __future__ import annotations

import os
import re

import pytest

from spillway_dataplane.dra.near import interrupt_cpus, numa_cpus, observe_ptp
from spillway_dataplane.kernel.cards import observe_card, received_packets
from spillway_dataplane.kernel.ethtool import features, ptp_index
from spillway_dataplane.kernel.steering import rss_contexts, rss_table
from tests.nic.guest.cable import Cable

WITH_CLOCK = ("igb",)


def shown_by_ethtool(cable: Cable) -> tuple[int, ...]:
    lines = re.findall(r"^ *\d+: +([\d ]+)$", cable.ethtool("-x"), re.MULTILINE)
    return tuple(int(word) for line in lines for word in line.split())


@pytest.mark.parametrize("queues", [(0, 1, 2, 3), (0, 1), (0, 2, 3), (1,)])
def test_the_table_is_ethtools(cable: Cable, queues: tuple[int, ...]) -> None:
    cable.spread_over(*queues)
    table = rss_table(cable.ifname)
    assert table is not None
    assert table.entries == shown_by_ethtool(cable)
    assert set(table.entries) == set(queues)


def test_a_card_without_contexts_and_rules_has_none(cable: Cable) -> None:
    assert rss_contexts(cable.ifname, ()) == ()
    card = observe_card(cable.ifname)
    assert (card.driver, card.rx_rings, card.rules, card.offers_zero_copy) == (cable.driver, 4, (), True)


def test_features_are_ethtools(cable: Cable) -> None:
    said = re.search(r"^ntuple-filters: (on|off)", cable.ethtool("-k"), re.MULTILINE)
    assert said is not None
    assert features(cable.ifname)["rx-ntuple-filter"] is (said[1] == "on")


@pytest.mark.parametrize("queue", range(4))
def test_a_queue_counts_what_comes_to_it(cable: Cable, queue: int) -> None:
    cable.spread_over(queue)
    before = [received_packets(cable.ifname, each) for each in range(4)]
    listener = cable.listen()
    cable.send_from_far(200)
    assert listener.numbers(200) == list(range(200))
    counted = [(received_packets(cable.ifname, each) or 0) - (was or 0) for each, was in enumerate(before)]
    assert counted == [200 if each == queue else 0 for each in range(4)]


def test_a_card_s_ptp_clock_is_ethtools(cable: Cable) -> None:
    """Also that there is none."""
    said = re.search(r"^(?:PTP Hardware Clock|Hardware timestamp provider index): (\S+)", cable.ethtool("-T"), re.MULTILINE)
    own = ptp_index(cable.ifname)
    assert own == (int(said[1]) if said and said[1].isdigit() else None)
    assert (own in {each.index for each in observe_ptp()}) is (cable.driver in WITH_CLOCK)


def test_a_card_s_interrupts_go_to_cores_of_this_machine(cable: Cable) -> None:
    cores = frozenset(range(os.cpu_count() or 1))
    assert interrupt_cpus(cable.ifname)
    assert interrupt_cpus(cable.ifname) <= cores
    assert numa_cpus(cable.ifname) in (frozenset(), cores), "the guest has one node"
