"""The driver's process: it serves kubelet from the first moment, and acts on the node while it has the node's lock.

Nothing here ends a ring: applications go on sending while the driver is stopped, crashes or is updated.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from queue import Empty

from spillway_crds.errors import Transient
from spillway_dataplane.dra.checkpoint import Checkpoints
from spillway_dataplane.dra.kubelet import Kubelet
from spillway_dataplane.dra.metrics import Snapshot
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.offering import Observe, Offering
from spillway_dataplane.dra.ports import Keeper, MakeApi
from spillway_dataplane.dra.prepare import Claims
from spillway_dataplane.dra.publisher import SlicePublisher
from spillway_dataplane.dra.reporter import ClaimReporter
from spillway_dataplane.dra.settings import StreamSettings
from spillway_dataplane.dra.sockets import remove_dead_sockets
from spillway_dataplane.dra.surroundings import NOTHING_NEAR, Near
from spillway_dataplane.dra.tenure import Tenure
from spillway_dataplane.kept.store import Store
from spillway_dataplane.lock import NodeLock
from spillway_dataplane.source import Inbox, LinksChanged, LockTaken, Stop

LOG = logging.getLogger(__name__)
DEAD_AFTER_S = 60.0
BEAT_S = 10.0
GOODBYE_S = 2.0
NEWS = LinksChanged()  # something changed: the loop looks at everything anyway
MakeKeeper = Callable[[], AbstractContextManager[Keeper]]  # leaving the context keeps the applications' rings alive
Watch = Callable[[Callable[[], None]], AbstractContextManager[object]]  # of links and of streams.json


class Driver:
    """One process. make_keeper: a fresh keeper for each time that it acts. watch: calls back when something changed.

    near: looks at what is near cards.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        make_keeper: MakeKeeper,
        make_api: MakeApi,
        observe: Observe,
        watch: Watch,
        near: Near = NOTHING_NEAR,
    ) -> None:
        self._settings = settings
        self._make_keeper, self._make_api, self._observe, self._watch = make_keeper, make_api, observe, watch
        self._near = near
        self._news = threading.Condition()
        self._claims: Claims | None = None
        self._ending = False
        self._snapshot, self._beat, self._api_errors = Snapshot(), time.monotonic(), 0
        self._kubelet = Kubelet(settings.plugin_socket, settings.registration_socket, self._acting)
        settings.plugin.mkdir(parents=True, exist_ok=True)
        self.store = Store(settings.plugin)
        self.inbox: Inbox = Inbox()

    @property
    def alive(self) -> bool:
        """Whether the loop goes round; one that waits for the lock is alive too."""
        return time.monotonic() - self._beat < DEAD_AFTER_S

    @property
    def ready(self) -> bool:
        """Whether this process acts, holds again what was prepared before, and is known to kubelet."""
        return self._claims is not None and self._kubelet.registered

    @property
    def snapshot(self) -> Snapshot:
        """The latest figures."""
        return replace(self._snapshot, api_errors=self._api_errors, registered=self._kubelet.registered)

    def run(self) -> None:
        """Serve, wait for the lock, act, hand over, and wait again, until told to stop. Raises KernelError without sockets."""
        lock = NodeLock(self.store)
        self._kubelet.start()
        try:
            lock.request(self.inbox, ask=True)
            while self._wait_for_lock():
                if self._act(lock):
                    return
                self._snapshot = Snapshot()
                lock.release()
                lock.request(self.inbox, ask=False)
        finally:
            with self._news:
                self._ending = True
                self._news.notify_all()
            self._kubelet.stop(GOODBYE_S)
            lock.close()

    def _wait_for_lock(self) -> bool:
        """Return True once the lock is ours, False when it is time to stop."""
        while True:
            self._beat = time.monotonic()
            try:
                wakeup = self.inbox.get(timeout=BEAT_S)
            except Empty:
                continue
            if isinstance(wakeup, Stop):
                return False
            if isinstance(wakeup, LockTaken):
                return True

    def _act(self, lock: NodeLock) -> bool:
        """Return True when it is time to stop, False when another process wants the node."""
        publisher = SlicePublisher(self._settings.node_name, self._make_api, self._answered)
        offering = Offering(self._settings.config, self._observe, publisher.offer)
        reporter = ClaimReporter(self._make_api, lambda: offering.grants.report_seconds, self._answered)
        with ExitStack() as leaving:
            keeper = leaving.enter_context(self._make_keeper())
            keeper.on_change = self._changed
            claims = self._hold(keeper, offering)
            leaving.callback(self._let_go, claims)
            for each in (publisher, reporter):
                each.start()
                leaving.callback(each.stop, GOODBYE_S)
            leaving.enter_context(self._watch(self._changed))
            tenure = Tenure(
                keeper=keeper,
                claims=claims,
                offering=offering,
                reporter=reporter,
                inbox=self.inbox,
                tell=self._tell,
                wanted_by_another=lambda: lock.wanted_by_another,
                clocks=self._near.ptp_clocks,
            )
            return tenure.run()

    def _hold(self, keeper: Keeper, offering: Offering) -> Claims:
        """Hold again what was prepared before; only then may kubelet's calls come through."""
        checkpoints = Checkpoints(self._settings.claims, self._settings.cdi, self._near.surroundings)
        checkpoints.prepare()
        remove_dead_sockets(self._settings.registration_socket.parent, f"{QUEUE_DRIVER}-*")
        remove_dead_sockets(self._settings.plugin, "dra-*.sock")
        offering.look(time.monotonic())
        claims = Claims(
            self._settings.node_name,
            keeper=keeper,
            checkpoints=checkpoints,
            make_api=self._make_api,
            grants=lambda: offering.grants,
            hindrance=offering.hindrance,
            frames_bytes=self._settings.frames_bytes,
            tell=self._changed,
        )
        claims.recover()
        with self._news:
            self._claims = claims
            self._news.notify_all()
        LOG.info("this process acts on the node; %d claims, %d of them not open yet", len(claims.prepared), len(claims.unopened))
        return claims

    def _let_go(self, claims: Claims) -> None:
        with self._news:
            self._claims = None
        claims.stop()

    def _acting(self, deadline: float) -> Claims:
        """Wait until this process acts. Raises Transient when that does not come in time."""
        with self._news:
            remaining_s = max(0.0, deadline - time.monotonic())
            self._news.wait_for(lambda: self._claims is not None or self._ending, remaining_s)
            if self._claims is None:
                raise Transient(operation="act on this node", detail="another process of this driver holds the node's lock")
            return self._claims

    def _changed(self) -> None:
        self.inbox.put(NEWS)

    def _answered(self, good: bool) -> None:
        self._api_errors += not good

    def _tell(self, snapshot: Snapshot) -> None:
        self._snapshot, self._beat = snapshot, time.monotonic()
