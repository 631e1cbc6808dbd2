"""`python -m spillway_dataplane`: the agent of one node, as the DaemonSet starts it; with `streams`, its driver of streams."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from spillway_dataplane import __version__
from spillway_dataplane.agent import Agent
from spillway_dataplane.api.orders import ApiSource
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.kernel.events import Changes, watch
from spillway_dataplane.metrics import SpillwayCollector
from spillway_dataplane.settings import Settings, read_settings
from spillway_dataplane.source import Inbox, LinksChanged
from spillway_dataplane.wakes import Wakes
from spillway_dataplane.web import serve

LOG = logging.getLogger("spillway_dataplane")
USAGE = 2


@contextmanager
def network_changes(inbox: Inbox) -> Iterator[None]:
    """Put a wake-up into the inbox whenever interfaces, addresses or default routes change."""

    def changed(changes: Changes) -> None:
        inbox.put(LinksChanged(changes.went))

    with watch(changed):
        yield


def make_agent(settings: Settings) -> Agent:
    """Return the agent with the real kernel and the real API."""
    return Agent(
        settings,
        kernel=Datapath(settings.pins),
        compile_source=compile_source,
        make_source=lambda: ApiSource(settings.node_name, settings.namespace),
        watch=network_changes,
    )


def main() -> int:
    """Run until SIGTERM."""
    if sys.argv[1:] == ["streams"]:
        from spillway_dataplane.dra.main import main as streams  # noqa: PLC0415 - gRPC is nothing that the agent needs

        return streams()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = read_settings(os.environ)
    except (KeyError, ValueError) as error:
        LOG.error("the environment does not say what the agent needs: %s", error)
        return USAGE
    LOG.info("spillway-dataplane %s on node %s", __version__, settings.node_name)
    agent = make_agent(settings)
    Wakes(agent.store, agent.inbox).install()
    if settings.metrics_port:
        address = str(min(settings.node_addresses, key=str, default="127.0.0.1"))
        collector = SpillwayCollector(lambda: agent.snapshot, settings.per_rule)
        serve((address, settings.metrics_port), collector, alive=lambda: agent.alive, ready=lambda: agent.ready)
    gc.collect()
    gc.freeze()  # modules live as long as the process: no collection has to look at them again
    agent.run()
    LOG.info("stopped; what runs in the kernel goes on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
