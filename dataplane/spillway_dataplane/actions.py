"""Things to do on a node, as data. An action says what; only execute.py knows how."""

from __future__ import annotations

from dataclasses import dataclass

from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import XdpMode
from spillway_dataplane.filter.program import ProgramSpec, Switches


@dataclass(frozen=True, slots=True)
class WritePeers:
    """Say who the failsafe peers are. Data: nothing is compiled, no packet waits."""

    entries: tuple[PeerEntry, ...]


@dataclass(frozen=True, slots=True)
class WriteSwitches:
    """Set an interface's modes and its kill switch. Data, as above."""

    ifname: str
    switches: Switches


@dataclass(frozen=True, slots=True)
class Build:
    """Compile a program and let the verifier see it, before anything is changed. ifname: where its filters are to run."""

    ifname: str
    digest: str
    spec: ProgramSpec


@dataclass(frozen=True, slots=True)
class Attach:
    """Create and pin a link on an interface that has none. The link may flap."""

    ifname: str
    digest: str
    mode: XdpMode
    switches: Switches


@dataclass(frozen=True, slots=True)
class Reattach:
    """Link the program that is pinned for this interface again: the device was away, or somebody's word allows it."""

    ifname: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Swap the program of our own link. No packet sees a moment without a filter, and the link feels nothing."""

    ifname: str
    digest: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Take our link, program and maps off one interface, their counts read first.

    again: the interface stays ours, so the attach that follows, now or when the device is back, needs no turn of its own.
    """

    ifname: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class NoteDetached:
    """Write down that somebody detached us while `wish_hash` was the order: only another order attaches again."""

    ifname: str
    wish_hash: str


Action = WritePeers | WriteSwitches | Build | Attach | Reattach | Replace | Detach | NoteDetached
