"""Which failsafe flows a policy has to ask for, and what its rules' own ports have answered already.

A flood changes its ports from packet to packet, and a processor cannot guess the branches of a look at them. Where every Drop
rule names ports that are all in the same flows, or in none, that look is made here, once, and a rule only stores the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from spillway_crds.failsafe import NEIGHBOUR_DISCOVERY, FailsafeFlow, counter_of
from spillway_crds.filters import Fragments, Match, PortRange, RuleAction
from spillway_dataplane.filter.program import ProgramSpec
from spillway_dataplane.filter.relevance import can_match

SIDES = ("destination_port", "source_port")  # fields of struct packet
Interval = tuple[int, int, int]  # first port, last port, bits of flows
Flows = tuple[tuple[int, FailsafeFlow], ...]  # with the number of each one's counter


@dataclass(frozen=True, slots=True)
class Guard:
    """flows: those that a Drop rule can be in the way of, in order. answered: sides whose ports every Drop rule decides about."""

    flows: Flows
    answered: frozenset[str]

    @property
    def by_port(self) -> Flows:
        """The flows that protocol and ports alone make out; the others have tests of their own."""
        return tuple((number, flow) for number, flow in self.flows if _is_by_port(flow))

    def answer(self, match: Match) -> int:
        """Return the bits of the flows that a rule's packets look like by the sides that are answered."""
        return sum(answer_by(side, match, self.by_port) or 0 for side in self.answered)


def guard_of(spec: ProgramSpec) -> Guard:
    """Neighbour discovery is guarded whether or not it is among the flows."""
    drops = [rule.match for unit in spec.filters for rule in unit.content.rules if rule.action is RuleAction.DROP]
    switched_off = NEIGHBOUR_DISCOVERY.name not in {flow.name for flow in spec.flows}
    every = (NEIGHBOUR_DISCOVERY, *spec.flows) if switched_off else spec.flows
    asked = Guard(
        tuple((counter_of(flow), flow) for flow in every if any(can_match(match, flow) for match in drops)), frozenset()
    )
    answered = (side for side in SIDES if all(answer_by(side, match, asked.by_port) is not None for match in drops))
    return Guard(asked.flows, frozenset(answered))


def _is_by_port(flow: FailsafeFlow) -> bool:
    ports = flow.local_ports or flow.remote_ports
    return bool(ports and flow.protocols) and not (flow.icmp or flow.later_fragments or flow.hop_limit is not None)


def ports_on(side: str, flow: FailsafeFlow) -> tuple[PortRange, ...]:
    """Return a flow's ports that stand on that side of a packet that arrives."""
    return flow.local_ports if side == "destination_port" else flow.remote_ports


def answer_by(side: str, match: Match, flows: Flows) -> int | None:
    """Return the bits of the flows that hold every packet of a rule by its port on one side, None if packets differ in that."""
    intervals = intervals_of(side, match.protocol, flows)
    if not intervals or match.fragments is Fragments.LATER:  # a later fragment has no ports
        return 0
    ranges = match.destination_ports if side == "destination_port" else match.source_ports
    if not ranges or match.protocol is None:
        return None
    answers = {_answer_over(intervals, each) for each in ranges}
    return answers.pop() if len(answers) == 1 else None


def intervals_of(side: str, protocol: int | None, flows: Flows) -> list[Interval]:
    """Return the ports of one protocol, or of any, with the bits of the flows that they are in."""
    mine = [(number, flow) for number, flow in flows if protocol is None or protocol in flow.protocols]
    return split_intervals([(each.first, each.last, 1 << number) for number, flow in mine for each in ports_on(side, flow)])


def _answer_over(intervals: list[Interval], ports: PortRange) -> int | None:
    met = [each for each in intervals if each[0] <= ports.last and ports.first <= each[1]]
    if not met:
        return 0
    first, last, bits = met[0]
    return bits if first <= ports.first and ports.last <= last else None


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
