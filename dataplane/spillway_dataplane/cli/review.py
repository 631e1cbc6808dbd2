"""What valid filters contradict, touch and disturb. Pure: manifests in, remarks out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from spillway_crds import names
from spillway_crds.failsafe import flows
from spillway_crds.failsafe_overlap import overlapping_flows
from spillway_crds.filters import FloodFilter, Fragments, Match, Rule, RuleAction, XdpMode
from spillway_crds.resolve import resolve
from spillway_dataplane.cli.describe import DEFAULT_ROUTES
from spillway_dataplane.cli.meeting import Meeting, at_pattern, meeting, patterns_of, satisfying_labels

USUAL_MTU = 1500


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to know before applying. filters: whom it concerns."""

    filters: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Review:
    """contradictions: cannot all be had. warnings: should be known. disturbances: what a link will feel, and when."""

    contradictions: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()
    disturbances: tuple[Remark, ...] = ()


def review(filters: tuple[FloodFilter, ...]) -> Review:
    """Look at all filters together."""
    modes = tuple(_mode_conflicts(filters))
    return Review(
        contradictions=(*(remark for sure, remark in modes if sure), *_too_many(filters)),
        warnings=(*(remark for sure, remark in modes if not sure), *_warnings(filters)),
        disturbances=tuple(_disturbances(filters)),
    )


def _mode_conflicts(filters: tuple[FloodFilter, ...]) -> Iterator[tuple[bool, Remark]]:
    for first, second in combinations(filters, 2):
        modes = {first.spec.content.xdp_mode, second.spec.content.xdp_mode}
        how = meeting(first, second)
        if modes == {XdpMode.NATIVE, XdpMode.GENERIC} and how is not Meeting.NEVER:
            may = "share" if how is Meeting.SURE else "may share"
            text = f"{may} an interface, one with xdpMode Native, one with Generic: the younger ends in Conflict"
            yield how is Meeting.SURE, Remark((first.name, second.name), text)


def _too_many(filters: tuple[FloodFilter, ...]) -> Iterator[Remark]:
    """More than fit a node, said once for each set of filters that is left out."""
    left_out: dict[tuple[str, ...], None] = {}
    for each in filters:
        over = resolve(filters, satisfying_labels(each.spec.node_selector)).over_limit
        left_out.update({over: None} if over else {})
    for over in left_out:
        text = f"a node runs at most {names.MAX_FILTERS_PER_NODE} filters: the younger ones beyond end in Conflict"
        yield Remark(over, text)


def _warnings(filters: Iterable[FloodFilter]) -> Iterator[Remark]:
    for each in filters:
        yield from _failsafe_warning(each)
        yield from _tail_warnings(each)
        if each.spec.content.rx_queue_ids:
            text = "filters only what reaches these receive queues: the other queues' share of a flood passes"
            yield Remark((each.name,), text)


def touched_flows(rule: Rule) -> tuple[str, ...]:
    """Names of the failsafe flows that a rule would drop if they were not failsafe."""
    return overlapping_flows(rule, flows()) if rule.action is RuleAction.DROP else ()


def _failsafe_warning(each: FloodFilter) -> Iterator[Remark]:
    touched = dict.fromkeys(name for rule in each.spec.content.rules for name in touched_flows(rule))
    if touched:
        yield Remark((each.name,), f"its Drop rules touch failsafe flows, which pass all the same: {', '.join(touched)}")


def _tail_warnings(each: FloodFilter) -> Iterator[Remark]:
    rules = each.spec.content.rules
    if any(rule.match.fragments in (Fragments.LATER, Fragments.ANY) and not _reads_transport(rule.match) for rule in rules):
        return
    heads = [rule.name for rule in rules if rule.action is RuleAction.DROP and _may_be_fragmented(rule.match)]
    if heads:
        text = f"later fragments carry no ports: they pass rule {heads[0]} unless a rule with `fragments: Later` drops them"
        yield Remark((each.name,), text)


def _reads_transport(match: Match) -> bool:
    return bool(match.source_ports or match.destination_ports or match.tcp_flags or match.icmp_types)


def _may_be_fragmented(match: Match) -> bool:
    """A flood of packets that a sender has to fragment: it asks for ports, and its lengths may reach the usual MTU."""
    length = match.ip_length_bytes
    reaches = length is not None and length.min is not None and (length.max is None or length.max >= USUAL_MTU)
    return _reads_transport(match) and reaches and match.fragments in (Fragments.ANY, Fragments.FIRST)


def _disturbances(filters: tuple[FloodFilter, ...]) -> Iterator[Remark]:
    for pattern in patterns_of(filters):
        here = at_pattern(filters, pattern)
        where = pattern or f"the {DEFAULT_ROUTES}' devices"
        generic = all(each.spec.content.xdp_mode is XdpMode.GENERIC for each in here)
        yield Remark(tuple(each.name for each in here), _flap_text(where, generic=generic))


def _flap_text(where: str, *, generic: bool) -> str:
    what = "goes through the kernel's generic path and switches LRO off" if generic else "may take the link down for seconds"
    return f"{where}: the first program there {what}, node by node, in turns; what changes later disturbs nothing"
