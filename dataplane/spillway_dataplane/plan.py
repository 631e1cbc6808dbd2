"""From ordered and found to the steps between them. Pure: the same view gives the same plan, always.

A plan holds what can be done now; what has to come first (a program to compile, a turn to be given) is what it says instead.
Carrying it out and planning again ends in a plan without actions: then the node is what the order says, or the findings say why
not.
"""

from __future__ import annotations

from collections.abc import Iterator

from spillway_crds.filters import XdpMode
from spillway_crds.orders import Attach as Turn
from spillway_crds.orders import NodeState
from spillway_dataplane.actions import Action, Attach, Build, Detach, NoteDetached, Reattach, Replace, WritePeers, WriteSwitches
from spillway_dataplane.filter.program import Switches
from spillway_dataplane.kept.records import InterfaceRecord
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedInterface, PinnedLink
from spillway_dataplane.planning.drafts import Draft
from spillway_dataplane.planning.switches import padded, succeeded, switches_for, words_gone
from spillway_dataplane.planning.view import Plan, View, attempt_of, wish_hash

Step = Action | Finding
NOTHING_DROPPED = padded(Switches(enforcement=False))


def make_plan(view: View) -> Plan:
    """Return the steps for the whole node, interfaces in name order; data before programs, because it waits for nobody."""
    steps = [step for name in _names(view) for step in plan_interface(name, view)]
    if view.drafts and view.peers != view.peers_written:
        steps.insert(0, WritePeers(view.peers))
    actions = [step for step in steps if not isinstance(step, Finding)]
    actions.sort(key=lambda action: not isinstance(action, WritePeers | WriteSwitches))
    return Plan(tuple(actions), tuple(sorted({step for step in steps if isinstance(step, Finding)})))


def _names(view: View) -> list[str]:
    ours = {each.name for each in view.node.interfaces if each.pinned is not None or each.maps_pinned}
    return sorted(view.drafts.keys() | ours | {name for name, _ in view.node.orphans})


def plan_interface(name: str, view: View) -> Iterator[Step]:
    """Steps for one interface."""
    seen = view.node.interface(name)
    draft = view.drafts.get(name)
    if seen is None:
        yield from _release_orphan(name, view)
    elif draft is None:
        yield from _release(seen, view)
    else:
        yield from _data(seen, draft, view)
        yield from _program(seen, draft, view)
        yield from _link_down(seen, draft)


def _link_down(seen: ObservedInterface, draft: Draft) -> Iterator[Finding]:
    if draft.members and not (seen.up and seen.carrier):
        what = "has no carrier" if seen.up else "is down"
        yield Finding(Reason.LINK_DOWN, f"{seen.name} {what}: no packet arrives there", seen.name)


def _release_orphan(name: str, view: View) -> Iterator[Step]:
    """Clear up after a device that went; a link that lives on it under another name is still a filter: in turns."""
    link = dict(view.node.orphans).get(name)
    if link is None or not link.ifindex or _may_flap(view):
        yield Detach(name, again=view.order.state is not NodeState.EMPTY)
    else:
        yield _waiting(name)


def _release(seen: ObservedInterface, view: View) -> Iterator[Step]:
    """Take ours off. Active and Idle give every interface of ours a draft, so this is the end: state EMPTY."""
    if seen.pinned is None and not seen.maps_pinned:
        return
    if not _is_live(seen) or _may_flap(view):
        yield Detach(seen.name)
        return
    current = view.switches.get(seen.name)
    if current is not None and any(current.modes):
        yield WriteSwitches(seen.name, NOTHING_DROPPED)  # the turn may be long in coming; what was ended ends now
    yield _waiting(seen.name)


def _is_live(seen: ObservedInterface) -> bool:
    return seen.pinned is not None and seen.pinned.ifindex == seen.ifindex


def _may_flap(view: View) -> bool:
    return view.order.attach is Turn.ALLOWED


def _waiting(ifname: str) -> Finding:
    return Finding(Reason.WAITING_FOR_TURN, "waits for this node's turn: attaching or detaching makes some links flap", ifname)


