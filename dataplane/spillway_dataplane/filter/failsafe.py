"""Failsafe flows as C: which flows a packet looks like, from constants alone, and who its source would have to be.

Two steps keep the way to a drop short: most packets look like no flow, and only those that do cost a look at the peer maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spillway_crds.failsafe import FailsafeFlow, Peers
from spillway_crds.filters import ICMP_PROTOCOLS, PORT_PROTOCOLS
from spillway_dataplane.filter.conditions import merge_ranges
from spillway_dataplane.filter.guard import SIDES, Flows, Guard, Interval, intervals_of

PREFIX_PEERS = Peers.ADMINS  # the only ones that may be prefixes: all others are single hosts, found by one hash


def failsafe_source(guard: Guard) -> str:
    """Return C for `failsafe_flow(packet)`: 0, or what `count_flow` takes. packet->candidates has the rule's own answer.

    It leaves in packet->flow the flow that the packet belongs to, also when that flow's ceiling is reached. Ceilings count only
    for a packet that a filter is about to drop.
    """
    return _candidates(guard) + _decision(guard.flows)


def _candidates(guard: Guard) -> str:
    others = "".join(_candidate(number, flow) for number, flow in guard.flows if (number, flow) not in guard.by_port)
    protocols = sorted({protocol for _, flow in guard.by_port for protocol in flow.protocols})
    switch = "".join(_protocol_case(protocol, guard) for protocol in protocols)
    return (
        "static __always_inline void find_candidates(packet_t *packet)\n{\n"
        f"\tswitch (packet->transport) {{\n{switch}\t}}\n{others}}}\n\n"
    )


def _protocol_case(protocol: int, guard: Guard) -> str:
    asked = (side for side in SIDES if side not in guard.answered)
    switches = "".join(_port_switch(side, intervals_of(side, protocol, guard.by_port)) for side in asked)
    return f"\tcase {protocol}:\n{switches}\t\tbreak;\n"


def _port_switch(field: str, intervals: list[Interval]) -> str:
    if not intervals:
        return ""
    cases = "".join(
        f"\t\tcase {_case(first, last)}:\n\t\t\tpacket->candidates |= {bits:#x}ULL;\n\t\t\tbreak;\n"
        for first, last, bits in intervals
    )
    return f"\t\tswitch (packet->{field}) {{\n{cases}\t\t}}\n"


def _case(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} ... {last}"


def _candidate(number: int, flow: FailsafeFlow) -> str:
    tests = " && ".join(_tests(flow)) or "1"
    return f"\tif ({tests})\n\t\tpacket->candidates |= {1 << number:#x}ULL;\n"


def _tests(flow: FailsafeFlow) -> Iterator[str]:
    field = "transport" if _protocols_having(flow) else "protocol"
    if protocols := flow.protocols or _protocols_having(flow):
        yield "(" + " || ".join(f"packet->{field} == {protocol}" for protocol in protocols) + ")"
    if flow.later_fragments:
        yield "packet->fragment == FRAGMENT_LATER"
    if flow.hop_limit is not None:
        yield f"packet->family == 6 && packet->hop_limit == {flow.hop_limit}"
    if flow.icmp:
        yield "(" + " || ".join(_icmp_tests(flow)) + ")"
    if flow.local_ports or flow.remote_ports:
        yield "(" + " || ".join(_port_tests(flow)) + ")"


def _protocols_having(flow: FailsafeFlow) -> tuple[int, ...]:
    """Return whose headers must have been read for the fields that a flow names."""
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


def _decision(guarded: Flows) -> str:
    peered = _bits(number for number, flow in guarded if flow.peers)
    prefixed = _bits(number for number, flow in guarded if flow.peers & PREFIX_PEERS)
    near = _bits(number for number, flow in guarded if flow.peers & Peers.LINK_LOCAL)
    tests = "".join(_flow_test(number, flow) for number, flow in guarded)
    return (
        "static __always_inline u32 failsafe_flow(packet_t *packet)\n{\n"
        "\tfind_candidates(packet);\n"
        "\tu64 candidates = packet->candidates; /* not before: the verifier must not tell flows apart */\n"
        "\tpacket->flow = 0;\n"
        "\tif (!unlikely(candidates))\n\t\treturn 0;\n"
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
