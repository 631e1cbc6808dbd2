"""`python -m spillway_dataplane streams`: the driver with the real kernel, the real API and the real keeper of rings."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spillway_crds.errors import SpillwayError
from spillway_dataplane import __version__
from spillway_dataplane.api.calls import ApiCalls, load_configuration
from spillway_dataplane.dra.driver import Driver
from spillway_dataplane.dra.metrics import StreamCollector
from spillway_dataplane.dra.near import observe_ptp, observe_surroundings
from spillway_dataplane.dra.observe import observe_cards
from spillway_dataplane.dra.settings import StreamSettings, read_settings
from spillway_dataplane.dra.surroundings import Near
from spillway_dataplane.kernel.events import watch
from spillway_dataplane.kernel.inotify import FolderWatch
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.wakes import Wakes
from spillway_dataplane.web import serve

LOG = logging.getLogger("spillway_dataplane")
FAILED, USAGE = 1, 2
KEEPER_PATIENCE_S = 0.2  # of one try; prepare.py waits longer, and hears meanwhile what else kubelet says
PUBLIC = 0o022  # umask: an application of any uid reaches its ring's directory


@contextmanager
def ring_keeper() -> Iterator[RingKeeper]:
    """A keeper that leaves rings to their applications at the end."""
    keeper = RingKeeper(patience_s=KEEPER_PATIENCE_S)
    try:
        yield keeper
    finally:
        keeper.stop()


class SharedApi:
    """One client for all threads, made when there is a token and an address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: ApiCalls | None = None

    def __call__(self) -> ApiCalls:
        """Return the client. Raises Transient until it can be made."""
        with self._lock:
            if self._made is None:
                self._made = ApiCalls(load_configuration(), f"spillway-streams/{__version__}")
            return self._made


def changes_of(config: Path) -> Callable[[Callable[[], None]], ExitStack]:
    """Return what calls back when links or the grants change, until its context is left."""

    def begin(changed: Callable[[], None]) -> ExitStack:
        with ExitStack() as watches:
            watches.enter_context(watch(lambda _: changed()))
            try:
                watches.enter_context(FolderWatch(config.parent, lambda _: changed()))
            except OSError as error:
                LOG.warning("%s is not watched, only read again now and then: %s", config.parent, error)
            return watches.pop_all()

    return begin


def make_driver(settings: StreamSettings) -> Driver:
    """Return the driver of this node."""
    return Driver(
        settings,
        make_keeper=ring_keeper,
        make_api=SharedApi(),
        observe=observe_cards,
        watch=changes_of(settings.config),
        near=Near(observe_surroundings, observe_ptp),
    )


def main() -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(PUBLIC)
    try:
        settings = read_settings(os.environ)
    except (KeyError, ValueError) as error:
        LOG.error("the environment does not say what the driver of streams needs: %s", error)
        return USAGE
    LOG.info("spillway-streams %s on node %s", __version__, settings.node_name)
    try:
        run(settings)
    except (SpillwayError, OSError) as error:
        LOG.error("the driver of streams cannot work here: %s", error)
        return FAILED
    LOG.info("stopped; rings that applications hold go on")
    return 0


def run(settings: StreamSettings) -> None:
    """Serve kubelet, metrics and applications until told to stop. Raises SpillwayError or OSError where nothing can be served."""
    driver = make_driver(settings)
    Wakes(driver.store, driver.inbox).install()
    if settings.metrics_port:
        address = str(min(settings.node_addresses, key=str, default="127.0.0.1"))
        collector = StreamCollector(lambda: driver.snapshot)
        serve((address, settings.metrics_port), collector, alive=lambda: driver.alive, ready=lambda: driver.ready)
    gc.collect()
    gc.freeze()  # modules live as long as the process: no collection has to look at them again
    driver.run()
