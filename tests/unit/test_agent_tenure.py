"""The loop: restore before anything is asked, report what changed at once and counts when due, and never go round for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.agent_fakes import FakeKernel, Orders, card, content, rule

from spillway_crds.filters import FilterContent, Mode
from spillway_crds.orders import NodeStatus
from spillway_dataplane import report, tenure
from spillway_dataplane.agent import Agent
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, Stop, SwitchSeen


class Collecting:
    """A source that keeps what it is given, and when."""

    connected, errors = True, 0

    def __init__(self) -> None:
        self.started_with: Mapping[str, FilterContent] | None = None
        self.reports: list[tuple[float, NodeStatus]] = []

    def start(self, inbox: Inbox, known: Mapping[str, FilterContent]) -> None:
        self.started_with = known

    def report(self, status: NodeStatus) -> None:
        self.reports.append((time.monotonic(), status))

    def stop(self, timeout_s: float) -> None:
        pass


@contextmanager
def nothing_changes(inbox: Inbox) -> Iterator[None]:
    yield


class Running:
    """An agent in a thread of this process."""

    def __init__(self, root: Path, kernel: FakeKernel) -> None:
        self.source = Collecting()
        self.kernel = kernel
        self.agent = Agent(
            Settings(state=root),
            kernel=kernel,
            compile_source=self.compile,
            make_source=lambda: self.source,
            watch=nothing_changes,
        )
        self.compile_s = 0.0
        self.compiling, self.compiler_is_free = threading.Event(), threading.Event()
        self.compiler_is_free.set()
        self.thread = threading.Thread(target=self.agent.run)

    def compile(self, source: str) -> Artifact:
        self.compiling.set()
        self.compiler_is_free.wait(20)
        time.sleep(self.compile_s)
        return self.kernel.compile(source)

    def start(self) -> None:
        self.thread.start()
        self.wait(lambda: self.source.started_with is not None)

    def wait(self, wanted) -> None:
        deadline = time.monotonic() + 20
        while not wanted():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def stop(self) -> None:
        self.agent.inbox.put(Stop())
        if self.thread.ident is not None:
            self.thread.join(20)

    def states(self) -> list[str]:
        return [",".join(each.state for each in status.filters) for _, status in self.source.reports]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path, FakeKernel(card("eth0", 2)))
    yield made
    made.stop()


def test_program_that_is_soon_ready_is_reported_once(running: Running) -> None:
    """Between the order and its program there is nothing to tell."""
    orders = Orders()
    running.start()
    running.agent.inbox.put(orders.seen(orders.filter("dns", content())))
    running.wait(lambda: bool(running.source.reports))
    running.agent.inbox.put(orders.seen(orders.filter("dns", content(rule("tcp", 6)))))
    running.wait(lambda: len(running.source.reports) > 1)
    assert running.states()[:2] == ["Enforcing", "Enforcing"]
    assert running.agent.ready
    assert running.agent.snapshot.acting


def test_relief_does_not_wait_for_the_compiler(running: Running) -> None:
    orders = Orders()
    running.start()
    running.agent.inbox.put(orders.seen(orders.filter("dns", content())))
    running.wait(lambda: bool(running.source.reports))
    running.compiling.clear()
    running.compiler_is_free.clear()
    running.agent.inbox.put(orders.seen(orders.filter("dns", content(rule("tcp", 6)))))
    assert running.compiling.wait(20)
    running.agent.inbox.put(SwitchSeen(True))
    running.wait(lambda: not running.kernel.cards["eth0"].switches.enforcement)
    assert running.kernel.changes() == [("attach", "eth0")], "the compiler is still at work"
    running.compiler_is_free.set()


def test_loop_rests_when_nothing_happens(running: Running) -> None:
    """Looks at the node follow wake-ups and counter reports, also while the compiler takes long."""
    orders = Orders()
    looks = 0
    observe = running.kernel.observe

    def counting():
        nonlocal looks
        looks += 1
        return observe()

    running.kernel.observe = counting  # type: ignore[method-assign]
    running.start()
    running.compile_s = 4.0
    running.agent.inbox.put(orders.seen(orders.filter("dns", content(), Mode.MONITOR)))
    time.sleep(3.8)
    assert looks < 12
    assert running.states() == ["Pending"], "a compiler that takes long is news"


def test_metrics_follow_the_kernel_where_reports_are_rare(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large cluster writes counts every few minutes; a scraper wants a rate."""
    monkeypatch.setattr(tenure, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(report, "SOON_S", ())
    orders = Orders()
    seen = orders.seen(orders.filter("dns", content()))
    running.start()
    running.agent.inbox.put(replace(seen, order=replace(seen.order, report_seconds=3600)))
    running.wait(lambda: running.states() == ["Enforcing"])
    running.kernel.count("eth0", 0, 7)
    running.wait(lambda: [each.totals.matched_packets for each in running.agent.snapshot.filters] == [7])
    assert [status.filters[0].totals.matched_packets for _, status in running.source.reports] == [0]


def test_restart_knows_its_revisions_and_filters_before_it_asks(running: Running, tmp_path: Path) -> None:
    orders = Orders()
    running.start()
    running.agent.inbox.put(orders.seen(orders.filter("dns", content())))
    running.wait(lambda: bool(running.source.reports))
    running.stop()
    running.kernel.reboot()
    again = Running(tmp_path, running.kernel)
    again.start()
    try:
        assert again.source.started_with == orders.contents
        assert again.kernel.changes()[-1] == ("attach", "eth0")
    finally:
        again.stop()
