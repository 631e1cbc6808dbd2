"""`spillway run DIR`: the agent of a cluster's node, with a folder in the place of the cluster."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from spillway_dataplane.agent import Agent
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.folder import FolderSource
from spillway_dataplane.cli.lock_seen import see_agent
from spillway_dataplane.cli.run_report import RunReport
from spillway_dataplane.cli.this_machine import log_warnings, settings_here, watch_links
from spillway_dataplane.kept.store import LOCK, Store
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import Settings
from spillway_dataplane.wakes import Wakes

HOSTNAME_LABEL = "kubernetes.io/hostname"


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Filter until told to end. Raises CommandError: no such folder, or another agent acts on this machine."""
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise CommandError(Exit.UNREADABLE, str(folder), "is no folder")
    refuse_second_agent(Store(arguments.state))
    log_warnings()
    labels = {HOSTNAME_LABEL: platform.node(), **dict(arguments.node_label)}
    report = RunReport(say, folder, labels)
    agent = make_agent(settings_here(arguments), folder, labels, report)
    Wakes(agent.store, agent.inbox).install()
    report.begins()
    agent.run()
    report.ends()
    return Exit.OK


def make_agent(settings: Settings, folder: Path, labels: dict[str, str], report: RunReport) -> Agent:
    """Return the agent with the real kernel and a folder as its source."""
    return Agent(
        settings,
        kernel=Datapath(settings.pins),
        compile_source=compile_source,
        make_source=lambda: FolderSource(folder, labels, tell_loaded=report.loaded, tell_status=report.status),
        watch=watch_links,
    )


def refuse_second_agent(store: Store) -> None:
    """An agent of a cluster would hand the node over to us when asked; nobody who runs one wants that by mistake."""
    agent = see_agent(store.root / LOCK)
    if agent.working:
        raise CommandError(Exit.BUSY, "run", f"another agent ({agent}) acts on this machine")