def _data(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    current = view.switches.get(seen.name)
    if current is None:
        return  # no maps yet: the attach brings its switches along
    running = view.records.members(seen.pinned.digest) if seen.pinned is not None else ()
    gone = words_gone(view.records.slots, running, _ordered(draft, view) | succeeded(running, view.order.filters))
    wanted = switches_for(draft, running, current, gone, enforcement=view.enforcement)
    if wanted != padded(current):
        yield WriteSwitches(seen.name, wanted)


def _ordered(draft: Draft, view: View) -> frozenset[str]:
    """Return whose words stay. A program that is kept is not replaced soon: who is no longer wanted there ends by his word."""
    if draft.spec is None:
        return frozenset(each.order.uid for each in draft.members)
    return frozenset(each.uid for each in view.order.filters) if view.order.state is NodeState.ACTIVE else frozenset()


def _program(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    link = seen.pinned
    if link is None:
        yield from _without_link(seen, draft, view)
    elif link.ifindex == seen.ifindex:
        yield from _running(seen, link, draft, view)
    elif link.ifindex:
        yield from _misnamed(seen, link, view)
    elif seen.attached is not None:
        yield from _detached(seen, view)
        yield _foreign(seen)
    elif _came_back(seen, view.records.interfaces.get(seen.name)):
        yield _reattach(seen, draft, view)
    else:
        yield from _detached(seen, view)


def _reattach(seen: ObservedInterface, draft: Draft, view: View) -> Step:
    """Link what is pinned at once. A device that cannot run it as it was is another one: it gets a program of its own."""
    refusal = view.refused.get(attempt_of(seen, draft))
    if refusal is None:
        return Reattach(seen.name)
    return Detach(seen.name, again=True) if refusal.reason is Reason.NOT_SUPPORTED else refusal


def _without_link(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    record = view.records.interfaces.get(seen.name)
    if seen.attached is not None:
        yield _foreign(seen)
    elif seen.maps_pinned and record is not None and not _came_back(seen, record):
        yield from _detached(seen, view, Detach(seen.name, again=True))  # somebody took our pin away, and the link ended with it
    elif record is None and not _may_flap(view):
        yield from _build(seen, draft, view)
        yield _waiting(seen.name)
    else:
        yield from _attach(seen, draft, view)
        if record is None and not _attempt_refused(seen, draft, view):
            yield _waiting(seen.name)  # the turn is used up once the link is there


def _came_back(seen: ObservedInterface, record: InterfaceRecord | None) -> bool:
    """Whether the device went away since we attached: then the end of our link was nobody's decision."""
    return record is None or record.left or record.ifindex != seen.ifindex


def _attach(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    if (refusal := view.refused.get(attempt_of(seen, draft))) is not None:
        yield refusal
    elif draft.digest not in view.built:
        yield from _build(seen, draft, view)
    else:
        switches = switches_for(draft, (), view.switches.get(seen.name), enforcement=view.enforcement)
        yield Attach(seen.name, draft.digest, draft.mode, switches)


def _attempt_refused(seen: ObservedInterface, draft: Draft, view: View) -> bool:
    return attempt_of(seen, draft) in view.refused


def _build(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    """Have the program ready before it is needed, so that a turn takes no longer than the attach."""
    if draft.digest in view.built or _attempt_refused(seen, draft, view):
        return
    if draft.digest not in view.building and draft.spec is not None:  # what is kept runs, and is never built
        yield Build(seen.name, draft.digest, draft.spec)
    yield Finding(Reason.COMPILING, "its program is being compiled", seen.name)


def _running(seen: ObservedInterface, link: PinnedLink, draft: Draft, view: View) -> Iterator[Step]:
    if _other_mode(seen, draft):
        yield from _change_mode(seen, draft, view)
        return
    if link.digest == draft.digest:
        return
    if (refusal := view.refused.get(attempt_of(seen, draft))) is not None:
        yield refusal
    elif draft.digest not in view.built:
        yield from _build(seen, draft, view)
    else:
        yield Replace(seen.name, draft.digest)


def _other_mode(seen: ObservedInterface, draft: Draft) -> bool:
    """Whether the link has to be made anew. Where nobody asks for a mode it is not worth a flap."""
    if draft.mode is XdpMode.AUTO or seen.attached is None:
        return False
    return seen.attached.mode is not draft.mode


def _change_mode(seen: ObservedInterface, draft: Draft, view: View) -> Iterator[Step]:
    refusal = view.refused.get(attempt_of(seen, draft))
    if refusal is not None:
        yield refusal
    elif not _may_flap(view) or draft.digest not in view.built:
        yield from _build(seen, draft, view)
        yield _waiting(seen.name)
    else:
        running = view.records.members(seen.pinned.digest) if seen.pinned is not None else ()
        switches = switches_for(draft, running, view.switches.get(seen.name), enforcement=view.enforcement)
        yield Attach(seen.name, draft.digest, draft.mode, switches)  # if it is refused, what runs comes back


def _misnamed(seen: ObservedInterface, link: PinnedLink, view: View) -> Iterator[Step]:
    """Another device took this name while ours lives on under a new one."""
    if _may_flap(view):
        yield Detach(seen.name, again=True)
    else:
        yield _waiting(seen.name)
    yield Finding(Reason.CONFLICT, f"the link pinned for {seen.name} is on the device with index {link.ifindex}", seen.name)


def _foreign(seen: ObservedInterface) -> Finding:
    assert seen.attached is not None
    name = f" ({seen.attached.name})" if seen.attached.name else ""
    return Finding(
        Reason.CONFLICT, f"{seen.name} runs XDP program {seen.attached.program_id}{name}, which is not ours", seen.name
    )


def _detached(seen: ObservedInterface, view: View, again: Action | None = None) -> Iterator[Step]:
    """Somebody detached us while the device stayed: not fought. A changed order, in its turn, or `spillway on` ends it."""
    record = view.records.interfaces.get(seen.name)
    wish = wish_hash(view.order)
    noted = record.detached_at if record is not None else wish
    if not noted:
        yield NoteDetached(seen.name, wish)
    free = seen.attached is None
    if free and (view.on_word or (noted not in ("", wish) and _may_flap(view))):
        yield again or Reattach(seen.name)
    elif free and noted not in ("", wish):
        yield _waiting(seen.name)
    else:
        yield Finding(
            Reason.DETACHED,
            f"somebody detached our program from {seen.name}; a changed order or `spillway on` attaches it again",
            seen.name,
        )
