"""`spillway run DIR`: the agent of a cluster's node, with a folder in the place of the cluster."""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from contextlib import AbstractContextManager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from spillway_dataplane.agent import Agent
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.folder import FolderSource
from spillway_dataplane.cli.node_files import lock_holder
from spillway_dataplane.cli.run_report import RunReport
from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, LinksChanged
from spillway_dataplane.store import LOCK, Store
from spillway_dataplane.wakes import Wakes

HOSTNAME_LABEL = "kubernetes.io/hostname"


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Filter until told to end. Raises CommandError: no such folder, or another agent acts on this machine."""
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise CommandError(Exit.UNREADABLE, str(folder), "is no folder")
    refuse_second_agent(Store(arguments.state))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="spillway: %(message)s")
    labels = {HOSTNAME_LABEL: platform.node(), **dict(arguments.node_label)}
    report = RunReport(say, folder, labels)
    source = FolderSource(folder, labels, tell_loaded=report.loaded, tell_status=report.status)
    settings = Settings(node_name=platform.node(), node_addresses=own_addresses(), state=arguments.state, bpffs=arguments.bpffs)
    agent = Agent(
        settings, kernel=Datapath(settings.pins), compile_source=compile_source, make_source=lambda: source, watch=watch_links
    )
    Wakes(agent.store, agent.inbox).install()
    report.begins()
    agent.run()
    report.ends()
    return Exit.OK


def refuse_second_agent(store: Store) -> None:
    """An agent of a cluster would hand the node over to us when asked; nobody who runs one wants that by mistake."""
    if holder := lock_holder(store.root / LOCK):
        raise CommandError(Exit.BUSY, "run", f"another agent (process {holder}) acts on this machine")


def own_addresses() -> frozenset[IPv4Address | IPv6Address]:
    """Addresses of what carries the default routes: a glob means such devices where no card is physical."""
    names = {route.ifname for route in netlink.default_routes()}
    return frozenset(address.ip for each in netlink.interfaces() if each.name in names for address in each.addresses)


def watch_links(inbox: Inbox) -> AbstractContextManager[object]:
    """Wake the agent when links, addresses or routes change."""
    return netlink.watch(lambda changes: inbox.put(LinksChanged()))
