"""Claims that this node holds: prepared, kept over restarts, given up when kubelet says so.

Kubelet asks again for a failed claim only after more than a minute, and gives up a call after 45 s; so what may pass by itself
is waited for inside the call. The commonest case is a pod that was deleted by force: its successor's claim comes before its own
is given back.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from spillway_crds.errors import Conflict, InvalidIntent, KernelError, SpillwayError, Transient
from spillway_dataplane.api.calls import NOT_FOUND, ApiRefused
from spillway_dataplane.dra.checkpoint import Checkpoints
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef, RingRecord, allocated_devices, granted, read_claim
from spillway_dataplane.dra.grants import Grants
from spillway_dataplane.dra.names import claim_path
from spillway_dataplane.dra.ports import Keeper, MakeApi
from spillway_dataplane.dra.report import Report, report_failure
from spillway_dataplane.dra.turns import Turns
from spillway_dataplane.stream.model import RingOrder
from spillway_dataplane.stream.record import read_record

LOG = logging.getLogger(__name__)
TELL_AFTER_S = 2.0  # what passes sooner is no news


class Claims:
    """All claims of this node. Any thread may call; calls for one claim take turns.

    grants: what may be handed out now. hindrance: why a ring must not be bound on (interface, queue) yet; empty when it may.
    frames_bytes: what the frames of all rings may take together, 0 for any. tell: called when the set of claims, or what is known
    of one, changed.
    """

    def __init__(
        self,
        node_name: str,
        *,
        keeper: Keeper,
        checkpoints: Checkpoints,
        make_api: MakeApi,
        grants: Callable[[], Grants],
        hindrance: Callable[[str, int], str],
        frames_bytes: int = 0,
        tell: Callable[[], None],
    ) -> None:
        self._node_name, self._keeper, self._checkpoints, self._make_api = node_name, keeper, checkpoints, make_api
        self._grants, self._hindrance, self._tell = grants, hindrance, tell
        self._frames_bytes = frames_bytes
        self._turns = Turns()
        self._prepared: dict[str, ClaimRecord] = {}
        self._failed: dict[str, Report] = {}
        self._unopened: dict[str, str] = {}  # uid: why, as it was told last

    @property
    def prepared(self) -> tuple[ClaimRecord, ...]:
        """Every claim that is held, in order of their uids."""
        with self._turns.news:
            return tuple(record for _, record in sorted(self._prepared.items()))

    @property
    def failed(self) -> tuple[Report, ...]:
        """What is to be told of claims that could not be prepared, until kubelet gives them up or they succeed."""
        with self._turns.news:
            return tuple(self._failed.values())

    @property
    def unopened(self) -> frozenset[str]:
        """Uids of claims that are held and whose rings this process has not opened yet."""
        with self._turns.news:
            return frozenset(self._unopened)

    def recover(self) -> None:
        """Hold again what was prepared before a restart or a boot. What does not open yet, `retry` opens later."""
        for record in self._checkpoints.read_all():
            self._checkpoints.write_cdi(record)
            with self._turns.news:
                self._prepared[record.ref.uid] = record
                self._unopened[record.ref.uid] = ""
        self.retry()

    def retry(self) -> None:
        """Try to open what could not be opened since a restart. A claim that another thread works on is left to that."""
        for uid in sorted(self.unopened):
            with self._turns.turn(uid, wait=False) as ours:
                record = self._prepared.get(uid)
                if ours and record is not None:
                    self._reopen(record)

    def _reopen(self, record: ClaimRecord) -> None:
        try:
            for ring in record.rings:
                self._open_ring(record, ring)
        except (SpillwayError, OSError) as error:
            if self._unopened.get(record.ref.uid) != str(error):
                LOG.warning("claim %s cannot be held again yet: %s", record.ref, error)
            self._unopened[record.ref.uid] = str(error)
        else:
            self._settle(record)

    def prepare(self, ref: ClaimRef, deadline: float) -> ClaimRecord:
        """Open a claim's rings and write it down. The same claim again gives the same answer.

        deadline: monotonic time until which may be waited for what may pass. Raises SpillwayError.
        """
        with self._turns.turn(ref.uid):
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
        report = report_failure(ref, devices, error)
        with self._turns.news:
            news = self._failed.get(ref.uid) != report
            self._failed[ref.uid] = report
        if news:
            self._tell()

    def unprepare(self, uid: str) -> None:
        """Give a claim's rings up and forget it. One that is not known is no error: it may have been given back before."""
        with self._turns.unwanted(uid):
            self._give_up(uid)
        self._tell()

    def _give_up(self, uid: str) -> None:
        record = self._prepared.get(uid)
        for ring in record.rings if record else ():
            self._keeper.close(record.key(ring) if record else "")
        self._checkpoints.remove(uid)
        with self._turns.news:
            for each in (self._prepared, self._failed):
                each.pop(uid, None)
            self._unopened.pop(uid, None)

    def note_connected(self, uid: str) -> None:
        """Remember that an application has held a ring of this claim: its container has the socket, then."""
        with self._turns.turn(uid, wait=False) as ours:
            record = self._prepared.get(uid)
            if not ours or record is None or record.connected:
                return
            seen = replace(record, connected=True)
            with self._turns.news:
                self._prepared[uid] = seen
            try:
                self._checkpoints.write(seen)
            except OSError as error:
                LOG.warning("claim %s: %s", record.ref, error)

    def stop(self) -> None:
        """Begin nothing more, and return when what was begun has ended. Who waits fails, and kubelet asks again."""
        self._turns.stop()

    def _read(self, ref: ClaimRef, deadline: float) -> ClaimRecord:
        def ask() -> ClaimRecord:
            raw = self._make_api().get(claim_path(ref.namespace, ref.name))
            try:
                return read_claim(raw, ref, self._node_name, self._grants())
            except InvalidIntent as error:
                self._fail(ref, allocated_devices(raw, self._node_name), error)
                raise

        return self._turns.patiently(ref.uid, deadline, ask, may_pass=_api_may_recover)

    def _still_granted(self, record: ClaimRecord) -> ClaimRecord:
        for ring in record.rings:
            granted(ring, record.ref.namespace, self._grants())
        return record

    def _open(self, record: ClaimRecord, deadline: float, *, keep: bool) -> None:
        """keep: rings that opened stay when another does not: they were another pod's before this call."""
        try:
            for ring in record.rings:
                step = partial(self._try_ring, record, ring, time.monotonic())
                self._turns.patiently(record.ref.uid, deadline, step, may_pass=_ring_may_come)
            self._checkpoints.write(record)
        except (SpillwayError, OSError) as error:
            for ring in record.rings if not keep else ():
                self._keeper.close(record.key(ring))
            if isinstance(error, OSError):
                raise KernelError(errno=error.errno or 0, operation=f"write down claim {record.ref}") from error
            raise

    def _try_ring(self, record: ClaimRecord, ring: RingRecord, began: float) -> None:
        """Open a ring; what keeps it from being open is told before the waiting ends, if it lasts."""
        try:
            self._open_ring(record, ring)
        except SpillwayError as error:
            if time.monotonic() - began > TELL_AFTER_S:
                self._fail(record.ref, ((each.pool, each.device) for each in record.rings), error)
            raise

    def _open_ring(self, record: ClaimRecord, ring: RingRecord) -> None:
        """Open a ring, or adopt it. Raises Transient for a new one while its card has no native program, as after a boot.

        Bound before, it would be refused zero copy, or the program's first attach would flap the link under it.
        """
        order = self._order(record, ring)
        known = read_record(order.directory) is not None or order.key in {each.key for each in self._keeper.statuses()}
        if not known and (reason := self._hindrance(ring.interface, ring.queue) or self._no_room(ring)):
            raise Transient(operation=f"open a ring on {ring.interface} queue {ring.queue}", detail=reason)
        self._keeper.open(order)

    def _no_room(self, ring: RingRecord) -> str:
        """Whoever claims the most must not have this process killed for its memory: return why a ring does not fit."""
        used = sum(each.umem_bytes for each in self._keeper.statuses())
        if not self._frames_bytes or used + ring.frames_bytes <= self._frames_bytes:
            return ""
        mebibytes = [f"{each >> 20} MiB" for each in (ring.frames_bytes, used, self._frames_bytes)]
        return "its frames take {}, rings of this node {} of {} (chart value streams.resources.limits.memory)".format(*mebibytes)

    def _order(self, record: ClaimRecord, ring: RingRecord) -> RingOrder:
        directory = self._checkpoints.make_directory(record, ring)
        return RingOrder(record.key(ring), directory, ring.interface, ring.queue, ring.parameters, str(record.ref))

    def _settle(self, record: ClaimRecord) -> None:
        with self._turns.news:
            self._prepared[record.ref.uid] = record
            self._failed.pop(record.ref.uid, None)
            self._unopened.pop(record.ref.uid, None)
        self._tell()


def _api_may_recover(error: SpillwayError) -> bool:
    return isinstance(error, Transient) and not (isinstance(error, ApiRefused) and error.status == NOT_FOUND)


def _ring_may_come(error: SpillwayError) -> bool:
    """Whether waiting may help: whoever holds the queue may be on the way out, or the kernel not done with cleaning up."""
    busy = isinstance(error, KernelError) and error.errno == errno.EBUSY
    return busy or isinstance(error, Transient | Conflict)
