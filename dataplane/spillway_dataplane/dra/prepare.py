"""Claims that this node holds: prepared, kept over restarts, given up when kubelet says so.

Kubelet asks again for a failed claim only after more than a minute, and gives up a call after 45 s; so what may pass by itself
is waited for inside the call. The commonest case is a pod that was deleted by force: its successor's claim comes before its own
is given back.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from spillway_crds.errors import Conflict, InvalidIntent, KernelError, SpillwayError, Transient
from spillway_dataplane.apicalls import NOT_FOUND, ApiRefused
from spillway_dataplane.dra.checkpoint import Checkpoints
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef, RingRecord, allocated_devices, granted, read_claim
from spillway_dataplane.dra.grants import Grants
from spillway_dataplane.dra.names import claim_path
from spillway_dataplane.dra.ports import Keeper, MakeApi
from spillway_dataplane.dra.report import Report, report_failure
from spillway_dataplane.stream.model import RingOrder

LOG = logging.getLogger(__name__)
LOOK_AGAIN_S = 0.25  # while waiting; a ring that is given back wakes us at once
Result = TypeVar("Result")


class Claims:
    """All claims of this node. Any thread may call; calls for one claim take turns.

    grants: what may be handed out now. tell: called when the set of claims, or what is known of one, changed.
    """

    def __init__(
        self,
        node_name: str,
        *,
        keeper: Keeper,
        checkpoints: Checkpoints,
        make_api: MakeApi,
        grants: Callable[[], Grants],
        tell: Callable[[], None],
    ) -> None:
        self._node_name, self._keeper, self._checkpoints, self._make_api = node_name, keeper, checkpoints, make_api
        self._grants, self._tell = grants, tell
        self._news = threading.Condition()
        self._busy: set[str] = set()
        self._unwanted: set[str] = set()
        self._stopping = False
        self._prepared: dict[str, ClaimRecord] = {}
        self._failed: dict[str, Report] = {}
        self._unopened: set[str] = set()

    @property
    def prepared(self) -> tuple[ClaimRecord, ...]:
        """Every claim that is held, in order of their uids."""
        with self._news:
            return tuple(record for _, record in sorted(self._prepared.items()))

    @property
    def failed(self) -> tuple[Report, ...]:
        """What is to be told of claims that could not be prepared, until kubelet gives them up or they succeed."""
        with self._news:
            return tuple(self._failed.values())

    @property
    def unopened(self) -> frozenset[str]:
        """Uids of claims that are held and whose rings this process has not opened yet."""
        with self._news:
            return frozenset(self._unopened)

    def recover(self) -> None:
        """Hold again what was prepared before a restart or a boot. What does not open yet, `retry` opens later."""
        for record in self._checkpoints.read_all():
            self._checkpoints.write_cdi(record)
            with self._news:
                self._prepared[record.ref.uid] = record
                self._unopened.add(record.ref.uid)
        self.retry()

    def retry(self) -> None:
        """Try to open what could not be opened since a restart. A claim that another thread works on is left to that."""
        for uid in sorted(self.unopened):
            with self._turn(uid, wait=False) as ours:
                record = self._prepared.get(uid)
                if ours and record is not None:
                    self._reopen(record)

    def _reopen(self, record: ClaimRecord) -> None:
        try:
            for ring in record.rings:
                self._keeper.open(self._order(record, ring))
        except (SpillwayError, OSError) as error:
            LOG.warning("claim %s cannot be held again yet: %s", record.ref, error)
        else:
            self._settle(record)

    def prepare(self, ref: ClaimRef, deadline: float) -> ClaimRecord:
        """Open a claim's rings and write it down. The same claim again gives the same answer.

        deadline: monotonic time until which may be waited for what may pass. Raises SpillwayError.
        """
        with self._turn(ref.uid):
            known = self._prepared.get(ref.uid)
            record = self._still_granted(known) if known else self._read(ref, deadline)
            try:
                self._open(record, deadline, keep=known is not None)
            except SpillwayError as error:
                self._fail(ref, ((each.pool, each.device) for each in record.rings), error)
                raise
            self._settle(record)
            return record

    def _fail(self, ref: ClaimRef, devices: Iterable[tuple[str, str]], error: SpillwayError) -> None:
        with self._news:
            self._failed[ref.uid] = report_failure(ref, devices, error)
        self._tell()

    def unprepare(self, uid: str) -> None:
        """Give a claim's rings up and forget it. One that is not known is no error: it may have been given back before."""
        with self._news:
            self._unwanted.add(uid)
            self._news.notify_all()
        try:
            with self._turn(uid):
                self._give_up(uid)
        finally:
            with self._news:
                self._unwanted.discard(uid)
                self._news.notify_all()
        self._tell()

    def _give_up(self, uid: str) -> None:
        record = self._prepared.get(uid)
        for ring in record.rings if record else ():
            self._keeper.close(record.key(ring) if record else "")
        self._checkpoints.remove(uid)
        with self._news:
            for each in (self._prepared, self._failed):
                each.pop(uid, None)
            self._unopened.discard(uid)

    def note_connected(self, uid: str) -> None:
        """Remember that an application has held a ring of this claim: its container has the socket, then."""
        with self._turn(uid, wait=False) as ours:
            record = self._prepared.get(uid)
            if not ours or record is None or record.connected:
                return
            seen = replace(record, connected=True)
            with self._news:
                self._prepared[uid] = seen
            try:
                self._checkpoints.write(seen)
            except OSError as error:
                LOG.warning("claim %s: %s", record.ref, error)

    def stop(self) -> None:
        """Begin nothing more, and return when what was begun has ended. Who waits fails, and kubelet asks again."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self._busy)

    @contextmanager
    def _turn(self, uid: str, *, wait: bool = True) -> Iterator[bool]:
        """Work on one claim alone. Yields False where it is another's turn and was not to be waited for.

        Raises Transient when this process hands over to another.
        """
        with self._news:
            if wait:
                self._news.wait_for(lambda: uid not in self._busy or self._stopping)
            if self._stopping:
                raise Transient(operation=f"work on claim {uid}", detail="this process of the driver is ending")
            ours = uid not in self._busy
            self._busy.add(uid)
        try:
            yield ours
        finally:
            with self._news:
                if ours:
                    self._busy.discard(uid)
                    self._news.notify_all()

    def _read(self, ref: ClaimRef, deadline: float) -> ClaimRecord:
        def ask() -> ClaimRecord:
            raw = self._make_api().get(claim_path(ref.namespace, ref.name))
            try:
                return read_claim(raw, ref, self._node_name, self._grants())
            except InvalidIntent as error:
                self._fail(ref, allocated_devices(raw, self._node_name), error)
                raise

        return self._patiently(ref.uid, deadline, ask, may_pass=_api_may_recover)

    def _still_granted(self, record: ClaimRecord) -> ClaimRecord:
        for ring in record.rings:
            granted(ring, record.ref.namespace, self._grants())
        return record

    def _open(self, record: ClaimRecord, deadline: float, *, keep: bool) -> None:
        """keep: rings that opened stay when another does not: they were another pod's before this call."""
        try:
            for ring in record.rings:
                step = partial(self._keeper.open, self._order(record, ring))
                self._patiently(record.ref.uid, deadline, step, may_pass=_ring_may_come)
            self._checkpoints.write(record)
        except (SpillwayError, OSError) as error:
            for ring in record.rings if not keep else ():
                self._keeper.close(record.key(ring))
            if isinstance(error, OSError):
                raise KernelError(errno=error.errno or 0, operation=f"write down claim {record.ref}") from error
            raise

    def _order(self, record: ClaimRecord, ring: RingRecord) -> RingOrder:
        directory = self._checkpoints.make_directory(record, ring)
        return RingOrder(record.key(ring), directory, ring.interface, ring.queue, ring.parameters, str(record.ref))

    def _settle(self, record: ClaimRecord) -> None:
        with self._news:
            self._prepared[record.ref.uid] = record
            self._failed.pop(record.ref.uid, None)
            self._unopened.discard(record.ref.uid)
        self._tell()

    def _patiently(
        self, uid: str, deadline: float, step: Callable[[], Result], *, may_pass: Callable[[SpillwayError], bool]
    ) -> Result:
        """Do a step, again and again while it fails with what may pass, until the deadline."""
        while True:
            try:
                return step()
            except SpillwayError as error:
                if not may_pass(error) or time.monotonic() >= deadline:
                    raise
                with self._news:
                    if self._stopping or uid in self._unwanted:
                        raise
                    self._news.wait(min(LOOK_AGAIN_S, max(0.0, deadline - time.monotonic())))


def _api_may_recover(error: SpillwayError) -> bool:
    return isinstance(error, Transient) and not (isinstance(error, ApiRefused) and error.status == NOT_FOUND)


def _ring_may_come(error: SpillwayError) -> bool:
    """Whether waiting may help: whoever holds the queue may be on the way out, or the kernel not done with cleaning up."""
    busy = isinstance(error, KernelError) and error.errno == errno.EBUSY
    return busy or isinstance(error, Transient | Conflict)
