"""`spillway status`: what filters on this node, from the kernel and the node's disk; with the agent, or when it is gone."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from spillway_crds.failsafe import FLOW_NAMES
from spillway_crds.orders import Totals
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import Exit
from spillway_dataplane.cli.node_files import read_kernel, read_memory
from spillway_dataplane.cli.node_view import FREE, FilterView, InterfaceView, NodeView, view_node
from spillway_dataplane.kept.store import Store
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import PINS

Json = dict[str, Any]
COUNT_COLUMNS = ("Matched#", "Dropped#", "Would drop#", "Dropped bytes#")


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Look, and say what there is. Raises SpillwayError when the kernel does not let us look."""
    view = look(Datapath(arguments.bpffs / PINS), Store(arguments.state))
    if say.is_json:
        say.value(status_value(view))
    else:
        print_status(say, view, every_interface=arguments.all_interfaces)
    return Exit.OK


def look(datapath: Datapath, store: Store) -> NodeView:
    """Return what runs on this node."""
    memory = read_memory(store)
    node = datapath.observe()
    slots = (slot for _, slot in (*memory.records.slots.rules, *memory.records.slots.retired))
    return view_node(node, memory, read_kernel(datapath, node, slots))


def status_value(view: NodeView) -> Json:
    """The answer for a program."""
    return {
        "enforcement": "Off" if view.off_by else "On",
        "enforcementOffBy": view.off_by,
        "agent": asdict(view.agent),
        "interfaces": [_interface_value(each) for each in view.interfaces],
        "filters": [_filter_value(each) for each in view.filters],
    }


def _interface_value(each: InterfaceView) -> Json:
    return {
        "name": each.name,
        "state": each.state,
        "port": each.port,
        "xdpMode": each.mode,
        "driver": each.driver,
        "rxQueues": each.rx_queues,
        "linkId": each.link_id,
        "programId": each.program_id,
        "programName": each.program_name,
        "programTag": each.program_tag,
        "digest": each.digest,
        "filters": list(each.filters),
        "malformedPackets": each.counts.malformed_packets,
        "unparsedPackets": each.counts.unparsed_packets,
        "failsafePackets": dict(zip(FLOW_NAMES, each.counts.failsafe_packets, strict=False)),
    }


def _filter_value(each: FilterView) -> Json:
    return {
        "name": each.name,
        "revision": each.revision,
        "state": each.state.value,
        "reason": each.reason,
        "message": each.message,
        "interfaces": list(each.interfaces),
        "totals": _camel(asdict(each.totals)),
        "rules": [{"name": rule.name, **_camel(asdict(rule.totals))} for rule in each.rules],
    }


def _camel(counts: dict[str, int]) -> dict[str, int]:
    first_and_rest = ((name.partition("_"), value) for name, value in counts.items())
    return {first + rest.title().replace("_", ""): value for (first, _, rest), value in first_and_rest}


def print_status(say: Say, view: NodeView, *, every_interface: bool) -> None:
    """The answer for a person."""
    say.line(f"agent: {view.agent}")
    if view.off_by:
        say.line(f"enforcement: OFF, by {view.off_by}: nothing is dropped", "bold red")
    else:
        say.line("enforcement: on")
    shown = [each for each in view.interfaces if every_interface or each.state != FREE]
    if not shown and not view.filters:
        say.line("No program of ours is attached, and no filter is ordered.")
        return
    columns = (
        "Interface",
        "Port",
        "XDP hook",
        "Mode",
        "Driver",
        "Queues#",
        "Link#",
        "Program",
        "Tag",
        "Filters, in deciding order",
    )
    if shown:
        say.table("Interfaces", columns, map(_interface_row, shown))
    if view.filters:
        _print_filters(say, view)
    _print_others(say, view, shown)


def _print_filters(say: Say, view: NodeView) -> None:
    say.table("Filters", ("Filter", "State", "Interfaces", *COUNT_COLUMNS), map(_filter_row, view.filters))
    trouble = [(each.name, each.reason, each.message) for each in view.filters if each.reason]
    if trouble:
        say.table("Not as ordered, as the agent said last", ("Filter", "Reason", "Message"), trouble)
    rules = [(each.name, rule.name, *_counts(rule.totals)) for each in view.filters for rule in each.rules]
    say.table("Rules", ("Filter", "Rule", *COUNT_COLUMNS), rules)


def _interface_row(each: InterfaceView) -> tuple[object, ...]:
    program = f"{each.program_id} {each.program_name}".strip() if each.program_id else ""
    link = each.link_id or ""
    return (
        each.name,
        each.port,
        each.state,
        each.mode,
        each.driver,
        each.rx_queues,
        link,
        program,
        each.program_tag,
        " > ".join(each.filters),
    )


def _filter_row(each: FilterView) -> tuple[object, ...]:
    return each.name, each.state.value, " ".join(each.interfaces), *_counts(each.totals)


def _counts(totals: Totals) -> tuple[int, int, int, int]:
    return totals.matched_packets, totals.dropped_packets, totals.would_drop_packets, totals.dropped_bytes


def _print_others(say: Say, view: NodeView, shown: list[InterfaceView]) -> None:
    rows = []
    for each in shown:
        numbers = {"malformed": each.counts.malformed_packets, "unparsed": each.counts.unparsed_packets}
        numbers |= {f"failsafe {name}": count for name, count in zip(FLOW_NAMES, each.counts.failsafe_packets, strict=False)}
        rows += [(each.name, what, count) for what, count in numbers.items() if count]
    if rows:
        say.table("Packets that passed whatever the rules say", ("Interface", "Kind", "Packets#"), rows)
