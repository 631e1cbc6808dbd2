"""What is told of a claim in its own status: conditions and data of each of its devices. Pure.

Two kinds of news: what somebody may wait for is told at once, counters at a pace. `Report.pressing` is all but the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from spillway_crds.errors import SpillwayError
from spillway_crds.streams import BindMode
from spillway_dataplane.dra.cdi import INSIDE, SOCKET
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef, RingRecord
from spillway_dataplane.dra.surroundings import PtpClock
from spillway_dataplane.stream.model import RingStatus
from spillway_dataplane.way.state import RingState
from spillway_stream.clocks import ClockCode, measured_text, word_of
from spillway_stream.cores import choice_text

CONNECT_S = 30.0  # from a claim's preparation to the container's first connection, before somebody is told what may be wrong
MESSAGE_LENGTH = 1024
READY, CONNECTED, CLOCK = "Ready", "Connected", "ClockSynchronized"


class Why(StrEnum):
    """Reasons that are no state of a ring and no kind of error."""

    RECOVERING = "Recovering"
    VERIFYING = "Verifying"
    HELD = "Held"
    AWAITED = "Awaited"
    NO_CONNECTION = "NoConnection"
    RELEASED = "Released"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a device. since: RFC 3339, when it became what it is; empty until the reporter knows.

    measured: figures that belong to the message and change as counters do.
    """

    type: str
    met: bool
    reason: str
    message: str
    since: str = ""
    measured: str = ""


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One device of a claim. facts: what changes seldom. counts: what changes with every packet."""

    pool: str
    device: str
    conditions: tuple[Condition, ...]
    interface: str = ""
    mac: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All of one claim's devices on this node."""

    ref: ClaimRef
    devices: tuple[DeviceReport, ...]

    @property
    def pressing(self) -> Report:
        """The same without counters and what is measured."""
        return replace(self, devices=tuple(map(_pressing, self.devices)))


def _pressing(device: DeviceReport) -> DeviceReport:
    return replace(device, counts={}, conditions=tuple(replace(each, measured="") for each in device.conditions))


def report_claim(
    record: ClaimRecord, statuses: Mapping[str, RingStatus], prepared_s: float, clocks: Iterable[PtpClock] = ()
) -> Report:
    """Say how a prepared claim does.

    statuses: by the keeper's key. prepared_s: for how long this process has held it. clocks: this node's PTP clocks.
    """
    known = tuple(clocks)
    devices = (_device(record, ring, statuses.get(record.key(ring)), prepared_s, known) for ring in record.rings)
    return Report(record.ref, tuple(devices))


def report_failure(ref: ClaimRef, devices: Iterable[tuple[str, str]], error: SpillwayError) -> Report:
    """Say why a claim could not be prepared, for each of its (pool, device): kubelet prepares all or none."""
    condition = Condition(READY, met=False, reason=error.reason, message=str(error)[:MESSAGE_LENGTH])
    return Report(ref, tuple(DeviceReport(pool, device, (condition,)) for pool, device in devices))


def _device(
    record: ClaimRecord, ring: RingRecord, status: RingStatus | None, prepared_s: float, clocks: tuple[PtpClock, ...]
) -> DeviceReport:
    if status is None:
        message = "the ring was not opened again yet since the driver was started"
        return DeviceReport(ring.pool, ring.device, (Condition(READY, False, Why.RECOVERING, message),), facts=_place(ring))
    return DeviceReport(
        ring.pool,
        ring.device,
        (_ready(status), _connected(record, ring, status, prepared_s), *_clock(status, clocks)),
        interface=ring.interface,
        mac=status.mac,
        facts=_facts(ring, status),
        counts=_counts(status),
    )


def _ready(status: RingStatus) -> Condition:
    where = f"{status.interface} queue {status.queue}"
    if status.bind_mode is None:
        return Condition(READY, False, status.state.value, status.reason or f"no ring is bound on {where} now")
    if status.state is not RingState.READY:
        return Condition(READY, False, status.state.value, (status.reason or status.state.value)[:MESSAGE_LENGTH])
    if not _mode_proven(status):
        return Condition(READY, True, Why.VERIFYING, f"bound on {where}; zero copy is told once a frame was completed")
    return Condition(READY, True, status.state.value, f"bound on {where} in mode {status.bind_mode.value}")


def _mode_proven(status: RingStatus) -> bool:
    """Some drivers grant zero copy and send nothing: only a completed frame proves it."""
    return status.bind_mode is BindMode.COPY or (status.bind_mode is BindMode.ZERO_COPY and status.completed)


