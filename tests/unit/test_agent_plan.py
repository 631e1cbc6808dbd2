"""The laws of the plan, one interface at a time, as a table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.unit.agent_fakes import Orders, card, content

from spillway_crds.failsafe import PeerEntry, Peers
from spillway_crds.filters import Mode, XdpMode
from spillway_crds.orders import Attach as Turn
from spillway_crds.orders import NodeOrder, NodeState
from spillway_dataplane.actions import Attach, Build, Detach, NoteDetached, Reattach, Replace, WritePeers, WriteSwitches
from spillway_dataplane.filter.program import MODE_ENFORCE, MODE_MONITOR, MODE_SLOTS, Switches
from spillway_dataplane.filter.slots import SlotTable
from spillway_dataplane.kept.records import InterfaceRecord, MemberRecord, Records
from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedNode, ObservedXdp, PinnedLink
from spillway_dataplane.plan import make_plan
from spillway_dataplane.planning.drafts import make_drafts
from spillway_dataplane.planning.standing import standing_drafts
from spillway_dataplane.planning.view import View, attempt_of, wish_hash
from spillway_dataplane.planning.wishes import Circumstances

ORDERS = Orders()
FILTER = ORDERS.filter("dns", content())
ORDER = ORDERS.seen(FILTER).order
HOLD = replace(ORDER, attach=Turn.HOLD)
EMPTY = NodeOrder(NodeState.EMPTY, Turn.ALLOWED)
IDLE = NodeOrder(NodeState.IDLE, Turn.ALLOWED)
FREE = card()
DRAFTS = make_drafts(ORDER, Circumstances(ORDERS.contents, ObservedNode((FREE,))), SlotTable(), ())
DIGEST = DRAFTS.interfaces["eth0"].digest
ENFORCING = Switches(True, (MODE_ENFORCE,) + (0,) * (MODE_SLOTS - 1))
MONITORING = Switches(True, (MODE_MONITOR,) + (0,) * (MODE_SLOTS - 1))
ATTACHED_BEFORE = Records({"eth0": InterfaceRecord(FREE.ifindex)}, {DIGEST: (MemberRecord(FILTER.uid, "dns", FILTER.revision),)})


def ours(digest: str = DIGEST, ifindex: int = FREE.ifindex, mode: XdpMode = XdpMode.NATIVE):
    attached = ObservedXdp(31, mode) if ifindex == FREE.ifindex else None
    return replace(FREE, pinned=PinnedLink(7, ifindex, 31, "ab" * 8, digest), attached=attached, maps_pinned=True)


FOREIGN = replace(FREE, attached=ObservedXdp(99, XdpMode.NATIVE, "xdp_other"))
LEFT = replace(ATTACHED_BEFORE, interfaces={"eth0": InterfaceRecord(FREE.ifindex, left=True)})
NOTED = replace(ATTACHED_BEFORE, interfaces={"eth0": InterfaceRecord(FREE.ifindex, detached_at=wish_hash(ORDER))})
NOTED_BEFORE = replace(ATTACHED_BEFORE, interfaces={"eth0": InterfaceRecord(FREE.ifindex, detached_at="another order")})


def view(order: NodeOrder, *interfaces, records: Records = ATTACHED_BEFORE, **fields) -> View:
    node = ObservedNode(interfaces)
    active = replace(order, filters=()) if order.state is not NodeState.ACTIVE else order
    drafts = make_drafts(active, Circumstances(ORDERS.contents, node), SlotTable(), ()).interfaces
    made = {**standing_drafts(order, node, records, frozenset()), **drafts}
    known = {"built": frozenset({DIGEST}), "switches": {"eth0": ENFORCING} if any(i.maps_pinned for i in interfaces) else {}}
    return View(order=order, node=node, records=records, drafts=made, peers_written=(), **(known | fields))


def steps(view: View) -> tuple[list[str], list[Reason]]:
    plan = make_plan(view)
    return [type(each).__name__ for each in plan.actions], [each.reason for each in plan.findings]


@pytest.mark.parametrize(
    ("given", "actions", "reasons"),
    [
        pytest.param(view(ORDER, FREE, records=Records()), ["Attach"], ["WaitingForTurn"], id="first attach, allowed"),
        pytest.param(view(HOLD, FREE, records=Records()), [], ["WaitingForTurn"], id="first attach, on hold"),
        pytest.param(
            view(HOLD, FREE, records=Records(), built=frozenset()), ["Build"], ["Compiling", "WaitingForTurn"], id="built ahead"
        ),
        pytest.param(view(HOLD, FREE), ["Attach"], [], id="after a boot: no turn"),
        pytest.param(view(ORDER, FREE, built=frozenset(), building=frozenset({DIGEST})), [], ["Compiling"], id="at the compiler"),
        pytest.param(view(HOLD, ours()), [], [], id="as ordered"),
        pytest.param(view(HOLD, ours("other")), ["Replace"], [], id="another program: no turn needed"),
        pytest.param(view(HOLD, ours("other"), built=frozenset()), ["Build"], ["Compiling"], id="another program: built first"),
        pytest.param(view(HOLD, ours(mode=XdpMode.GENERIC)), [], ["WaitingForTurn"], id="another XDP mode waits"),
        pytest.param(view(ORDER, ours(mode=XdpMode.GENERIC)), ["Attach"], [], id="another XDP mode, allowed"),
        pytest.param(view(ORDER, FOREIGN, records=Records()), [], ["Conflict"], id="foreign first"),
        pytest.param(view(HOLD, ours(ifindex=0), records=LEFT), ["Reattach"], [], id="device away and back, same index"),
        pytest.param(view(HOLD, replace(ours(ifindex=0), ifindex=9)), ["Reattach"], [], id="device away and back, another index"),
        pytest.param(view(ORDER, ours(ifindex=0)), ["NoteDetached"], ["Detached"], id="detached by hand: noted"),
        pytest.param(view(ORDER, ours(ifindex=0), records=NOTED), [], ["Detached"], id="detached by hand: not fought"),
        pytest.param(view(ORDER, ours(ifindex=0), records=NOTED_BEFORE), ["Reattach"], [], id="detached, order changed"),
        pytest.param(view(HOLD, ours(ifindex=0), records=NOTED_BEFORE), [], ["WaitingForTurn"], id="the same waits for its turn"),
        pytest.param(view(HOLD, ours(ifindex=0), records=NOTED, on_word=True), ["Reattach"], [], id="detached, `spillway on`"),
        pytest.param(
            view(ORDER, replace(ours(ifindex=0), attached=ObservedXdp(99, XdpMode.NATIVE)), records=NOTED_BEFORE, on_word=True),
            [],
            ["Conflict", "Detached"],
            id="detached and another's program there: left alone whatever is said",
        ),
        pytest.param(
            view(ORDER, replace(FREE, maps_pinned=True)), ["NoteDetached"], ["Detached"], id="our pin taken away: as detached"
        ),
        pytest.param(view(ORDER, ours(ifindex=77)), ["Detach"], ["Conflict"], id="our link is on a renamed device"),
        pytest.param(view(IDLE, ours()), ["Build"], ["Compiling"], id="idle: the passing program is built"),
        pytest.param(view(EMPTY, ours()), ["Detach"], [], id="empty, allowed"),
        pytest.param(
            view(replace(EMPTY, attach=Turn.HOLD), ours()), ["WriteSwitches"], ["WaitingForTurn"], id="empty, on hold: relief"
        ),
        pytest.param(view(replace(EMPTY, attach=Turn.HOLD), ours(ifindex=0)), ["Detach"], [], id="empty: no link, no turn"),
        pytest.param(view(EMPTY, FOREIGN, records=Records()), [], [], id="empty: a foreign program is left alone"),
        pytest.param(view(ORDER, replace(ours(), carrier=False)), [], ["LinkDown"], id="no carrier: said, nothing else"),
    ],
)
def test_interface(given, actions, reasons):
    assert steps(given) == (actions, [Reason(each) for each in reasons])


def test_actions_carry_what_they_need():
    """An attach brings its modes along: the first packet meets the right ones."""
    (attach,) = make_plan(view(HOLD, FREE)).actions
    assert attach == Attach("eth0", DIGEST, XdpMode.NATIVE, ENFORCING)
    assert make_plan(view(HOLD, ours("other"))).actions == (Replace("eth0", DIGEST),)
    assert make_plan(view(EMPTY, ours())).actions == (Detach("eth0"),)
    assert make_plan(view(ORDER, ours(ifindex=0))).actions == (NoteDetached("eth0", wish_hash(ORDER)),)
    assert make_plan(view(ORDER, ours(ifindex=0), records=NOTED_BEFORE)).actions == (Reattach("eth0"),)


def test_mode_and_kill_switch_are_data():
    """A change of mode, and the kill switch, write a map and touch no program."""
    monitored = replace(ORDER, filters=(replace(FILTER, mode=Mode.MONITOR),))
    assert make_plan(view(monitored, ours())).actions == (WriteSwitches("eth0", MONITORING),)
    off = make_plan(view(ORDER, ours(), enforcement=False))
    assert off.actions == (WriteSwitches("eth0", replace(ENFORCING, enforcement=False)),)


def test_data_comes_before_programs():
    peers = (PeerEntry(ip_network("10.0.0.1"), Peers.NODES),)
    plan = make_plan(replace(view(ORDER, ours("other"), enforcement=False), peers=peers, peers_written=None))
    assert [type(each) for each in plan.actions] == [WritePeers, WriteSwitches, Replace]


def test_turn_does_not_change_what_is_wished():
    """Giving a turn and taking it back is no changed order: it must not end `Detached`."""
    assert wish_hash(ORDER) == wish_hash(HOLD) == wish_hash(replace(ORDER, report_seconds=60))
    assert wish_hash(ORDER) != wish_hash(IDLE)


def test_refused_attempt_is_told_and_not_repeated():
    draft = DRAFTS.interfaces["eth0"]
    told = Finding(Reason.NOT_SUPPORTED, "MTU 9000", "eth0")
    plan = make_plan(view(ORDER, FREE, refused={attempt_of(FREE, draft): told}))
    assert (plan.actions, plan.findings) == ((), (told,))
    changed = make_plan(view(ORDER, replace(FREE, mtu=1500 - 8), refused={attempt_of(FREE, draft): told}))
    assert isinstance(changed.actions[0], Attach), "another MTU is another attempt"


def test_what_another_device_cannot_run_as_it_was_makes_way():
    """The device came back as one with another driver: the pinned program goes, and the ordered mode is tried for itself."""
    seen = replace(ours(ifindex=0), ifindex=9)
    attempt = attempt_of(seen, DRAFTS.interfaces["eth0"])
    refusals = {reason: {attempt: Finding(reason, "", "eth0")} for reason in (Reason.NOT_SUPPORTED, Reason.TRANSIENT)}
    assert make_plan(view(HOLD, seen, refused=refusals[Reason.NOT_SUPPORTED])).actions == (Detach("eth0", again=True),)
    assert make_plan(view(HOLD, seen, refused=refusals[Reason.TRANSIENT])).actions == ()


def test_orphans():
    """What a device left behind is cleared; a link that lives on under another name is a filter still, and waits for its turn."""
    gone = ObservedNode((), (), (("eth0", PinnedLink(7, 0, 31, "", DIGEST)),))
    assert make_plan(View(order=HOLD, node=gone)).actions == (Detach("eth0", again=True),)
    renamed = ObservedNode((), (), (("eth0", PinnedLink(7, 5, 31, "", DIGEST)),))
    assert make_plan(View(order=HOLD, node=renamed)).waiting_for_turn == ("eth0",)
    assert make_plan(View(order=EMPTY, node=renamed)).actions == (Detach("eth0", again=False),)


def test_build_names_the_interface_and_the_program():
    (build,) = make_plan(view(HOLD, ours("other"), built=frozenset())).actions
    assert build == Build("eth0", DIGEST, DRAFTS.interfaces["eth0"].spec)
