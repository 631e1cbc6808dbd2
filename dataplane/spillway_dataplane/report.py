"""What an agent says of its node, made of what the kernel shows. Pure.

A filter is `Enforcing` when the program that is linked holds its ordered revision and the kernel's own switch says so: what was
ordered is never echoed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from spillway_crds.filters import FilterContent
from spillway_crds.orders import Condition, FilterOrder, FilterState, FilterStatus, InterfaceStatus, NodeOrder, NodeStatus, Totals
from spillway_dataplane import __version__
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_OFF, Switches
from spillway_dataplane.filter.slots import RuleKey
from spillway_dataplane.kept.counts import filter_totals, rules_of
from spillway_dataplane.kept.records import MemberRecord, Records
from spillway_dataplane.node.findings import HARMLESS_REASONS, PENDING_REASONS, Finding
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode
from spillway_dataplane.planning.drafts import Draft
from spillway_dataplane.planning.switches import modes_by_uid
from spillway_dataplane.planning.wishes import Contents

READY = "Ready"
ATTACHED = "Attached"


@dataclass(frozen=True, slots=True)
class Picture:
    """All that a status depends on. findings: of wishes, plan and builder. rules: totals of every rule.

    spec_hash: of the order that is carried out as far as it can be. off_by: who pulled the kill switch, empty if nobody.
    """

    order: NodeOrder
    spec_hash: str
    uid: str
    node: ObservedNode
    drafts: Mapping[str, Draft]
    switches: Mapping[str, Switches]
    records: Records
    contents: Contents
    findings: tuple[Finding, ...] = ()
    waiting_for_turn: tuple[str, ...] = ()
    off_by: str = ""
    rules: Mapping[RuleKey, Totals] = field(default_factory=dict)
    left: Mapping[str, Totals] = field(default_factory=dict)


def build_status(picture: Picture, previous: NodeStatus | None, now: str) -> NodeStatus:
    """Return the report. previous: the last one, whose condition times stay where nothing turned. now: RFC 3339."""
    names = picture.drafts.keys() | {each.ifname for each in picture.findings if each.ifname}
    names |= {each.name for each in picture.node.interfaces if each.pinned is not None}
    totals = filter_totals(picture.left, picture.rules)
    status = NodeStatus(
        observed_spec_hash=picture.spec_hash,
        agent_version=__version__,
        counts_for=picture.uid,
        waiting_for_turn=picture.waiting_for_turn,
        enforcement_off=picture.off_by,
        interfaces=tuple(_interface(name, picture) for name in sorted(names)),
        filters=tuple(_filter(each, picture, totals.get(each.uid, Totals())) for each in picture.order.filters),
        conditions=(_ready(picture),),
    )
    return with_times(status, previous, now)


def _interface(name: str, picture: Picture) -> InterfaceStatus:
    conditions = _conditions(each for each in picture.findings if each.ifname == name)
    seen = picture.node.interface(name)
    if seen is None:
        return InterfaceStatus(name, conditions=conditions)
    live = is_live(seen)
    attached = Condition(ATTACHED, "True" if live else "False", ATTACHED if live else "NotAttached")
    status = InterfaceStatus(name, driver=seen.driver, rx_queues=seen.rx_queues, conditions=(attached, *conditions))
    if not live or seen.pinned is None:
        return status
    return replace(
        status,
        xdp_mode=seen.attached.mode.value if seen.attached is not None else "",
        link_id=seen.pinned.link_id,
        program_id=seen.pinned.program_id,
        program_tag=seen.pinned.program_tag,
    )


def is_live(seen: ObservedInterface | None) -> bool:
    """Whether our link is attached to this very device."""
    return seen is not None and seen.pinned is not None and seen.pinned.ifindex == seen.ifindex


def _conditions(findings: Iterable[Finding]) -> tuple[Condition, ...]:
    """One condition a reason, the first message of each: a list of conditions has each type once."""
    found: dict[str, Condition] = {}
    for each in sorted(findings):
        found.setdefault(each.reason, Condition(each.reason.value, "True", each.reason.value, each.message))
    return tuple(found.values())


def _filter(order: FilterOrder, picture: Picture, totals: Totals) -> FilterStatus:
    content = picture.contents.get(order.revision)
    names = [rule.name for rule in content.rules] if isinstance(content, FilterContent) else []
    status = FilterStatus(order.name, order.uid, _running_revision(order.uid, picture), FilterState.PENDING, totals=totals)
    status = replace(status, rules=rules_of(picture.rules, order.uid, names))
    places = [ifname for ifname, draft in picture.drafts.items() if any(each.order.uid == order.uid for each in draft.members)]
    trouble = sorted(each for each in picture.findings if _concerns(each, order.uid, places))
    failed = [each for each in trouble if each.reason not in PENDING_REASONS]
    if trouble:
        worst = (failed or trouble)[0]
        state = FilterState.FAILED if failed else FilterState.PENDING
        return replace(status, state=state, reason=worst.reason.value, message=_message(failed or trouble))
    return replace(status, state=_state_in_kernel(order, picture, places))


def _running_revision(uid: str, picture: Picture) -> str:
    """Return what the kernel runs of a filter, empty if nothing; of several on several interfaces the ordered one is not said."""
    digests = [each.pinned.digest for each in picture.node.interfaces if is_live(each) and each.pinned is not None]
    running = {member.revision for digest in digests for member in picture.records.members(digest) if member.uid == uid}
    ordered = {each.revision for each in picture.order.filters if each.uid == uid}
    return min(running - ordered or running, default="")


def _concerns(finding: Finding, uid: str, places: list[str]) -> bool:
    if finding.reason in HARMLESS_REASONS:
        return False
    return finding.uid == uid or (not finding.uid and finding.ifname in ("", *places))


def _message(findings: list[Finding]) -> str:
    return "; ".join(dict.fromkeys(each.message for each in findings))


def _state_in_kernel(order: FilterOrder, picture: Picture, places: list[str]) -> FilterState:
    """Return the weakest of what the filter's interfaces do with it."""
    record = MemberRecord(order.uid, order.name, order.revision)
    weakest = MODE_ENFORCE
    enforcement = True
    for ifname in places:
        seen = picture.node.interface(ifname)
        if seen is None or seen.pinned is None or not is_live(seen):
            return FilterState.PENDING
        if record not in picture.records.members(seen.pinned.digest):
            return FilterState.PENDING
        switches = picture.switches.get(ifname)
        weakest = min(weakest, modes_by_uid(picture.drafts[ifname], switches)[order.uid])
        enforcement = enforcement and switches is not None and switches.enforcement
    if not places:
        return FilterState.PENDING
    if weakest == MODE_ENFORCE and not enforcement:
        return FilterState.OFF
    return {MODE_OFF: FilterState.SUSPENDED, MODE_MONITOR: FilterState.MONITORING, MODE_ENFORCE: FilterState.ENFORCING}[weakest]


