"""The answer of `spillway check` for a person: faults first, then each filter, then what they do together."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from textwrap import indent

from spillway_crds.filters import FloodFilter
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.describe import claim_text, interfaces_text, match_text, queues_text, selector_text, stream_text
from spillway_dataplane.cli.manifests import Loaded, printable
from spillway_dataplane.cli.programs import ProgramPreview
from spillway_dataplane.cli.review import Remark, Review, touched_flows

ERROR, WARNING, GOOD, QUIET = "bold red", "yellow", "green", "dim"


def print_check(say: Say, loaded: Loaded, seen: Review, programs: tuple[ProgramPreview, ...]) -> None:
    """Say everything. Faults go to standard error, one line each, as compilers do it."""
    _print_faults(loaded)
    for other in loaded.ignored:
        where = f"{other.file}:{other.line}: document {other.number}"
        say.line(printable(f"{where}: {other.kind} {other.name} is not ours: ignored"), QUIET)
    for each in loaded.filters:
        _print_filter(say, each)
    for stream in loaded.streams:
        say.line()
        say.line(stream_text(stream.stream))
    for claim in loaded.claims:
        say.line()
        say.line(claim_text(claim.claim))
    if programs:
        _print_programs(say, programs)
        _print_refusals(say, programs)
    _print_remarks(say, "What links will feel", seen.disturbances, "")
    _print_remarks(say, "Good to know", seen.warnings, WARNING)
    _print_remarks(say, "Contradictions", seen.contradictions, ERROR)
    _print_verdict(say, loaded, seen, programs)


def _print_faults(loaded: Loaded) -> None:
    for unreadable in loaded.unreadable:
        print(f"{unreadable.file}: {unreadable.reason}", file=sys.stderr)
    for fault in loaded.faults:
        print(fault, file=sys.stderr)
    sys.stderr.flush()


def _print_filter(say: Say, each: FloodFilter) -> None:
    content = each.spec.content
    suspended = ", suspended" if each.spec.suspend else ""
    say.line()
    say.line(f"FloodFilter {each.name}: {each.spec.mode.value}{suspended}, priority {content.priority}", "bold")
    say.line(
        f"  nodes: {selector_text(each.spec.node_selector)}; interfaces: {interfaces_text(content)}; "
        f"receive queues: {queues_text(content.rx_queue_ids)}; XDP: {content.xdp_mode.value}"
    )
    if content.exempt:
        say.line(f"  exempt: {' '.join(map(str, content.exempt))}")
    rows = [(rule.name, rule.action.value, match_text(rule.match), " ".join(touched_flows(rule))) for rule in content.rules]
    say.table("", ("Rule", "Action", "Matches", "Failsafe flows that pass"), rows)


def _print_programs(say: Say, programs: Iterable[ProgramPreview]) -> None:
    columns = ("Interface", "Filters, in deciding order", "Rules#", "Queues", "Chained#", "C lines#", "Digest", "Verifier")
    say.table("One program for each interface, on a node that runs all these filters", columns, map(_program_row, programs))


def _print_refusals(say: Say, programs: Iterable[ProgramPreview]) -> None:
    for each in programs:
        if each.refusal:
            say.line(f"The program for {each.interface} is refused", ERROR)
            say.line(indent(each.refusal, "  "))
            say.line()


def _program_row(each: ProgramPreview) -> tuple[object, ...]:
    filters, queues = " > ".join(each.filters), queues_text(each.queue_ids)
    return each.interface, filters, each.rules, queues, each.chained, each.source_lines, each.digest, _outcome(each)


def _outcome(each: ProgramPreview) -> str:
    if each.refusal:
        return "refused"
    return f"accepted, {each.instructions:,} instructions" if each.instructions else "not asked (--compile)"


def _print_remarks(say: Say, title: str, remarks: Iterable[Remark], style: str) -> None:
    remarks = tuple(remarks)
    if remarks:
        say.line(title, "bold")
    for each in remarks:
        say.line(f"  {', '.join(each.filters)}: {each.message}", style)
    if remarks:
        say.line()


def _print_verdict(say: Say, loaded: Loaded, seen: Review, programs: tuple[ProgramPreview, ...]) -> None:
    bad = {
        "unreadable": len(loaded.unreadable),
        "problem": len(loaded.faults),
        "contradiction": len(seen.contradictions),
        "refused program": sum(bool(each.refusal) for each in programs),
    }
    said = ", ".join(_counted(count, what) for what, count in bad.items() if count)
    count = len(loaded.filters) + len(loaded.streams) + len(loaded.claims)
    valid = f"{count} valid" if count or said else "nothing to check: no FloodFilter, BypassStream or claim in there"
    say.line(f"{valid}; {said}" if said else valid, ERROR if said else GOOD)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 or what == "unreadable" else f"{count} {what}s"