def _connected(record: ClaimRecord, ring: RingRecord, status: RingStatus, prepared_s: float) -> Condition:
    path = f"{INSIDE}/{ring.mount}/{SOCKET}"
    if status.holder:
        waiting = f"; {status.waiting} more wait for it" if status.waiting else ""
        return Condition(CONNECTED, True, Why.HELD, f"{status.holder} has the ring{waiting}")
    if record.connected:
        return Condition(CONNECTED, False, Why.RELEASED, "no process has the ring now; the next that connects gets it")
    if prepared_s < CONNECT_S:
        return Condition(CONNECTED, False, Why.AWAITED, f"nobody has connected to {path} yet")
    hint = (
        "if the file is not in the container, switch CDI on in containerd of this node (enable_cdi = true; it is off before 2.0)"
    )
    return Condition(CONNECTED, False, Why.NO_CONNECTION, f"nobody has connected to {path} since the claim was prepared; {hint}")


def _clock(status: RingStatus, clocks: tuple[PtpClock, ...]) -> tuple[Condition, ...]:
    """What a video source found of its clock, while one has the ring: the verdict, and what it was made of."""
    peaks = status.peaks
    word = word_of(peaks.clock) if status.holder else None
    if word is None:
        return ()
    without = peaks.clock == ClockCode.NO_PTP_CLOCK
    message = f"{word.message}; this node has {_listed(clocks)}" if without else word.message
    measured = measured_text(_clock_name(peaks.ptp, clocks), peaks.clock_to_tai_ns, peaks.clock_to_utc_ns)
    return (Condition(CLOCK, word.synchronized, word.reason, message, measured=measured),)


def _clock_name(ptp: int, clocks: tuple[PtpClock, ...]) -> str:
    """ptp: as a report has it, one above the clock's number; empty for none."""
    if not ptp:
        return ""
    return next((str(each) for each in clocks if each.index == ptp - 1), f"/dev/ptp{ptp - 1}")


def _listed(clocks: tuple[PtpClock, ...]) -> str:
    return ", ".join(map(str, clocks)) or "none"


def _place(ring: RingRecord) -> dict[str, Any]:
    return {"interface": ring.interface, "queue": ring.queue}


def _facts(ring: RingRecord, status: RingStatus) -> dict[str, Any]:
    mode = status.bind_mode.value if status.bind_mode and _mode_proven(status) else ""
    told = {
        "bindMode": mode,
        "bindNote": status.bind_note[:MESSAGE_LENGTH],
        "mac": status.mac,
        "mtu": status.mtu_bytes or None,
        "sourceAddress": status.source,
        "nextHop": status.next_hop,
        "nextHopMac": status.next_hop_mac,
        "holder": status.holder,
        "core": status.peaks.core - 1 if status.holder and status.peaks.core else None,
        "coreChosenBy": choice_text(status.peaks.core_by) if status.holder else "",
    }
    return {**_place(ring), "state": status.state.value, **{key: value for key, value in told.items() if value not in (None, "")}}


def _counts(status: RingStatus) -> dict[str, int]:
    counters, peaks = status.counters, status.peaks
    video = {"frames": counters.video_frames, "vrxPeakPackets": peaks.vrx_packets, "cinstPeakPackets": peaks.cinst_packets}
    return {
        "packets": counters.packets,
        "bytes": counters.bytes,
        "late": counters.late,
        "lateOutsideHoles": counters.late_outside_holes,
        "holes": counters.holes,
        "starved": counters.starved,
        "refused": counters.refused,
        "invalidDescriptors": status.kernel.tx_invalid_descriptors,
        "packetsPerSecond": round(status.packets_per_second),
        "bitsPerSecond": round(status.bits_per_second),
        "jitterP99Nanoseconds": status.jitter.p99_ns,
        "latestNanoseconds": peaks.latest_ns,
        "stealNanoseconds": peaks.steal_ns,
        **(video if counters.video_frames else {}),
        **({"clockToTaiNanoseconds": peaks.clock_to_tai_ns} if peaks.ptp else {}),
    }


def dated(report: Report, before: Mapping[tuple[str, str], Condition], now: str) -> Report:
    """Give every condition the time when it last changed between met and not met.

    before: the conditions told last, by (device, type). now: RFC 3339.
    """

    def date(device: DeviceReport) -> DeviceReport:
        found = ((each, before.get((device.device, each.type))) for each in device.conditions)
        conditions = (replace(each, since=old.since if old and old.met == each.met else now) for each, old in found)
        return replace(device, conditions=tuple(conditions))

    return replace(report, devices=tuple(date(each) for each in report.devices))


def conditions_of(report: Report) -> dict[tuple[str, str], Condition]:
    """A report's conditions by (device, type)."""
    return {(device.device, each.type): each for device in report.devices for each in device.conditions}
