"""Who stands for the lease, and the end of a leader that lost it. On the wire: tests/e2e/test_changes.py."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from kubernetes import client
from urllib3.exceptions import HTTPError

from spillway_operator import candidacy
from spillway_operator.reconcile import Place

PLACE = Place(namespace="ns", instance="pod", daemonset="ds", deployment="spillway-operator")
FOUND = SimpleNamespace(metadata=SimpleNamespace(uid="u-1"))
BEGIN_ANEW_ONCE = """
import os, threading, time
from spillway_operator.candidacy import begin_anew
times = int(os.environ.get("TIMES", "0"))
print(os.getpid(), times, flush=True)
os.environ["TIMES"] = str(times + 1)
if times == 0:
    threading.Thread(target=begin_anew).start()
    time.sleep(60)
"""


class Answers:
    """An API server that answers in that order."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def read_namespaced_deployment(self, name, namespace, **_):
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A second goes by with each question."""
    clock = itertools.count()
    monkeypatch.setattr(candidacy, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(candidacy, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))


@pytest.mark.parametrize(
    ("answers", "uid"),
    [
        ([FOUND], "u-1"),
        ([HTTPError("refused"), client.ApiException(status=503), client.ApiException(status=429), FOUND], "u-1"),
        ([client.ApiException(status=404)], ""),
        ([client.ApiException(status=403)], ""),
        ([client.ApiException(status=401), client.ApiException(status=403), FOUND], "u-1"),
        ([*[client.ApiException(status=403)] * 3, *[HTTPError("refused")] * 30, client.ApiException(status=403), FOUND], "u-1"),
    ],
    ids=["there", "away, then there", "no Deployment", "not allowed", "just begun", "away in between"],
)
def test_an_api_server_that_is_away_is_asked_again(answers, uid):
    assert candidacy.deployment_uid(Answers(*answers), PLACE, threading.Event()) == uid


def test_who_is_told_to_stop_asks_no_more():
    stop = threading.Event()
    stop.set()
    assert candidacy.deployment_uid(Answers(), PLACE, stop) == ""


def test_a_leader_that_lost_its_lease_begins_anew_in_the_same_process():
    """From a thread, while another is busy; no exit that kubelet would count."""
    ended = subprocess.run([sys.executable, "-c", BEGIN_ANEW_ONCE], capture_output=True, text=True, timeout=50, check=True)
    first, second = (line.split() for line in ended.stdout.splitlines())
    assert (first[0], first[1], second[1]) == (second[0], "0", "1")
