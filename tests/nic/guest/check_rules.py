"""N-tuple rules as a real driver has them: macb, which has no XDP. What is decided of them is decided for any card."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from spillway_dataplane.kernel.cards import observe_card, received_packets
from spillway_dataplane.kernel.steering import ntuple_rules
from spillway_dataplane.node.cards import RssTable, SteeringRule, zero_copy_refusals
from tests.nic.guest.cable import Cable

PACKETS = 100
TO_PORT_5004 = ("flow-type", "udp4", "dst-port", "5004")


@pytest.fixture
def bare(cable: Cable) -> Iterator[Cable]:
    """Without a rule, before and after."""
    yield cable
    for rule in ntuple_rules(cable.ifname):
        cable.ethtool("-N", "delete", str(rule.location))
    assert ntuple_rules(cable.ifname) == ()


def shown_by_ethtool(cable: Cable) -> list[tuple[int, int]]:
    said = re.findall(r"Filter: (\d+)\n.*?Action: Direct to queue (\d+)", cable.ethtool("-n"), re.DOTALL)
    return [(int(location), int(queue)) for location, queue in said]


def test_a_card_without_rules_has_none(bare: Cable) -> None:
    card = observe_card(bare.ifname)
    assert (card.driver, card.rx_rings, card.rules, card.tables, card.offers_zero_copy) == ("macb", 2, (), None, False)


def test_rules_are_ethtools(bare: Cable) -> None:
    bare.ethtool("-N", *TO_PORT_5004, "action", "1", "loc", "2")
    bare.ethtool("-N", "flow-type", "tcp4", "dst-port", "80", "action", "0", "loc", "1")
    rules = ntuple_rules(bare.ifname)
    assert sorted(rules, key=lambda rule: rule.location) == [SteeringRule(1, 0), SteeringRule(2, 1)]
    assert sorted((rule.location, rule.queue) for rule in rules) == sorted(shown_by_ethtool(bare))


def test_a_queue_that_a_rule_leads_to_is_refused(bare: Cable) -> None:
    """As on a card that could zero copy and has the queue in no table."""
    able = {"offers_zero_copy": True, "native_program": 1, "tables": (RssTable(0, (0,)),)}
    assert zero_copy_refusals(1, replace(observe_card(bare.ifname), **able)) == ()
    bare.ethtool("-N", *TO_PORT_5004, "action", "1", "loc", "3")
    assert zero_copy_refusals(1, replace(observe_card(bare.ifname), **able)) == ("n-tuple rule 3 steers to queue 1",)


def test_what_a_rule_steers_is_counted_on_its_queue(bare: Cable) -> None:
    bare.ethtool("-K", "ntuple", "on")  # off, macb lists rules and obeys none
    bare.ethtool("-N", *TO_PORT_5004, "action", "1", "loc", "0")
    before = counted(bare)
    bare.send_from_far(PACKETS)
    ends = time.monotonic() + 20
    while (came := [now - was for now, was in zip(counted(bare), before, strict=True)]) != [0, PACKETS]:
        assert time.monotonic() < ends, came
        time.sleep(0.2)


def counted(cable: Cable) -> list[int]:
    return [received_packets(cable.ifname, queue) or 0 for queue in (0, 1)]
