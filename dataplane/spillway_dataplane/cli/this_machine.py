"""What commands that act as an agent know of the machine they run on."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from contextlib import AbstractContextManager
from ipaddress import ip_address

from spillway_dataplane.kernel import netlink
from spillway_dataplane.node.interfaces import Address
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, LinksChanged


def settings_here(arguments: argparse.Namespace) -> Settings:
    """Settings from the command line; NODE_NAME and NODE_IP, where they are set, say who this node is."""
    given = [each.strip() for each in os.environ.get("NODE_IP", "").split(",") if each.strip()]
    return Settings(
        node_name=os.environ.get("NODE_NAME", platform.node()),
        node_addresses=frozenset(map(ip_address, given)) or own_addresses(),
        state=arguments.state,
        bpffs=arguments.bpffs,
    )


def own_addresses() -> frozenset[Address]:
    """Addresses of what carries the default routes: a glob means such devices where no card is physical."""
    names = {route.ifname for route in netlink.default_routes()}
    return frozenset(address.ip for each in netlink.interfaces() if each.name in names for address in each.addresses)


def watch_links(inbox: Inbox) -> AbstractContextManager[object]:
    """Wake the agent when links, addresses or routes change."""
    return netlink.watch(lambda changes: inbox.put(LinksChanged(changes.went)))


def log_warnings() -> None:
    """What the agent's modules warn of, as lines on standard error like our own."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="spillway: %(message)s")
