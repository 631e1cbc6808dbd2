"""The laws of the lease, on a Lease in memory that refuses old versions. Time on the wire: tests/e2e/test_operator_api.py."""

from __future__ import annotations

import copy
import threading
import urllib.request
from http import HTTPStatus
from typing import Any

import pytest
from kubernetes import client

from spillway_operator.health import STUCK_AFTER_S, Health
from spillway_operator.leader import Lease, LeaseTimes


class OneLease:
    def __init__(self) -> None:
        self.lease: Any = None
        self.refusal = 0

    def _answer(self, status: int) -> None:
        if self.refusal:
            raise client.ApiException(status=self.refusal)
        if status >= 400:
            raise client.ApiException(status=status)

    def read_namespaced_lease(self, name, namespace, **_):
        self._answer(404 if self.lease is None else 200)
        return copy.deepcopy(self.lease)

    def create_namespaced_lease(self, namespace, body, **_):
        self._answer(409 if self.lease else 201)
        self._store(body, 1)

    def replace_namespaced_lease(self, name, namespace, body, **_):
        held = int(self.lease.metadata.resource_version)
        self._answer(200 if int(body.metadata.resource_version) == held else 409)
        self._store(body, held + 1)

    def _store(self, body, version):
        self.lease = copy.deepcopy(body)
        self.lease.metadata.resource_version = str(version)


@pytest.fixture
def server() -> OneLease:
    return OneLease()


def lease(server: OneLease, identity: str, times: LeaseTimes | None = None) -> Lease:
    return Lease(server, namespace="ns", name="l", identity=identity, times=times or LeaseTimes())


def test_one_of_two_holds(server):
    assert lease(server, "a").attempt()
    assert not lease(server, "b").attempt()


def test_a_released_lease_is_free_at_once(server):
    first = lease(server, "a")
    first.attempt()
    first.release()
    assert lease(server, "b").attempt()
    assert server.lease.spec.lease_transitions == 1


def test_a_release_is_tried_again_while_the_api_server_is_too_busy(server, monkeypatch):
    """Otherwise the next holder would wait for the lease's whole duration, and no filter's status would move."""
    first = lease(server, "a")
    first.attempt()
    server.refusal = 503
    monkeypatch.setattr("spillway_operator.leader.time.sleep", lambda _: setattr(server, "refusal", 0))
    first.release()
    assert lease(server, "b").attempt()


