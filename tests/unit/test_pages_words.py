"""Every reason of a condition and every metric that there is stands in the pages, with what it means.

Reasons are read off the source: a new one fails here until somebody has written down what to do about it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from tests.pages import REPOSITORY, pages, words

from spillway_crds import errors
from spillway_dataplane.dra import metrics as driver
from spillway_dataplane.dra.report import Why
from spillway_dataplane.metrics import Snapshot, SpillwayCollector
from spillway_dataplane.node.findings import Reason
from spillway_dataplane.way.state import RingState
from spillway_operator import metrics as operator
from spillway_stream.clocks import WORDS, ClockCode
from spillway_stream.pages import Report
from spillway_stream.source.clock import ClockFinding
from spillway_stream.source.figures import Figures, VideoFigures, exposition

DOCS = REPOSITORY / "docs"
TROUBLE, METRICS = DOCS / "troubleshooting.md", DOCS / "metrics.md"
NODE, MEDIA = DOCS / "streams" / "node.md", DOCS / "streams" / "media.md"
CAMEL = re.compile(r"([A-Z][a-z]+)+\Z")
OPERATOR = (
    *("filters/status", "filters/verdicts", "filters/events"),
    *("streams/plan", "streams/status", "streams/events", "work/waiting"),
)
TYPES = frozenset({"Progressing", "Degraded", "ClockSynchronized", "Connected"})
OTHERS = frozenset({"True", "False", "Normal", "Warning", "Event", "Pod", "Succeeded"})  # words of Kubernetes


def texts(module: str) -> Iterator[str]:
    """String constants of a module of the operator."""
    tree = ast.parse((REPOSITORY / "operator" / "spillway_operator" / f"{module}.py").read_text())
    yield from (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def operators_reasons() -> set[str]:
    found = {text for module in OPERATOR for text in texts(module) if CAMEL.match(text)}
    assert {"AllNodesReady", "NoAgent", "WaitingForPod", "QueueTaken"} <= found
    return found - TYPES - OTHERS


def agents_reasons() -> set[str]:
    kinds = {each.__name__ for each in errors.SpillwayError.__subclasses__()}
    return {*Reason, *kinds, *RingState, "Converged", "Attached", "NotAttached", "SourceFailed"}


@pytest.mark.parametrize("reason", sorted(operators_reasons() | agents_reasons()))
def test_every_reason_is_explained(reason: str) -> None:
    assert reason in words(TROUBLE)


@pytest.mark.parametrize(
    ("page", "reasons"),
    [
        pytest.param(NODE, set(Why), id="claim"),
        pytest.param(MEDIA, {word.reason for word in WORDS.values()}, id="clock"),
    ],
)
def test_reasons_of_rings_and_clocks_are_explained(page: Path, reasons: set[str]) -> None:
    assert reasons - words(page) == set()


def exported(collector: Collector) -> set[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return names_in(registry)


def names_in(registry: CollectorRegistry) -> set[str]:
    return {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}


def sources_metrics() -> set[str]:
    clock = ClockFinding(ClockCode.PTP_CLOCK, ptp=1)
    figures = Figures("studio/cam", clock, VideoFigures(), rounds=1, core=1, reports=[Report()])
    return set(re.findall(r"^# TYPE (\S+)", exposition(figures), re.MULTILINE))


def named(page: Path) -> set[str]:
    """Metrics that a page names; `_bytes_total` behind `spillway_ring_packets_total` is short for spillway_ring_bytes_total."""
    found: set[str] = set()
    for line in page.read_text().splitlines():
        prefix = ""
        for word in re.findall(r"`(?:\.\.\.)?(\w+)`", line):
            prefix = "_".join(word.split("_")[:2]) if word.startswith("spillway_") else prefix
            found.add(word if word.startswith("spillway_") else prefix + word)
    return found


EXPORTED = [
    pytest.param(exported(SpillwayCollector(Snapshot, "All")), METRICS, id="agent"),
    pytest.param(names_in(operator.REGISTRY), METRICS, id="operator"),
    pytest.param(exported(driver.StreamCollector(driver.Snapshot)), NODE, id="driver of streams"),
    pytest.param(sources_metrics(), MEDIA, id="source"),
]


@pytest.mark.parametrize(("metrics", "page"), EXPORTED)
def test_every_metric_is_explained(metrics: set[str], page: Path) -> None:
    assert len(metrics) > 5
    assert metrics - named(page) == set()


def test_no_page_names_a_metric_that_is_not_there() -> None:
    known = {name for each in EXPORTED for name in each.values[0]}
    said = {name for page in pages() for name in re.findall(r"\bspillway_\w+", page.read_text())}
    packages = {"spillway_crds", "spillway_dataplane", "spillway_operator", "spillway_stream", "spillway_ring"}
    assert said - known - packages == set()
