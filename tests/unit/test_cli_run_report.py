"""What `spillway run` says: each change once, and what no filter's state tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spillway_crds.orders import Condition, FilterState, FilterStatus, InterfaceStatus, NodeStatus, Totals
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.run_report import RunReport

CARD = InterfaceStatus("eth0", xdp_mode="Native", link_id=7, program_id=31)
FILTER = FilterStatus("dns", "u1", "dns-1", FilterState.ENFORCING)
STATUS = NodeStatus("", interfaces=(CARD,), filters=(FILTER,))


def lines(capsys, *statuses: NodeStatus) -> list[str]:
    """What is printed for reports one after the other, without the time."""
    report = RunReport(Say("text"), Path("filters"), {})
    for status in statuses:
        report.status(status)
    return [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]


def test_counts_alone_are_no_news(capsys):
    counted = replace(STATUS, filters=(replace(FILTER, totals=Totals(5, 300, 5, 300)),))
    once = ["filter dns: Enforcing", "interface eth0: program 31, Native", "enforcement: on"]
    assert lines(capsys, STATUS, counted) == once


def test_a_link_that_is_down_is_said_beside_its_program(capsys):
    """The filter is in force all the same; only its counts stand still."""
    down = Condition("LinkDown", "True", "LinkDown", "eth0 has no carrier: no packet arrives there")
    changed = replace(STATUS, interfaces=(replace(CARD, conditions=(down,)),))
    assert lines(capsys, STATUS, changed)[3:] == [
        "interface eth0: program 31, Native; eth0 has no carrier: no packet arrives there"
    ]


def test_why_a_filter_is_not_as_ordered_is_said(capsys):
    failed = replace(FILTER, state=FilterState.FAILED, reason="Conflict", message="eth0 runs XDP program 99")
    assert lines(capsys, replace(STATUS, filters=(failed,)))[0] == "filter dns: Failed (Conflict: eth0 runs XDP program 99)"