@pytest.mark.parametrize(("answer", "at_least_s", "at_most_s"), [(503, 9, 12), (401, 2, 5), (403, 2, 5)])
def test_a_release_that_never_succeeds_ends(server, monkeypatch, answer, at_least_s, at_most_s):
    """Rights that are gone do not come back: an operator that is uninstalled ends sooner than one whose server is away."""
    now = [1000.0]
    monkeypatch.setattr("spillway_operator.leader.time.monotonic", lambda: now[0])
    monkeypatch.setattr("spillway_operator.leader.time.sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    first = lease(server, "a")
    first.attempt()
    server.refusal = answer
    first.release()
    assert server.lease.spec.holder_identity == "a"
    assert at_least_s < now[0] - 1000 < at_most_s


def test_a_restarted_container_goes_on_with_its_own(server):
    lease(server, "a").attempt()
    assert lease(server, "a").attempt()
    assert server.lease.spec.lease_transitions == 0


def test_nobody_elses_lease_is_released(server):
    lease(server, "a").attempt()
    lease(server, "b").release()
    assert server.lease.spec.holder_identity == "a"


def test_a_lease_expires_on_the_own_clock_only(server, monkeypatch):
    """A holder whose wall clock is a year off is neither favoured nor robbed: only whether the lease changes counts."""
    now = [1000.0]
    monkeypatch.setattr("spillway_operator.leader.time.monotonic", lambda: now[0])
    holder, other = lease(server, "a"), lease(server, "b")
    holder.attempt()
    for _ in range(10):
        now[0] += 10
        assert not other.attempt()
        assert holder.attempt()
    now[0] += 1
    assert not other.attempt()
    now[0] += 31
    assert other.attempt()


def test_a_lease_that_an_uninstalled_release_left_behind_is_not_waited_for(server, monkeypatch):
    """Its rights are deleted before its leader can give it back, and it is not coming back; while it renews, it leads."""
    now = [1000.0]
    monkeypatch.setattr("spillway_operator.leader.time.monotonic", lambda: now[0])
    holder, new = lease(server, "old/a"), lease(server, "new/b")
    for _ in range(10):
        holder.attempt()
        now[0] += 7
        assert not new.attempt()
    now[0] += 9
    assert new.attempt()


def test_a_release_that_is_not_known_is_waited_for(server, monkeypatch):
    """A pod that could not ask which release it belongs to takes nobody for a leftover."""
    now = [1000.0]
    monkeypatch.setattr("spillway_operator.leader.time.monotonic", lambda: now[0])
    for holder, other in (("a/x", "/y"), ("/y", "a/x")):
        server.lease = None
        new = lease(server, other)
        lease(server, holder).attempt()
        assert not new.attempt()
        now[0] += 20
        assert not new.attempt()


@pytest.mark.parametrize("alive", [pytest.param(True, id="server down"), pytest.param(False, id="loop stuck")])
def test_a_holder_that_cannot_renew_ends(server, alive):
    holder, lost = lease(server, "a", LeaseTimes(duration_s=15, deadline_s=0.05, renew_every_s=0.01)), threading.Event()
    holder.attempt()
    server.refusal = 503 if alive else 0
    holder.keep(alive=lambda: alive, lost=lost.set)
    assert lost.wait(1.0)


def test_who_is_told_to_stop_stops_waiting(server):
    lease(server, "a").attempt()
    stop = threading.Event()
    stop.set()
    assert not lease(server, "b").acquire(stop)


def test_a_standby_is_ready_once_somebody_is_seen_to_lead(server):
    """A lease that lies there unchanged is no leader."""
    holder = lease(server, "a")
    holder.attempt()
    stop, told = threading.Event(), threading.Event()
    standby = lease(server, "b", LeaseTimes(renew_every_s=0.01))
    waiting = threading.Thread(target=standby.acquire, args=(stop,), kwargs={"led": told.set})
    waiting.start()
    assert not told.wait(0.1)
    holder.attempt()
    assert told.wait(1.0)
    stop.set()
    waiting.join()


def test_times_that_overlap_are_refused():
    with pytest.raises(ValueError, match="before its holder"):
        LeaseTimes(duration_s=10, deadline_s=8.0)


def test_a_lease_made_by_hand_is_free(server):
    server.lease = client.V1Lease(metadata=client.V1ObjectMeta(name="l", resource_version="1"))
    assert lease(server, "a").attempt()


def test_probes(monkeypatch):
    """Who begins is alive only; a standby is ready too; a leader is when it says so; a loop that stands still is neither."""
    health = Health()
    assert (health.answer("/healthz"), health.answer("/readyz")) == (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    health.stand_by()
    assert health.answer("/healthz") == health.answer("/readyz") == HTTPStatus.OK
    health.ready = False
    assert health.answer("/readyz") == HTTPStatus.SERVICE_UNAVAILABLE
    health._beat_at = 0.0
    monkeypatch.setattr("spillway_operator.health.time.monotonic", lambda: STUCK_AFTER_S + 1)
    assert health.answer("/healthz") == HTTPStatus.SERVICE_UNAVAILABLE
    assert health.answer("/else") == HTTPStatus.NOT_FOUND


def test_probes_are_answered_over_http():
    server = Health().serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/healthz", timeout=5) as answer:
            assert answer.status == HTTPStatus.OK
    finally:
        server.shutdown()
        server.server_close()
