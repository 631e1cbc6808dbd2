"""What one interface's program is made from, as values. The generator, the plain matcher and the agent share these."""

from __future__ import annotations

from dataclasses import dataclass

from spillway_crds.failsafe import FailsafeFlow
from spillway_crds.filters import FilterContent

COUNTER_SLOTS = 4096  # of the pinned per-CPU array: one slot a rule, twice the 24 x 64 rules so that all can be exchanged at once
MODE_SLOTS = 64  # of the pinned switches: one slot a filter, twice the 24 filters for the same reason


@dataclass(frozen=True, slots=True)
class FilterUnit:
    """One filter as compiled into a program.

    mode_slot: its word in the switches, 0 <= mode_slot < MODE_SLOTS. rule_slots: one counter slot for each rule, in rule order.
    """

    name: str
    uid: str
    content: FilterContent
    mode_slot: int
    rule_slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """The program of one interface. filters: in deciding order. flows: failsafe flows in force; the first that fits is counted.

    No filters: the program that passes everything.
    """

    filters: tuple[FilterUnit, ...] = ()
    flows: tuple[FailsafeFlow, ...] = ()


@dataclass(frozen=True, slots=True)
class Switches:
    """What changes without a new program. modes: by mode_slot; enforcement False turns every ENFORCE into MONITOR."""

    enforcement: bool = True
    modes: tuple[int, ...] = ()


MODE_OFF, MODE_MONITOR, MODE_ENFORCE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Counts:
    """One counter slot summed over all CPUs. Bytes: whole frames without FCS."""

    matched_packets: int = 0
    matched_bytes: int = 0
    dropped_packets: int = 0
    dropped_bytes: int = 0
    would_drop_packets: int = 0
    would_drop_bytes: int = 0


@dataclass(frozen=True, slots=True)
class InterfaceCounts:
    """Packets that no field could be read of, and failsafe packets by flow, in the order of FLOW_NAMES."""

    malformed_packets: int = 0
    unparsed_packets: int = 0
    failsafe_packets: tuple[int, ...] = ()
