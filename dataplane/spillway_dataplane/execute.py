"""Carry out one action on the kernel, and write down what has to outlive the agent: in the order in which a crash is harmless."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from spillway_crds.errors import SpillwayError, Transient
from spillway_dataplane.actions import Action, Attach, Build, Detach, NoteDetached, Reattach, Replace, WritePeers, WriteSwitches
from spillway_dataplane.filter.slots import SlotTable, release
from spillway_dataplane.kept import counts, records
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kept.records import InterfaceRecord
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.memory import Memory
from spillway_dataplane.node.observed import ObservedNode
from spillway_dataplane.ports import Kernel

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """The only part of the agent that changes the kernel."""

    kernel: Kernel
    memory: Memory
    artifacts: ArtifactCache

    def execute(self, action: Action, node: ObservedNode) -> None:
        """Carry out one action. node: as observed for the plan it comes from. Raises SpillwayError for a refusal."""
        match action:
            case WritePeers(entries):
                self.kernel.write_peers(entries)
            case WriteSwitches(ifname, switches):
                self.kernel.write_switches(ifname, switches)
            case Attach():
                self._attach(action, node)
            case Reattach(ifname):
                self.kernel.reattach(ifname)
                self._remember(ifname, node)
            case Replace(ifname, digest):
                self.kernel.replace(ifname, self._artifact(digest))
            case Detach():
                self._detach(action, node)
            case NoteDetached(ifname, wish_hash):
                self.memory.take_records(records.with_detached(self.memory.records, ifname, wish_hash))
            case Build():
                raise TypeError("programs are built by the builder")

    def _artifact(self, digest: str) -> Artifact:
        artifact = self.artifacts.get(digest)
        if artifact is None:
            raise Transient(
                operation=f"load program {digest}", detail="its bytecode is not on disk any more; it is compiled again"
            )
        return artifact

    def _attach(self, action: Attach, node: ObservedNode) -> None:
        """Maps first, with the modes in them: the first packet already meets the right ones."""
        artifact = self._artifact(action.digest)
        if self.kernel.prepare(action.ifname):
            self.memory.take_book(counts.renewed(self.memory.book, self._slots, action.ifname))
        else:
            self.open_slots(action.ifname)
        self.kernel.write_switches(action.ifname, action.switches)
        self.kernel.attach(action.ifname, artifact, action.mode)
        self._remember(action.ifname, node)

    def _remember(self, ifname: str, node: ObservedNode) -> None:
        seen = node.interface(ifname)
        if seen is not None:
            self.memory.take_records(records.with_attached(self.memory.records, ifname, InterfaceRecord(seen.ifindex)))

    def _detach(self, action: Detach, node: ObservedNode) -> None:
        """The last counts are read before the maps go; packets in between are nobody's."""
        if _has_maps(node, action.ifname):
            self.read_counts([action.ifname])
        self.memory.take_book(counts.interface_closed(self.memory.book, self._slots, action.ifname))
        if action.again:
            self.memory.take_records(records.with_left(self.memory.records, frozenset({action.ifname})))
        else:
            self.memory.take_records(records.without_interface(self.memory.records, action.ifname))
        self.kernel.detach(action.ifname)

    @property
    def _slots(self) -> SlotTable:
        return self.memory.records.slots

    def use_slots(self, table: SlotTable, ifnames: Iterable[str]) -> None:
        """Put a new slot table in force: on disk, and each new slot's start read, before any program counts with it."""
        if table == self._slots:
            return
        self.memory.take_records(records.with_slots(self.memory.records, table))
        for ifname in ifnames:
            self.open_slots(ifname)

    def open_slots(self, ifname: str) -> None:
        """Note what the kernel holds in slots that the book does not know yet."""
        unknown = [slot for _, slot in self._slots.rules if (ifname, slot) not in self.memory.book.starts]
        if not unknown:
            return
        try:
            live = self.kernel.read_counts(ifname, unknown)
        except SpillwayError as error:
            LOG.warning("%s", error)  # then they begin where they are first read
        else:
            self.memory.take_book(counts.opened(self.memory.book, self._slots, ifname, live))

    def read_counts(self, ifnames: Iterable[str]) -> None:
        """Take in what the kernel has counted, and save it."""
        slots = [slot for _, slot in (*self._slots.rules, *self._slots.retired)]
        book = self.memory.book
        for ifname in ifnames:
            try:
                live = self.kernel.read_counts(ifname, slots)
            except SpillwayError as error:
                LOG.warning("%s", error)  # what cannot be read now is read the next time; other interfaces count on
            else:
                book = counts.seen(book, self._slots, ifname, live)
        self.memory.take_book(book)

    def release_slots(self, ifnames: Iterable[str]) -> None:
        """Give free what no program uses any more, once its counts are in the book on disk."""
        table = self._slots
        if not table.retired and not table.retired_modes:
            return
        self.read_counts(ifnames)
        self.memory.take_book(counts.slots_closed(self.memory.book, table))
        freed = release(table, (slot for _, slot in table.retired), (slot for _, slot in table.retired_modes))
        self.memory.take_records(records.with_slots(self.memory.records, freed))


def _has_maps(node: ObservedNode, ifname: str) -> bool:
    seen = node.interface(ifname)
    return seen.maps_pinned if seen is not None else any(name == ifname for name, _ in node.orphans)
