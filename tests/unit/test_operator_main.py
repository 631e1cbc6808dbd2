"""Beginning to lead beside an API server that is only just back, and the end of one that failed."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from spillway_operator import main
from spillway_operator.api.calls import ApiFailure


class Reconciler:
    """Its first listings fail in that way."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)

    async def fill(self) -> None:
        if self._failures:
            raise self._failures.pop(0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(main, "FILL_RETRY_S", 0.0)
    monkeypatch.setattr(main, "REST_S", 0.0)


def refused(status: int) -> ApiFailure:
    return ApiFailure(method="GET", path="/", status=status, body=b"")


def test_listing_is_tried_until_it_succeeds():
    """An exit instead would be counted by kubelet, which lets a container wait that ended a few times."""

    async def fill() -> bool:
        reconciler = Reconciler(refused(403), refused(503), TimeoutError(), ConnectionResetError())
        return await main._filled(reconciler, asyncio.Event())

    assert asyncio.run(fill())


def test_listing_ends_when_told_to_stop():
    async def fill() -> bool:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, stopping.set)
        return await main._filled(Reconciler(*[refused(403)] * 100_000), stopping)

    assert not asyncio.run(fill())


@pytest.fixture
def told(monkeypatch):
    """What happens, in order, to a leader whose work ends as `told.work` says."""
    told = SimpleNamespace(events=[], work=None)
    lease = SimpleNamespace(
        acquire=lambda stop, led: True, keep=lambda alive, lost: None, release=lambda: told.events.append("released")
    )

    async def work(config, place, health, stop):
        told.work(stop)

    monkeypatch.setattr(main, "make_lease", lambda place, stop: lease)
    monkeypatch.setattr(main, "_lead_until_signal", work)
    monkeypatch.setattr(main, "begin_anew", lambda: told.events.append("anew"))
    return told


def fail(stop: threading.Event) -> None:
    raise RuntimeError("kopf ended")


def fail_while_stopping(stop: threading.Event) -> None:
    stop.set()
    raise TimeoutError


@pytest.mark.parametrize(
    ("work", "events"),
    [
        pytest.param(fail, ["released", "anew"], id="failed"),
        pytest.param(fail_while_stopping, ["released"], id="failed while it was stopped"),
        pytest.param(threading.Event.set, ["released"], id="stopped"),
    ],
)
def test_a_leader_that_failed_begins_anew(told, work, events):
    """First the lease is given back; who was told to stop stops all the same."""
    told.work = work
    main.lead(None, None, SimpleNamespace(stand_by=None, is_alive=None), threading.Event())
    assert told.events == events
