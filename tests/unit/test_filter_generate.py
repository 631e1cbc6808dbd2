"""What is decided before the compiler runs: lists merged, flows left out, policies cut into programs. Pure, without bcc."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.errors import InvalidIntent
from spillway_crds.failsafe import FLOW_NAMES, NEIGHBOUR_DISCOVERY, flows
from spillway_crds.filters import (
    FilterContent,
    Fragments,
    LengthRange,
    Match,
    PortRange,
    Rule,
    RuleAction,
    TcpFlag,
    TcpFlagsMatch,
)
from spillway_crds.names import MAX_FILTERS_PER_NODE, MAX_ICMP_TYPES, MAX_PORT_RANGES, MAX_PREFIXES, MAX_QUEUE_IDS, MAX_RULES
from spillway_dataplane.filter.chunks import MAX_CHUNKS, estimate, plan_chunks
from spillway_dataplane.filter.conditions import merge_ranges
from spillway_dataplane.filter.failsafe import PREFIX_PEERS
from spillway_dataplane.filter.generate import DIGEST_DIGITS, digest, generate
from spillway_dataplane.filter.guard import answer_by, guard_of, ports_on, split_intervals
from spillway_dataplane.filter.matcher import in_flow, matches
from spillway_dataplane.filter.packet import Packet
from spillway_dataplane.filter.program import FilterUnit, ProgramSpec
from spillway_dataplane.filter.relevance import can_match
from spillway_dataplane.kernel.artifact import FLOW_SLOTS
from spillway_dataplane.kernel.artifact import MAX_CHUNKS as CHUNK_SLOTS

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=8)
FLOWS = {flow.name: flow for flow in flows()}


def spread(count: int, first: int) -> tuple[PortRange, ...]:
    """Port ranges that do not join up."""
    return tuple(PortRange(first + 20 * number, first + 20 * number + 7) for number in range(count))


def costliest(count: int, salt: int) -> tuple[IPv6Network, ...]:
    """Prefixes that cost the most instructions: neither half of the address fits into an immediate."""
    return tuple(
        IPv6Network(((0x20010DB8 << 96) + (salt << 80) + (number << 72) + (number << 2), 126)) for number in range(count)
    )


def largest(filters: int = MAX_FILTERS_PER_NODE) -> ProgramSpec:
    """As much as the schema allows."""
    units = []
    for number in range(filters):
        match = Match(
            protocol=6,
            sources=costliest(MAX_PREFIXES, 2 * number),
            destinations=costliest(MAX_PREFIXES, 2 * number + 1),
            source_ports=spread(MAX_PORT_RANGES, 1000),
            destination_ports=spread(MAX_PORT_RANGES, 9000),
            ip_length_bytes=LengthRange(40, 1400),
            tcp_flags=TcpFlagsMatch(TcpFlag.SYN, TcpFlag.ACK),
            fragments=Fragments.NONE,
        )
        rules = tuple(Rule(f"r{rule}", match, RuleAction.COUNT) for rule in range(MAX_RULES))
        content = FilterContent(
            rules, exempt=costliest(MAX_PREFIXES, 500 + number), rx_queue_ids=tuple(range(0, 2 * MAX_QUEUE_IDS, 2))
        )
        units.append(FilterUnit(f"f{number}", f"u{number}", content, number, tuple(range(number * 64, number * 64 + 64))))
    return ProgramSpec(tuple(units), flows())


@given(RANGES)
def test_merged_ranges_hold_the_same_numbers(ranges: list[tuple[int, int]]) -> None:
    merged = merge_ranges(ranges)
    assert {n for a, b in merged for n in range(a, b + 1)} == {n for a, b in ranges for n in range(a, b + 1)}
    assert all(one[1] + 1 < other[0] for one, other in pairwise(merged))


@given(RANGES)
def test_split_intervals_hold_every_bit_of_every_port(ranges: list[tuple[int, int]]) -> None:
    split = split_intervals([(a, b, 1 << number) for number, (a, b) in enumerate(ranges)])
    found = {port: bits for first, last, bits in split for port in range(first, last + 1)}
    for port in range(80):
        assert found.get(port, 0) == sum(1 << number for number, (a, b) in enumerate(ranges) if a <= port <= b)
    assert sum(last - first + 1 for first, last, _ in split) == len(found), "they overlap"


def test_every_rule_of_the_largest_policy_has_a_place_in_order() -> None:
    spec = largest()
    chunks = plan_chunks(spec)
    places = [(part.number, rule) for chunk in chunks for part in chunk for rule in range(part.first, part.end)]
    assert places == [(number, rule) for number in range(MAX_FILTERS_PER_NODE) for rule in range(MAX_RULES)]
    assert len(chunks) <= MAX_CHUNKS == CHUNK_SLOTS
    assert estimate(spec).programs == len(chunks)


def test_more_than_the_schema_allows_is_refused() -> None:
    with pytest.raises(InvalidIntent):
        generate(largest(filters=2 * MAX_FILTERS_PER_NODE))


def test_a_small_policy_is_one_program() -> None:
    unit = FilterUnit("f", "u", FilterContent((Rule("r", Match(protocol=17), RuleAction.DROP),)), 0, (0,))
    assert estimate(ProgramSpec((unit,), flows())).programs == 1


def test_equal_specs_have_equal_names() -> None:
    """The digest names a program: it follows slots and flows, and nothing that is not in the spec."""
    text = generate(largest(1))
    assert text == generate(largest(1)) and len(digest(text)) == DIGEST_DIGITS
    other = largest(1).filters[0]
    moved = ProgramSpec((FilterUnit(other.name, other.uid, other.content, 5, other.rule_slots),), flows())
    assert digest(generate(moved)) != digest(text)


@pytest.mark.parametrize(
    ("match", "relevant"),
    [
        pytest.param(Match(), set(FLOWS), id="everything"),
        pytest.param(
            Match(protocol=17, source_ports=(PortRange(53, 53),)), {"dns-replies", "dhcp", "overlay", "bfd"}, id="from 53"
        ),
        pytest.param(
            Match(protocol=17, destination_ports=(PortRange(80, 80),)), {"dns-replies", "ntp-replies", "dhcp"}, id="to 80"
        ),
        pytest.param(
            Match(protocol=6, destination_ports=(PortRange(22, 22),), source_ports=(PortRange(1, 52),)), {"ssh"}, id="ssh"
        ),
        pytest.param(Match(fragments=Fragments.LATER), {"node-fragments", "tunnels"}, id="later fragments"),
        pytest.param(Match(protocol=17, fragments=Fragments.LATER), {"node-fragments"}, id="later fragments of UDP"),
        pytest.param(Match(protocol=1, icmp_types=(8,)), set(), id="echo"),
        pytest.param(Match(protocol=58, icmp_types=(135,)), {"neighbour-discovery"}, id="neighbour solicitation"),
        pytest.param(Match(protocol=50), {"tunnels", "node-fragments"}, id="ESP"),
    ],
)
def test_flows_that_a_rule_can_touch(match: Match, relevant: set[str]) -> None:
    assert {name for name, flow in FLOWS.items() if can_match(match, flow)} == relevant


PORTS = st.sampled_from((1, 22, 53, 67, 68, 80, 123, 179, 443, 500, 546, 547, 4789, 10250))
PACKETS = st.builds(
    Packet,
    source=st.just(ip_address("192.0.2.1")),
    destination=st.just(ip_address("192.0.2.2")),
    ip_bytes=st.just(100),
    hop_limit=st.just(255),
    protocol=st.sampled_from((1, 6, 17, 58, 47)),
    fragment=st.sampled_from((Fragments.NONE, Fragments.FIRST)),
    source_port=PORTS,
    destination_port=PORTS,
    tcp_flags=st.just(TcpFlag.SYN),
    icmp_type=st.sampled_from((2, 3, 8, 130, 135)),
    icmp_code=st.sampled_from((0, 4)),
)
PORT_LISTS = st.lists(PORTS, max_size=2).map(lambda found: tuple(PortRange(port, port) for port in found))
RULES = st.builds(
    Match,
    protocol=st.sampled_from((None, 1, 6, 17, 58)),
    source_ports=PORT_LISTS,
    destination_ports=PORT_LISTS,
    icmp_types=st.lists(st.sampled_from((2, 3, 8, 130, 135)), max_size=2).map(tuple),
    fragments=st.sampled_from(Fragments),
)


@given(PACKETS, RULES)
def test_no_flow_is_left_out_that_a_packet_of_a_rule_belongs_to(packet: Packet, match: Match) -> None:
    if matches(match, packet):
        for flow in flows():
            assert can_match(match, flow) or not in_flow(flow, packet, flow.peers)


@given(PACKETS, RULES)
def test_what_a_rule_answers_holds_for_each_of_its_packets(packet: Packet, match: Match) -> None:
    """The flows that a packet is in by one port are the ones that its rule stored, where all rules could say."""
    unit = FilterUnit("f", "u", FilterContent((Rule("r", match, RuleAction.DROP),)), 0, (0,))
    guard = guard_of(ProgramSpec((unit,), flows()))
    if matches(match, packet):
        ports = {"destination_port": packet.destination_port, "source_port": packet.source_port}
        for side in guard.answered:
            mine = [(number, flow) for number, flow in guard.by_port if packet.protocol in flow.protocols]
            found = {number for number, flow in mine if any(ports[side] in each for each in ports_on(side, flow))}
            assert answer_by(side, match, guard.by_port) == sum(1 << number for number in found)


@pytest.mark.parametrize(
    ("sources", "answered"),
    [
        pytest.param((PortRange(53, 53),), True, id="one flow"),
        pytest.param((PortRange(161, 161), PortRange(1900, 1910)), True, id="no flow"),
        pytest.param((PortRange(53, 53), PortRange(161, 161)), False, id="some packets are, some are not"),
        pytest.param((PortRange(50, 60),), False, id="a range around a flow"),
        pytest.param((), False, id="any port"),
    ],
)
def test_when_the_source_port_is_answered(sources: tuple[PortRange, ...], answered: bool) -> None:
    unit = FilterUnit("f", "u", FilterContent((Rule("r", Match(protocol=17, source_ports=sources), RuleAction.DROP),)), 0, (0,))
    assert ("source_port" in guard_of(ProgramSpec((unit,), flows())).answered) is answered


@pytest.mark.parametrize("names", [("neighbour-discovery", "ssh"), ("ssh", "mld"), ()])
def test_counter_is_a_flows_own_whichever_are_in_force(names: tuple[str, ...]) -> None:
    """A program counts on where another one with other flows stopped."""
    unit = FilterUnit("f", "u", FilterContent((Rule("r", Match(), RuleAction.DROP),)), 0, (0,))
    guard = guard_of(ProgramSpec((unit,), tuple(flow for flow in flows() if flow.name in names)))
    assert {flow.name for _, flow in guard.flows} == {"neighbour-discovery", *names}
    assert all(FLOW_NAMES[number] == flow.name for number, flow in guard.flows)


def test_numbers_that_two_places_know() -> None:
    """Constants that stand in C as well as in Python."""
    assert len(flows()) <= FLOW_SLOTS
    assert int(PREFIX_PEERS) == 0x04
    assert flows()[0] is NEIGHBOUR_DISCOVERY
    assert MAX_ICMP_TYPES <= MAX_PORT_RANGES
    assert IPv4Network("169.254.0.0/16").network_address.packed[:2].hex() == "a9fe"
