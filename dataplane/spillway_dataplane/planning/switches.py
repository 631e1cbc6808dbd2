"""Modes as words of an interface's switches. Pure. Relief is written at once, tightening only to the program it was meant for.

An order may change a filter's rules and its mode together. Its new mode must not act on the old rules, in particular not when
the new ones turn out to be impossible; but a filter that is to drop less drops less at once, whatever program runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spillway_crds.filters import Mode
from spillway_crds.orders import FilterOrder
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_OFF, MODE_SLOTS, Switches
from spillway_dataplane.filter.slots import SlotTable
from spillway_dataplane.kept.records import MemberRecord
from spillway_dataplane.planning.drafts import Draft


def ordered_mode(order: FilterOrder) -> int:
    """Return the mode word that an order asks for."""
    if order.suspend:
        return MODE_OFF
    return MODE_ENFORCE if order.mode is Mode.ENFORCE else MODE_MONITOR


def switches_for(
    draft: Draft,
    running: tuple[MemberRecord, ...],
    current: Switches | None,
    gone: frozenset[int] = frozenset(),
    *,
    enforcement: bool,
) -> Switches:
    """Return the switches that fit while `running` is what the interface's program is made of.

    gone: words of filters that run but are ordered no longer; they end now, not when the program without them is compiled.

    current: what the kernel's map holds, None without one. Words of slots that the draft does not use stay as they are: a
    program that still runs may read them.
    """
    modes = padded(current).modes
    revisions = {each.uid: each.revision for each in running}
    words = dict(enumerate(modes)) | dict.fromkeys(gone, MODE_OFF)
    for member, slot in zip(draft.members, draft.mode_slots, strict=True):
        wanted = ordered_mode(member.order)
        held = revisions.get(member.order.uid, member.revision) != member.order.revision
        words[slot] = min(wanted, modes[slot]) if held else wanted
    return Switches(enforcement, tuple(words[slot] for slot in range(MODE_SLOTS)))


def words_gone(table: SlotTable, running: tuple[MemberRecord, ...], ordered: frozenset[str]) -> frozenset[int]:
    """Return the words of filters that run here and that nobody wants here any more. ordered: uids of those who are."""
    ended = {each.uid for each in running} - ordered
    return frozenset(slot for uid, slot in (*table.modes, *table.retired_modes) if uid in ended)


def succeeded(running: tuple[MemberRecord, ...], ordered: tuple[FilterOrder, ...]) -> frozenset[str]:
    """Return the uids of running filters in whose place one of the same name and rules is to drop.

    Somebody deleted a filter and made it anew: until the program of the second is there, the first drops on.
    """
    successors = {each.revision for each in ordered if ordered_mode(each) == MODE_ENFORCE}
    return frozenset(each.uid for each in running if each.revision in successors)


def padded(switches: Switches | None) -> Switches:
    """Return switches with a word for every slot; without a map every word is off."""
    given = switches or Switches()
    return replace(given, modes=(*given.modes, *([MODE_OFF] * MODE_SLOTS))[:MODE_SLOTS])


def modes_by_uid(draft: Draft, switches: Switches | None) -> Mapping[str, int]:
    """Return what the kernel holds for each of a draft's filters."""
    modes = padded(switches).modes
    return {member.order.uid: modes[slot] for member, slot in zip(draft.members, draft.mode_slots, strict=True)}
