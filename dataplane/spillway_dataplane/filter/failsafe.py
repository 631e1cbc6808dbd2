"""Failsafe flows as C: which flows a packet looks like, from constants alone, and who its source would have to be.

Two steps keep the way to a drop short: most packets look like no flow, and only those that do cost a look at the peer maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from spillway_crds.failsafe import NEIGHBOUR_DISCOVERY, FailsafeFlow, Peers
from spillway_crds.filters import ICMP_PROTOCOLS, PORT_PROTOCOLS, PortRange
from spillway_dataplane.filter.conditions import merge_ranges
from spillway_dataplane.filter.program import ProgramSpec
from spillway_dataplane.filter.relevance import is_relevant

PREFIX_PEERS = Peers.ADMINS  # the only ones that may be prefixes: all others are single hosts, found by one hash
MAX_FLOWS = 62
Interval = tuple[int, int, int]  # first port, last port, candidate bits


def failsafe_source(spec: ProgramSpec) -> str:
    """Return C for `failsafe_flow(packet)`: 0, or what `count_flow` takes. Only flows that a Drop rule can be in the way of.

    It leaves in packet->flow the flow that the packet belongs to, also when that flow's ceiling is reached. Ceilings count only
    for a packet that a filter is about to drop.

    Neighbour discovery is guarded whether or not it is among the flows; without a flow it is counted nowhere.
    """
    every = list(enumerate(spec.flows))
    if NEIGHBOUR_DISCOVERY.name not in {flow.name for flow in spec.flows}:
        every.insert(0, (MAX_FLOWS, NEIGHBOUR_DISCOVERY))
    guarded = [(number, flow) for number, flow in every if is_relevant(flow, spec)]
    return _candidates(guarded) + _decision(guarded)


def _candidates(guarded: list[tuple[int, FailsafeFlow]]) -> str:
    by_port = [(number, flow) for number, flow in guarded if _is_by_port(flow)]
    others = "".join(_candidate(number, flow) for number, flow in guarded if not _is_by_port(flow))
    switch = "".join(_protocol_case(protocol, by_port) for protocol in _protocols(by_port))
    return (
        "static __always_inline void find_candidates(packet_t *packet)\n{\n"
        "\tpacket->candidates = 0;\n"
        f"\tswitch (packet->protocol) {{\n{switch}\t}}\n{others}}}\n\n"
    )


def _is_by_port(flow: FailsafeFlow) -> bool:
    ports = flow.local_ports or flow.remote_ports
    return bool(ports and flow.protocols) and not (flow.icmp or flow.later_fragments or flow.hop_limit is not None)


def _protocols(guarded: list[tuple[int, FailsafeFlow]]) -> list[int]:
    return sorted({protocol for _, flow in guarded for protocol in flow.protocols})


def _protocol_case(protocol: int, by_port: list[tuple[int, FailsafeFlow]]) -> str:
    mine = [(number, flow) for number, flow in by_port if protocol in flow.protocols]
    local = _port_switch("destination_port", ((number, flow.local_ports) for number, flow in mine))
    remote = _port_switch("source_port", ((number, flow.remote_ports) for number, flow in mine))
    return f"\tcase {protocol}:\n{local}{remote}\t\tbreak;\n"


def _port_switch(field: str, ports: Iterable[tuple[int, tuple[PortRange, ...]]]) -> str:
    intervals = split_intervals([(each.first, each.last, 1 << number) for number, ranges in ports for each in ranges])
    if not intervals:
        return ""
    cases = "".join(
        f"\t\tcase {_case(first, last)}:\n\t\t\tpacket->candidates |= {bits:#x}ULL;\n\t\t\tbreak;\n"
        for first, last, bits in intervals
    )
    return f"\t\tswitch (packet->{field}) {{\n{cases}\t\t}}\n"


def _case(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} ... {last}"


def split_intervals(intervals: list[Interval]) -> list[Interval]:
    """Return disjoint ascending intervals with, for each port, the union of the bits of all that held it."""
    edges = sorted({edge for first, last, _ in intervals for edge in (first, last + 1)})
    found: list[Interval] = []
    for start, end in pairwise(edges):
        bits = 0
        for first, last, own in intervals:
            bits |= own if first <= start <= last else 0
        if bits:
            found.append((start, end - 1, bits))
    return found


def _candidate(number: int, flow: FailsafeFlow) -> str:
    tests = " && ".join(_tests(flow)) or "1"
    return f"\tif ({tests})\n\t\tpacket->candidates |= {1 << number:#x}ULL;\n"


def _tests(flow: FailsafeFlow) -> Iterator[str]:
    if protocols := flow.protocols or _protocols_having(flow):
        yield "(" + " || ".join(f"packet->protocol == {protocol}" for protocol in protocols) + ")"
    if flow.later_fragments:
        yield "packet->fragment == FRAGMENT_LATER"
    if flow.hop_limit is not None:
        yield f"packet->family == 6 && packet->hop_limit == {flow.hop_limit}"
    if flow.icmp:
        yield "(" + " || ".join(_icmp_tests(flow)) + ")"
    if flow.local_ports or flow.remote_ports:
        yield "(" + " || ".join(_port_tests(flow)) + ")"


def _protocols_having(flow: FailsafeFlow) -> tuple[int, ...]:
    """A packet of another protocol still has in its fields what an earlier packet left there (bpf/parse.h)."""
    if flow.local_ports or flow.remote_ports:
        return tuple(sorted(PORT_PROTOCOLS))
    return tuple(sorted(ICMP_PROTOCOLS)) if flow.icmp else ()


def _icmp_tests(flow: FailsafeFlow) -> Iterator[str]:
    whole = [(kind, kind) for kind, code in flow.icmp if code is None]
    for first, last in merge_ranges(whole):
        yield f"(packet->icmp_type - {first}U <= {last - first}U)"
    for kind, code in flow.icmp:
        if code is not None:
            yield f"(packet->icmp_type == {kind} && packet->icmp_code == {code})"


def _port_tests(flow: FailsafeFlow) -> Iterator[str]:
    for field, ranges in (("destination_port", flow.local_ports), ("source_port", flow.remote_ports)):
        for each in ranges:
            yield f"packet->{field} - {each.first}U <= {each.last - each.first}U"


def _decision(guarded: list[tuple[int, FailsafeFlow]]) -> str:
    peered = _bits(number for number, flow in guarded if flow.peers)
    prefixed = _bits(number for number, flow in guarded if flow.peers & PREFIX_PEERS)
    near = _bits(number for number, flow in guarded if flow.peers & Peers.LINK_LOCAL)
    tests = "".join(_flow_test(number, flow) for number, flow in guarded)
    return (
        "static __always_inline u32 failsafe_flow(packet_t *packet)\n{\n"
        "\tfind_candidates(packet);\n"
        "\tu64 candidates = packet->candidates; /* not before: the verifier must not tell flows apart */\n"
        "\tpacket->flow = 0;\n"
        "\tif (candidates == 0)\n\t\treturn 0;\n"
        f"\tif (candidates & {peered:#x}ULL)\n"
        f"\t\tfind_peers(packet, candidates & {prefixed:#x}ULL, candidates & {near:#x}ULL);\n"
        f"{tests}\treturn 0;\n}}\n"
    )


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def _flow_test(number: int, flow: FailsafeFlow) -> str:
    belongs = f"candidates & {1 << number:#x}ULL"
    if flow.peers:
        belongs += f" && packet->peers & {int(flow.peers):#x}"
    found = f"\t\tpacket->flow = {number + 1};\n"
    if flow.ceiling_pps is None:
        return f"\tif ({belongs}) {{\n{found}\t\treturn {number + 1};\n\t}}\n"
    below = f"packet->verdict != XDP_DROP || is_below_ceiling({number}, {flow.ceiling_pps})"
    return f"\tif ({belongs}) {{\n{found}\t\tif ({below})\n\t\t\treturn {number + 1};\n\t}}\n"
