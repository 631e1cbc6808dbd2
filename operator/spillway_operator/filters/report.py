"""FloodFilter.status as values, and as JSON and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spillway_crds.orders import Condition, RuleTotals, Totals
from spillway_crds.status_wire import decode_condition, decode_totals, encode_condition, encode_totals

OWN_CONDITIONS = ("Ready", "Progressing", "Degraded", "FailsafeOverlap")  # what others may add is theirs


@dataclass(frozen=True, slots=True)
class Failure:
    """One node that cannot do what the filter asks."""

    node: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule over all nodes. since: when its counts began, RFC 3339."""

    name: str
    totals: Totals
    since: str


@dataclass(frozen=True, slots=True)
class Departed:
    """Counts of what no longer reports. uids: NodeDataplanes whose counts are in here, so that none is added twice."""

    uids: tuple[str, ...] = ()
    totals: Totals = field(default_factory=Totals)
    rules: tuple[RuleTotals, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterReport:
    """A FloodFilter's status."""

    generation: int = 0
    revision: str = ""
    desired: int = 0
    ready: int = 0
    failed: int = 0
    failures: tuple[Failure, ...] = ()
    totals: Totals = field(default_factory=Totals)
    rules: tuple[RuleReport, ...] = ()
    departed: Departed = field(default_factory=Departed)
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((each for each in self.conditions if each.type == kind), None)


def encode_report(report: FilterReport) -> dict[str, Any]:
    """FloodFilter.status. Empty lists are said: apply takes a list that is left out for one that somebody else may keep."""
    return {
        "observedGeneration": report.generation,
        "revision": report.revision,
        "nodes": {
            "desired": report.desired,
            "ready": report.ready,
            "failed": report.failed,
            "summary": f"{report.ready}/{report.desired}",
        },
        "failures": [{"node": each.node, "reason": each.reason, "message": each.message} for each in report.failures],
        "totals": encode_totals(report.totals),
        "rules": [{"name": each.name, **encode_totals(each.totals), "since": each.since} for each in report.rules],
        "departed": _encode_departed(report.departed),
        "conditions": [
            {**encode_condition(each), "observedGeneration": report.generation, "message": each.message}
            for each in report.conditions
        ],
    }


def _encode_departed(departed: Departed) -> dict[str, Any]:
    return {
        "uids": list(departed.uids),
        "totals": encode_totals(departed.totals),
        "rules": [{"name": each.name, **encode_totals(each.totals)} for each in departed.rules],
    }


def decode_report(raw: Mapping[str, Any] | None) -> FilterReport:
    """Inverse of `encode_report`, lenient: a status that was never written, or that somebody emptied, reads as zeros."""
    raw = raw or {}
    nodes = raw.get("nodes") or {}
    return FilterReport(
        generation=raw.get("observedGeneration", 0),
        revision=raw.get("revision", ""),
        desired=nodes.get("desired", 0),
        ready=nodes.get("ready", 0),
        failed=nodes.get("failed", 0),
        failures=tuple(Failure(each["node"], each["reason"], each.get("message", "")) for each in raw.get("failures", ())),
        totals=decode_totals(raw.get("totals", {})),
        rules=tuple(RuleReport(each["name"], decode_totals(each), each.get("since", "")) for each in raw.get("rules", ())),
        departed=_decode_departed(raw.get("departed") or {}),
        conditions=_decode_conditions(raw.get("conditions", ())),
    )


def _decode_conditions(raw: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    found = {each.get("type"): decode_condition(each) for each in raw}
    return tuple(found[kind] for kind in OWN_CONDITIONS if kind in found)


def _decode_departed(raw: Mapping[str, Any]) -> Departed:
    return Departed(
        uids=tuple(raw.get("uids", ())),
        totals=decode_totals(raw.get("totals", {})),
        rules=tuple(RuleTotals(each["name"], decode_totals(each)) for each in raw.get("rules", ())),
    )
