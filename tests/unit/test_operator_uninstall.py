"""The hook that waits until every node is clean, beside an API server that comes and goes. Whole: tests/e2e."""

from __future__ import annotations

import asyncio

import pytest

from spillway_operator import uninstall
from spillway_operator.uninstall import Progress

BUSY, CLEAN = Progress(("n1 (has not answered)",), 1), Progress((), 1)
AWAY = ConnectionResetError()


@pytest.fixture
def run(monkeypatch):
    """Wait with these looks at the cluster, the last of them again and again; return the exit status and what was printed."""

    def run(*looks: object, timeout_s: float = 60.0) -> tuple[int, list[str]]:
        left, said = list(looks), []

        async def observe(api, seen):
            look = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(look, Exception):
                raise look
            return look

        monkeypatch.setattr(uninstall, "observe_progress", observe)
        monkeypatch.setattr(uninstall, "POLL_S", 0.0)
        monkeypatch.setattr(uninstall, "say", said.append)
        return asyncio.run(uninstall._wait(None, timeout_s)), said

    return run


@pytest.mark.parametrize("looks", [(CLEAN,), (AWAY, BUSY, AWAY, AWAY, CLEAN), (BUSY, AWAY, CLEAN)])
def test_an_api_server_that_is_away_ends_no_uninstall(run, looks):
    status, said = run(*looks)
    assert status == 0
    assert said[-1] == "Nothing of Spillway is left on any node."


@pytest.mark.parametrize(
    ("looks", "named"),
    [((BUSY,), "n1 (has not answered)"), ((BUSY, AWAY), "n1 (has not answered)"), ((AWAY,), "the API server does not answer")],
    ids=["a node is silent", "a node was silent when it was seen last", "never seen"],
)
def test_it_fails_in_time_and_says_why(run, looks, named):
    """An API server that does not answer has confirmed nothing."""
    status, said = run(*looks, timeout_s=0.02)
    assert status == 1
    assert f"  {named}" in said
