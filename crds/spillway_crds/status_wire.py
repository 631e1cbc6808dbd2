"""NodeDataplane.status as JSON and back: small enough to be rewritten every few seconds, lenient to what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from spillway_crds.encode import without_empty
from spillway_crds.orders import Condition, FilterState, FilterStatus, InterfaceStatus, NodeStatus, RuleTotals, Totals

RULE_COUNTS_STATUS, RULE_COUNTS_METRICS = "Status", "Metrics"
_TOTAL_NAMES = {
    "matched_packets": "matchedPackets",
    "matched_bytes": "matchedBytes",
    "dropped_packets": "droppedPackets",
    "dropped_bytes": "droppedBytes",
    "would_drop_packets": "wouldDropPackets",
    "would_drop_bytes": "wouldDropBytes",
}
assert list(_TOTAL_NAMES) == [each.name for each in fields(Totals)]


def encode_totals(totals: Totals) -> dict[str, int]:
    """Six counts, all of them always said."""
    return {wire: getattr(totals, name) for name, wire in _TOTAL_NAMES.items()}


def decode_totals(raw: Mapping[str, Any]) -> Totals:
    """Inverse of `encode_totals`; what is missing is 0."""
    return Totals(**{name: raw.get(wire, 0) for name, wire in _TOTAL_NAMES.items()})


def encode_condition(condition: Condition) -> dict[str, Any]:
    """One entry of a `conditions` list."""
    fields_ = {"type": condition.type, "status": condition.status, "reason": condition.reason, "message": condition.message}
    return without_empty({**fields_, "lastTransitionTime": condition.changed})


def decode_condition(raw: Mapping[str, Any]) -> Condition:
    """Inverse of `encode_condition`."""
    return Condition(
        type=raw.get("type", ""),
        status=raw.get("status", "Unknown"),
        reason=raw.get("reason", ""),
        message=raw.get("message", ""),
        changed=raw.get("lastTransitionTime", ""),
    )


def encode_status(status: NodeStatus) -> dict[str, Any]:
    """NodeDataplane.status; what is empty is left out. The caller trims it first: `trim_status`."""
    return without_empty(
        {
            "observedSpecHash": status.observed_spec_hash,
            "agentVersion": status.agent_version,
            "countsFor": status.counts_for,
            "waitingForTurn": list(status.waiting_for_turn),
            "enforcementOff": status.enforcement_off,
            "interfaces": [_interface(each) for each in status.interfaces],
            "filters": [_filter(each) for each in status.filters],
            "conditions": [encode_condition(each) for each in status.conditions],
        }
    )


def _interface(status: InterfaceStatus) -> dict[str, Any]:
    texts = without_empty(
        {
            "name": status.name,
            "driver": status.driver,
            "xdpMode": status.xdp_mode,
            "programTag": status.program_tag,
            "conditions": [encode_condition(each) for each in status.conditions],
        }
    )
    return {"linkId": status.link_id, "programId": status.program_id, "rxQueues": status.rx_queues, **texts}


def _filter(status: FilterStatus) -> dict[str, Any]:
    texts = without_empty({"revision": status.revision, "reason": status.reason, "message": status.message})
    return {
        "name": status.name,
        "uid": status.uid,
        "state": status.state.value,
        **texts,
        "totals": encode_totals(status.totals),
        "rules": [_rule(each) for each in status.rules],
        "ruleCounts": status.rule_counts,
    }


def _rule(rule: RuleTotals) -> dict[str, Any]:
    return {"name": rule.name, **encode_totals(rule.totals)}


def decode_status(raw: Mapping[str, Any] | None) -> NodeStatus:
    """Inverse of `encode_status`. What is missing reads as not yet reported; unknown fields are skipped."""
    raw = raw or {}
    return NodeStatus(
        observed_spec_hash=raw.get("observedSpecHash", ""),
        agent_version=raw.get("agentVersion", ""),
        counts_for=raw.get("countsFor", ""),
        waiting_for_turn=tuple(raw.get("waitingForTurn", ())),
        enforcement_off=raw.get("enforcementOff", ""),
        interfaces=tuple(map(_decode_interface, raw.get("interfaces", ()))),
        filters=tuple(map(_decode_filter, raw.get("filters", ()))),
        conditions=tuple(map(decode_condition, raw.get("conditions", ()))),
    )


def _decode_interface(raw: Mapping[str, Any]) -> InterfaceStatus:
    return InterfaceStatus(
        name=raw.get("name", ""),
        driver=raw.get("driver", ""),
        xdp_mode=raw.get("xdpMode", ""),
        link_id=raw.get("linkId", 0),
        program_id=raw.get("programId", 0),
        program_tag=raw.get("programTag", ""),
        rx_queues=raw.get("rxQueues", 0),
        conditions=tuple(map(decode_condition, raw.get("conditions", ()))),
    )


def _decode_filter(raw: Mapping[str, Any]) -> FilterStatus:
    return FilterStatus(
        name=raw.get("name", ""),
        uid=raw.get("uid", ""),
        revision=raw.get("revision", ""),
        state=_state(raw.get("state")),
        reason=raw.get("reason", ""),
        message=raw.get("message", ""),
        totals=decode_totals(raw.get("totals", {})),
        rules=tuple(RuleTotals(each.get("name", ""), decode_totals(each)) for each in raw.get("rules", ())),
        rule_counts=raw.get("ruleCounts", RULE_COUNTS_STATUS),
    )


def _state(raw: object) -> FilterState:
    known = {each.value: each for each in FilterState}
    return known.get(raw, FilterState.PENDING) if isinstance(raw, str) else FilterState.PENDING
