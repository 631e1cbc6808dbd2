"""One leader at a time, by a coordination.k8s.io/v1 Lease. Synchronous, in a thread: it must renew while the loop is busy.

Law: a holder ends itself before anybody else may take over. Clocks of two machines are never compared: a lease has expired when
this process has seen it unchanged for its whole duration, on its own monotonic clock.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes import client
from urllib3.exceptions import HTTPError

log = logging.getLogger(__name__)
TIMEOUTS_S = (1.0, 2.0)  # connect, read; without them a dead connection outlives the lease
ATTEMPT_S = 2 * sum(TIMEOUTS_S)  # a read and a write
RELEASED_S = 1  # duration of a lease that was given back
RELEASE_WITHIN_S, RELEASE_AGAIN_S = 10.0, 0.5  # a third of the pod's grace; a busy API server answers the second time
REFUSED_WITHIN_S = 3.0  # an API server that has just begun may not have read our rights; of an uninstalled release they are gone
LEFT_BEHIND_S = 5.0  # of a release that was uninstalled: its rights went before its leader could give the lease back


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """A holder looks at its deadline after each attempt, so it may end one pause and one attempt late.

    deadline_s: also how long the API server may be away before the leader ends for it.
    """

    duration_s: int = 30
    deadline_s: float = 20.0
    renew_every_s: float = 2.0

    def __post_init__(self) -> None:
        if self.duration_s <= self.deadline_s + self.renew_every_s + ATTEMPT_S:
            raise ValueError(f"a lease of {self.duration_s} s ends before its holder does")


def impatient_client() -> Any:
    """The client tries each request four times in silence; here one attempt is one attempt, or the deadline means nothing."""
    configuration = client.Configuration.get_default_copy()
    configuration.retries = False
    return client.ApiClient(configuration)


class Lease:
    """identity: one pod's own and the same after its container's restart: `<release>/<uid of the pod>`.

    What stands before the slash is common to the pods of one release, empty if that is not known. A holder of another release
    is not coming back.
    """

    def __init__(self, api: Any, *, namespace: str, name: str, identity: str, times: LeaseTimes = LeaseTimes()) -> None:
        self._api, self._namespace, self._name, self._identity, self._times = api, namespace, name, identity, times
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._seen: tuple[str | None, float] = ("", 0.0)  # resourceVersion, and when this process first saw it
        self._renewals = 0  # by others, seen by this process
        self._complaint = ""

    def acquire(self, stop: threading.Event, *, led: Callable[[], None] = lambda: None) -> bool:
        """Wait until the lease is held. False if `stop` was set first. led: called while another is seen to renew it."""
        while not stop.is_set():
            if self.attempt():
                log.info("%s leads: holds lease %s/%s", self._identity, self._namespace, self._name)
                return True
            if self._renewals:
                led()
            stop.wait(self._times.renew_every_s)
        return False

    def keep(self, *, alive: Callable[[], bool], lost: Callable[[], None]) -> None:
        """Renew in the background. `lost` is called once, in that thread, when renewing failed too long or `alive` said no."""
        self._keeper = threading.Thread(target=self._keep, args=(alive, lost), name="lease", daemon=True)
        self._keeper.start()

    def _keep(self, alive: Callable[[], bool], lost: Callable[[], None]) -> None:
        renewed_at = time.monotonic()
        while not self._stop.wait(self._times.renew_every_s):
            started_at = time.monotonic()
            if alive() and self.attempt():
                renewed_at = started_at
            elif time.monotonic() - renewed_at > self._times.deadline_s:
                log.error("%s lost lease %s/%s", self._identity, self._namespace, self._name)
                lost()
                return

    def release(self) -> None:
        """Give the lease back, so that the next holder need not wait for its end. To be called after the last write."""
        self._stop.set()
        if self._keeper:
            self._keeper.join()
        begun_at = time.monotonic()
        while worth_trying_s := self._give_back():
            if time.monotonic() - begun_at > worth_trying_s:
                log.warning("lease not released, the next holder waits for its end")
                return
            time.sleep(RELEASE_AGAIN_S)
        log.info("%s no longer leads", self._identity)

    def _give_back(self) -> float:
        """Try once. 0 if it is not ours any more, else for how many seconds in all it is worth trying."""
        try:
            lease = self._read()
            if lease is not None and _spec(lease).holder_identity == self._identity:
                _spec(lease).holder_identity, _spec(lease).lease_duration_seconds = "", RELEASED_S
                self._replace(lease)
        except (client.ApiException, HTTPError) as error:
            status = getattr(error, "status", None)
            self._complain("given back", str(status or error))
            return REFUSED_WITHIN_S if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else RELEASE_WITHIN_S
        return 0

    def attempt(self) -> bool:
        """Take or renew once. Of two that try, the first write wins: it carries the version that was read."""
        try:
            lease = self._read()
            if lease is None:
                self._create()
            elif self._is_free(lease):
                self._take(lease)
            else:
                return False
        except (client.ApiException, HTTPError) as error:
            self._complain("taken", str(getattr(error, "status", error)))
            return False
        self._complaint = ""
        return True

    def _complain(self, undone: str, text: str) -> None:
        """Say once what keeps coming back at each attempt."""
        if text != self._complaint:
            log.info("lease not %s: %s", undone, text)
        self._complaint = text

    def _is_free(self, lease: Any) -> bool:
        return _spec(lease).holder_identity in (None, "", self._identity) or self._expired(lease)

    def _expired(self, lease: Any) -> bool:
        version = lease.metadata.resource_version if lease.metadata else None
        if version != self._seen[0]:
            self._renewals += self._seen[0] != ""
            self._seen = (version, time.monotonic())
        duration_s = _spec(lease).lease_duration_seconds or 0
        theirs, ours = _release_of(_spec(lease).holder_identity), _release_of(self._identity)
        if theirs and ours and theirs != ours:
            duration_s = min(duration_s, LEFT_BEHIND_S)
        return time.monotonic() - self._seen[1] > duration_s

    def _take(self, lease: Any) -> None:
        spec, now = _spec(lease), datetime.datetime.now(datetime.UTC)
        if spec.holder_identity != self._identity:
            spec.acquire_time, spec.lease_transitions = now, (spec.lease_transitions or 0) + 1
        spec.holder_identity, spec.renew_time, spec.lease_duration_seconds = self._identity, now, self._times.duration_s
        self._replace(lease)

    def _read(self) -> Any:
        try:
            return self._api.read_namespaced_lease(self._name, self._namespace, _request_timeout=TIMEOUTS_S)
        except client.ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _create(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        spec = client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._times.duration_s,
            lease_transitions=0,
            acquire_time=now,
            renew_time=now,
        )
        body = client.V1Lease(metadata=client.V1ObjectMeta(name=self._name), spec=spec)
        self._api.create_namespaced_lease(self._namespace, body, _request_timeout=TIMEOUTS_S)

    def _replace(self, lease: Any) -> None:
        self._api.replace_namespaced_lease(self._name, self._namespace, lease, _request_timeout=TIMEOUTS_S)


def _spec(lease: Any) -> Any:
    """A Lease made by hand may lack a spec; nobody holds it then."""
    if lease.spec is None:
        lease.spec = client.V1LeaseSpec()
    return lease.spec


def _release_of(identity: str) -> str:
    return identity.rpartition("/")[0]
