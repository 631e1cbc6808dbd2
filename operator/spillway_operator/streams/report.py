"""BypassStream.status as values, and as JSON and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from spillway_crds.encode import without_empty
from spillway_crds.orders import Condition
from spillway_crds.status_wire import decode_condition, encode_condition

OWN_CONDITIONS = ("Ready", "Progressing", "ClockSynchronized")  # what others may add is theirs
_TEXTS = {
    "claim": "claim",
    "node": "node",
    "interface": "interface",
    "bind_mode": "bindMode",
    "mac_address": "macAddress",
    "next_hop_mac_address": "nextHopMacAddress",
    "core_chosen_by": "coreChosenBy",
    "sdp": "sdp",
}
_LEG_TEXTS = ("interface", "bind_mode", "next_hop_mac_address")
_COUNTS = {
    "packets": "packets",
    "bytes": "bytes",
    "late_packets": "latePackets",
    "packets_per_second": "packetsPerSecond",
}


class Counts(TypedDict):
    """What is counted of one path, or of all together."""

    packets: int
    bytes: int
    late_packets: int
    packets_per_second: int


@dataclass(frozen=True, slots=True)
class LegReport:
    """One path of a stream that goes out twice."""

    interface: str
    queue: int
    bind_mode: str = ""
    next_hop_mac_address: str = ""
    packets: int = 0
    bytes: int = 0
    late_packets: int = 0
    packets_per_second: int = 0


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A BypassStream's status. queue: None while no ring is there; counts then are 0 and not written.

    core: None while no built-in source sends. legs: of a stream that goes out twice; counts are the sums of theirs.
    """

    generation: int = 0
    claim: str = ""
    node: str = ""
    interface: str = ""
    queue: int | None = None
    bind_mode: str = ""
    mac_address: str = ""
    next_hop_mac_address: str = ""
    packets: int = 0
    bytes: int = 0
    late_packets: int = 0
    packets_per_second: int = 0
    legs: tuple[LegReport, ...] = ()
    core: int | None = None
    core_chosen_by: str = ""
    sdp: str = ""
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((each for each in self.conditions if each.type == kind), None)


def encode_stream_report(report: StreamReport) -> dict[str, Any]:
    """BypassStream.status. What is left out was ours, and apply takes it away."""
    texts = without_empty({wire: getattr(report, name) for name, wire in _TEXTS.items()})
    counts = {} if report.queue is None else {wire: getattr(report, name) for name, wire in _COUNTS.items()}
    return {
        "observedGeneration": report.generation,
        **texts,
        **({} if report.queue is None else {"queue": report.queue}),
        **({} if report.core is None else {"core": report.core}),
        **counts,
        **without_empty({"legs": [_encode_leg(each) for each in report.legs]}),
        "conditions": [
            {**encode_condition(each), "observedGeneration": report.generation, "message": each.message}
            for each in report.conditions
        ],
    }


def _encode_leg(leg: LegReport) -> dict[str, Any]:
    texts = without_empty({_TEXTS[name]: getattr(leg, name) for name in _LEG_TEXTS})
    return {"queue": leg.queue, **texts, **{wire: getattr(leg, name) for name, wire in _COUNTS.items()}}


def _decode_leg(raw: Mapping[str, Any]) -> LegReport:
    texts = {name: raw.get(_TEXTS[name], "") for name in _LEG_TEXTS}
    return LegReport(queue=raw.get("queue", 0), **texts, **{name: raw.get(wire, 0) for name, wire in _COUNTS.items()})


def decode_stream_report(raw: Mapping[str, Any] | None) -> StreamReport:
    """Inverse of `encode_stream_report`, lenient: a status that was never written, or that somebody emptied, reads as nothing."""
    raw = raw or {}
    texts = {name: raw.get(wire, "") for name, wire in _TEXTS.items()}
    counts = {name: raw.get(wire, 0) for name, wire in _COUNTS.items()}
    return StreamReport(
        generation=raw.get("observedGeneration", 0),
        queue=raw.get("queue"),
        legs=tuple(_decode_leg(each) for each in raw.get("legs", ())),
        core=raw.get("core"),
        conditions=_own_conditions(raw.get("conditions", ())),
        **texts,
        **counts,
    )


def _own_conditions(raw: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    found = {each.get("type"): decode_condition(each) for each in raw}
    return tuple(found[kind] for kind in OWN_CONDITIONS if kind in found)
