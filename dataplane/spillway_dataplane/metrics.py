"""What Prometheus is told: the last counts that the agent read, and how the agent does. Nothing is read for a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spillway_crds.failsafe import FLOW_NAMES
from spillway_crds.orders import FilterStatus, Totals
from spillway_dataplane import __version__
from spillway_dataplane.filter.program import InterfaceCounts


@dataclass(frozen=True, slots=True)
class Snapshot:
    """filters: with the totals of all their rules. settled_at: Unix time of the last run of the loop that left nothing to do."""

    filters: tuple[FilterStatus, ...] = ()
    interfaces: Mapping[str, InterfaceCounts] = field(default_factory=dict)
    settled_at: float = 0.0
    errors: int = 0
    compile_seconds: float = 0.0
    api_connected: bool = False
    api_errors: int = 0
    acting: bool = False


class SpillwayCollector(Collector):
    """Turns the latest snapshot into metrics.

    per_rule: `All`, `None`, or how many rules of a filter, in their order, have metrics of their own; its totals always have.
    """

    def __init__(self, latest: Callable[[], Snapshot], per_rule: str) -> None:
        self._latest = latest
        self._limit = {"All": None, "None": 0}.get(per_rule, int(per_rule) if per_rule.isdigit() else 0)

    def collect(self) -> Iterator[Metric]:
        """Return all metrics. Called by a thread of the HTTP server; a snapshot never changes."""
        snapshot = self._latest()
        yield from self._filters(snapshot)
        yield from self._rules(snapshot)
        yield from _interfaces(snapshot)
        yield from _health(snapshot)

    def _filters(self, snapshot: Snapshot) -> Iterator[Metric]:
        packets = CounterMetricFamily(
            "spillway_filter_packets", "Packets that rules of a filter matched.", labels=("filter", "verdict")
        )
        size = CounterMetricFamily("spillway_filter_bytes", "Bytes of these packets, whole frames.", labels=("filter", "verdict"))
        for each in snapshot.filters:
            _add(packets, size, (each.name,), each.totals)
        yield from (packets, size)

    def _rules(self, snapshot: Snapshot) -> Iterator[Metric]:
        labels = ("filter", "rule", "verdict")
        packets = CounterMetricFamily("spillway_rule_packets", "Packets that a rule matched.", labels=labels)
        size = CounterMetricFamily("spillway_rule_bytes", "Bytes of these packets, whole frames.", labels=labels)
        for each in snapshot.filters:
            for rule in each.rules[: self._limit]:
                _add(packets, size, (each.name, rule.name), rule.totals)
        yield from (packets, size)


def _add(packets: CounterMetricFamily, size: CounterMetricFamily, labels: tuple[str, ...], totals: Totals) -> None:
    """Give each matched packet exactly one verdict, so that their sum is what was matched."""
    passed = totals.matched_packets - totals.dropped_packets - totals.would_drop_packets
    passed_bytes = totals.matched_bytes - totals.dropped_bytes - totals.would_drop_bytes
    verdicts = {
        "drop": (totals.dropped_packets, totals.dropped_bytes),
        "would_drop": (totals.would_drop_packets, totals.would_drop_bytes),
        "pass": (passed, passed_bytes),
    }
    for verdict, (count, size_bytes) in verdicts.items():
        packets.add_metric((*labels, verdict), count)
        size.add_metric((*labels, verdict), size_bytes)


def _interfaces(snapshot: Snapshot) -> Iterator[Metric]:
    odd = CounterMetricFamily(
        "spillway_interface_packets", "Packets that no field could be read of.", labels=("interface", "kind")
    )
    failsafe = CounterMetricFamily(
        "spillway_failsafe_packets",
        "Packets that a rule would have dropped but for a failsafe flow.",
        labels=("interface", "flow"),
    )
    for name, counts in snapshot.interfaces.items():
        odd.add_metric((name, "malformed"), counts.malformed_packets)
        odd.add_metric((name, "unparsed"), counts.unparsed_packets)
        for flow, count in zip(FLOW_NAMES, counts.failsafe_packets, strict=False):  # the map has room for more flows
            failsafe.add_metric((name, flow), count)
    yield from (odd, failsafe)


def _health(snapshot: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("spillway_agent_last_settled_seconds", "When nothing was left to do, Unix time.", snapshot.settled_at)
    yield CounterMetricFamily("spillway_agent_errors", "Steps that failed.", snapshot.errors)
    yield GaugeMetricFamily("spillway_agent_compile_seconds", "How long the last program took.", snapshot.compile_seconds)
    yield GaugeMetricFamily("spillway_agent_api_connected", "Whether the last call was answered.", int(snapshot.api_connected))
    yield CounterMetricFamily("spillway_agent_api_errors", "Calls that failed.", snapshot.api_errors)
    yield GaugeMetricFamily("spillway_agent_acting", "Whether this agent holds the node's lock.", int(snapshot.acting))
    info = GaugeMetricFamily("spillway_build_info", "Always 1.", labels=("version",))
    info.add_metric((__version__,), 1)
    yield info
