"""Reports on their way into claims: news at once, counters at a pace, nothing twice, one thread for all.

Each claim is written at most once a second, whatever flaps; counters alone at most once in `report_seconds`. A claim that nothing
was written to for some minutes is asked after: one that is gone, and that kubelet forgot to give back, must not keep its queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from spillway_crds.errors import Transient
from spillway_dataplane.api.calls import CONFLICT, NOT_FOUND, ApiRefused, Raw
from spillway_dataplane.api.watching import Backoff
from spillway_dataplane.dra.claims import ClaimRef
from spillway_dataplane.dra.names import FIELD_MANAGER, claim_path
from spillway_dataplane.dra.ports import Api, MakeApi
from spillway_dataplane.dra.report import Condition, Report, conditions_of, dated
from spillway_dataplane.dra.report_wire import decode_conditions, encode_report
from spillway_dataplane.dra.stored_claim import CONTENT_TYPE, uid_of_stored, with_devices

LOG = logging.getLogger(__name__)
AT_LEAST_S = 1.0
ASK_AFTER_S = 300.0
UNPROCESSABLE = 422  # the claim is not allocated to this node any more, or again


@dataclass(slots=True)
class _Told:
    """What is known of one claim's status. conditions None: not looked up yet. gone: the claim is; nothing more is written.

    stored: its parameters stand there as no patch leaves them, so the claim is put back as it is stored.
    """

    wanted: Report
    sent: Report | None = None
    asked_at: float = 0.0
    not_before: float = 0.0
    conditions: dict[tuple[str, str], Condition] | None = None
    gone: bool = False
    stored: bool = False
    backoff: Backoff = field(default_factory=Backoff)

    def due_at(self, report_seconds: int) -> float | None:
        """Return the monotonic time from which this claim is to be written, or asked after. None: never again."""
        if self.gone:
            return None
        if self.sent is None:
            return self.not_before
        if self.wanted.pressing != self.sent.pressing:
            pause_s = AT_LEAST_S
        else:
            pause_s = report_seconds if self.wanted != self.sent else ASK_AFTER_S
        return max(self.not_before, self.asked_at + pause_s)


class ClaimReporter:
    """A thread that writes claims' statuses. report_seconds: the pace of counters, asked each time."""

    def __init__(self, make_api: MakeApi, report_seconds: Callable[[], int], answered: Callable[[bool], None]) -> None:
        self._make_api, self._report_seconds, self._answered = make_api, report_seconds, answered
        self._news = threading.Condition()
        self._told: dict[ClaimRef, _Told] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="spillway-claims", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def take(self, reports: list[Report]) -> None:
        """Take the newest report of every claim; a claim that is not among them is forgotten."""
        with self._news:
            wanted = {each.ref: each for each in reports}
            for ref in self._told.keys() - wanted.keys():
                del self._told[ref]
            for ref, report in wanted.items():
                if ref in self._told:
                    self._told[ref].wanted = report
                else:
                    self._told[ref] = _Told(report)
            self._news.notify()

    def stop(self, timeout_s: float) -> None:
        """Write nothing more. Returns once the last call has ended, or after this time."""
        with self._news:
            self._stopped = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def gone(self) -> frozenset[ClaimRef]:
        """Claims that the API server no longer has."""
        with self._news:
            return frozenset(ref for ref, told in self._told.items() if told.gone)

    def _run(self) -> None:
        while (told := self._next()) is not None:
            report = told.wanted
            try:
                self._tell(told, report)
            except Transient as error:
                LOG.warning("the status of claim %s cannot be written: %s", report.ref, error)
                told.not_before = time.monotonic() + told.backoff.next_s()
                self._answered(False)
            else:
                told.asked_at = time.monotonic()
                told.backoff.reset()
                self._answered(True)

    def _next(self) -> _Told | None:
        """Wait for a claim whose time has come; None at the end."""
        with self._news:
            while not self._stopped:
                pace = self._report_seconds()
                dues = [(due, told) for told in self._told.values() if (due := told.due_at(pace)) is not None]
                if not dues:
                    self._news.wait()
                    continue
                due, told = min(dues, key=lambda each: each[0])
                if due <= time.monotonic():
                    return told
                self._news.wait(max(0.01, due - time.monotonic()))
            return None

    def _tell(self, told: _Told, report: Report) -> None:
        """Write a report that differs from the last one; ask after the claim otherwise."""
        try:
            if report == told.sent:
                told.gone = self._read(report.ref)["metadata"]["uid"] != report.ref.uid
            else:
                self._write(told, report)
        except ApiRefused as error:
            if error.status == UNPROCESSABLE:
                LOG.warning("the status of claim %s is refused until it says something else: %s", report.ref, error)
                told.sent = report
            elif error.status in (NOT_FOUND, CONFLICT):
                LOG.info("claim %s is gone: %s", report.ref, error)
                told.gone = True
            else:
                raise

    def _write(self, told: _Told, report: Report) -> None:
        if told.conditions is None:
            told.conditions = decode_conditions(self._read(report.ref))
        complete = dated(report, told.conditions, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._write_body(told, report.ref, encode_report(complete))
        told.conditions, told.sent = conditions_of(complete), report

    def _write_body(self, told: _Told, ref: ClaimRef, body: Raw) -> None:
        api: Api = self._make_api()
        if not told.stored:
            try:
                api.apply(f"{claim_path(ref.namespace, ref.name)}/status", body, manager=FIELD_MANAGER)
            except ApiRefused as error:
                if error.status != UNPROCESSABLE:
                    raise
            else:
                return
        put_back(api, ref, body["status"]["devices"])
        told.stored = True

    def _read(self, ref: ClaimRef) -> Raw:
        api: Api = self._make_api()
        return api.get(claim_path(ref.namespace, ref.name))


def put_back(api: Api, ref: ClaimRef, devices: list[Raw]) -> None:
    """Write a claim's devices into it as it is stored, and nothing else of it.

    Raises ApiRefused as the API does, Transient when somebody else wrote the claim meanwhile.
    """
    path = claim_path(ref.namespace, ref.name)
    stored = api.get_bytes(path, CONTENT_TYPE)
    try:
        if uid_of_stored(stored) != ref.uid:
            raise ApiRefused(operation=f"PUT {path}", status=CONFLICT, detail="another claim has its name")
        body = with_devices(stored, devices)
    except ValueError as error:
        raise Transient(operation=f"read {path} as it is stored", detail=str(error)) from error
    try:
        api.put_bytes(f"{path}/status", body, CONTENT_TYPE, manager=FIELD_MANAGER)
    except ApiRefused as error:
        if error.status == CONFLICT:
            raise Transient(operation=f"PUT {path}", detail="it was changed meanwhile") from error
        raise