def _ready(picture: Picture) -> Condition:
    told = sorted(each for each in picture.findings if each.reason not in HARMLESS_REASONS)
    if not told:
        return Condition(READY, "True", "Converged", "the kernel runs what the order says")
    worst = next((each for each in told if each.reason not in PENDING_REASONS), told[0])
    return Condition(READY, "False", worst.reason.value, worst.message)


def with_times(status: NodeStatus, previous: NodeStatus | None, now: str) -> NodeStatus:
    """Date each condition: when it turned, not when it was last said."""
    old = {each.name: each.conditions for each in previous.interfaces} if previous is not None else {}
    interfaces = tuple(
        replace(each, conditions=_dated(each.conditions, old.get(each.name, ()), now)) for each in status.interfaces
    )
    conditions = _dated(status.conditions, previous.conditions if previous is not None else (), now)
    return replace(status, interfaces=interfaces, conditions=conditions)


def _dated(conditions: tuple[Condition, ...], before: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    since = {(each.type, each.status): each.changed for each in before if each.changed}
    return tuple(replace(each, changed=since.get((each.type, each.status), now)) for each in conditions)


def without_counts(status: NodeStatus) -> NodeStatus:
    """Return what of a status is state: a change of it is reported at once, a change of counts when it is due."""
    filters = tuple(replace(each, totals=Totals(), rules=(), rule_counts="Status") for each in status.filters)
    return replace(status, filters=filters)


SOON_S = (2, 5, 10)  # after a change of state people look


def next_counts_at(changed_at: float, last_at: float, report_seconds: int) -> float:
    """Return when counts are due: 2, 5 and 10 s after a change of state, then every report_seconds. Seconds of one clock."""
    soon = [changed_at + delay for delay in SOON_S if changed_at + delay > last_at]
    return min([last_at + report_seconds, *soon]) if soon and last_at - changed_at < SOON_S[-1] else last_at + report_seconds
