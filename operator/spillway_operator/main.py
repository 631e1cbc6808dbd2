"""The order of things: health, lease, caches, queues, kopf; and back again.

A CRD that is gone ends neither the process nor any filter: what can be watched is watched, orders are held, and the rest goes on
when the CRD is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spillway_crds.errors import InvalidIntent
from spillway_operator import __version__, metrics
from spillway_operator.api.calls import connect
from spillway_operator.candidacy import begin_anew, make_lease
from spillway_operator.config.settings import Config, read_config
from spillway_operator.handlers import Watch
from spillway_operator.health import Health
from spillway_operator.reconcile import Place, Reconciler

log = logging.getLogger(__name__)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BAD_CONFIG = 2  # exit status
DEFAULT_CONFIG = "/etc/spillway/config.json"
WATCH_RETRY_S = 2.0
WATCH_RETRIES = 5  # in a row, each ended within WATCH_SHORT_S
WATCH_SHORT_S = 60.0
FILL_RETRY_S = 1.0
REST_S = 3.0  # before beginning anew after a failure: whoever stands by leads by then


def main() -> int:
    """Run the operator until a signal. Returns the exit status."""
    set_up_logging()
    try:
        config = config_from_environment()
    except (InvalidIntent, OSError) as error:
        log.error("configuration: %s", error)
        return BAD_CONFIG
    health = Health()
    health.serve(int(os.environ.get("HEALTH_PORT", "8080")))
    metrics.serve(int(os.environ.get("METRICS_PORT", "8081")))
    log.info("spillway-operator %s", __version__)
    return lead(config, place_from_environment(), health, stop_on_signals())


def lead(config: Config, place: Place, health: Health, stop: threading.Event) -> int:
    """Stand by, then lead until stopped. A standby is ready once somebody leads: a ready Deployment is one that works."""
    lease = make_lease(place, stop)
    if not lease.acquire(stop, led=health.stand_by):
        return 0
    lease.keep(alive=health.is_alive, lost=begin_anew)
    try:
        asyncio.run(_lead_until_signal(config, place, health, stop))
    except Exception:
        log.exception("leading ended")
    finally:
        lease.release()
    if not stop.is_set():
        time.sleep(REST_S)
        begin_anew()
    return 0


async def _lead_until_signal(config: Config, place: Place, health: Health, stop: threading.Event) -> None:
    stopping = asyncio.Event()

    def heed() -> None:
        stop.set()
        stopping.set()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, heed)
    if stop.is_set():  # it came before the handlers were there
        return
    await operate(config, place, health, stopping)


async def operate(config: Config, place: Place, health: Health, stopping: asyncio.Event) -> None:
    """Be the operator until `stopping`. To be called by the holder of the lease only.

    Raises what made a queue or kopf fail; another one leads then.
    """
    health.ready = False
    beating = asyncio.create_task(health.beat())
    try:
        async with connect() as api:
            reconciler = Reconciler(api, config, place)
            if not await _filled(reconciler, stopping):
                return
            await reconciler.report_all()
            health.ready = True
            metrics.LEADING.set(1)
            working = asyncio.create_task(reconciler.run())
            try:
                await _watch(reconciler, place, working, stopping)
            finally:
                await cancelled(working)
    finally:
        beating.cancel()
        metrics.LEADING.set(0)


async def _filled(reconciler: Reconciler, stopping: asyncio.Event) -> bool:
    """List everything, again and again until it succeeds. False if `stopping` was set first.

    An API server that is just back has not read tokens, rights and CRDs yet, and refuses for a moment what it answers soon.
    """
    while not stopping.is_set():
        try:
            await reconciler.fill()
        except Exception as error:
            log.warning("first listing failed, again in %g s: %r", FILL_RETRY_S, error)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FILL_RETRY_S)
    return False


async def _watch(reconciler: Reconciler, place: Place, working: asyncio.Task[None], stopping: asyncio.Event) -> None:
    """Keep kopf over the kinds that are there; begin it anew when a CRD comes or goes."""
    failures = 0
    while not stopping.is_set():
        reconciler.crds_changed.clear()
        watches, begun_at = _watches(reconciler, place), _now()
        try:
            await first_of((*(watch.ended for watch in watches), working), (stopping, reconciler.crds_changed))
        finally:
            await asyncio.gather(*(watch.stop() for watch in watches))
        if working.done():
            working.result()
            return
        errors = [error for watch in watches if (error := watch.ended.exception()) is not None]
        if errors and not stopping.is_set():
            failures = failures + 1 if _now() - begun_at < WATCH_SHORT_S else 1
            await _after_failure(reconciler, errors[0], failures)


def _watches(reconciler: Reconciler, place: Place) -> list[Watch]:
    """One for what is cluster-scoped or in our own namespace, one for what users have in theirs: a kopf has one scope."""
    sink = reconciler.intake.take_event
    watches = [Watch(kinds, "" if everywhere else place.namespace, sink) for kinds, everywhere in reconciler.intake.scopes()]
    for watch in watches:
        watch.start()
    return watches


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _after_failure(reconciler: Reconciler, error: BaseException, failures: int) -> None:
    """kopf ends when a watched kind is gone: that is no failure of ours. Raises the error when it comes too often."""
    log.warning("kopf ended (%d in a row): %r", failures, error)
    if failures > WATCH_RETRIES:
        raise error
    await asyncio.sleep(WATCH_RETRY_S)
    try:
        await reconciler.crds.refresh()
    except Exception as unread:  # an API server that is away says nothing about CRDs
        log.info("CRDs not read: %r", unread)


async def first_of(futures: Iterable[asyncio.Future[Any]], events: Iterable[asyncio.Event]) -> None:
    """Wait until one of the futures is done or one of the events is set."""
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({*futures, *waiters}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; what it raised is for whoever awaits it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def place_from_environment() -> Place:
    """Where this pod is, as its environment says."""
    return Place(
        namespace=os.environ.get("POD_NAMESPACE", "spillway-system"),
        instance=os.environ.get("POD_NAME") or socket.gethostname(),
        daemonset=os.environ.get("DATAPLANE_DAEMONSET", "spillway-dataplane"),
        deployment=os.environ.get("OPERATOR_DEPLOYMENT", "spillway-operator"),
    )


def config_from_environment() -> Config:
    """The mounted configuration. Raises InvalidIntent or OSError."""
    return read_config(Path(os.environ.get("SPILLWAY_CONFIG", DEFAULT_CONFIG)))


def set_up_logging() -> None:
    """One line for each message, to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr)


def stop_on_signals() -> threading.Event:
    """Set when a signal asks to stop; until the loop has its own handlers."""
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop
