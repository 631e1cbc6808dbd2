"""What Prometheus and the kubelet are told."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from spillway_crds.failsafe import FLOW_NAMES
from spillway_crds.orders import FilterState, FilterStatus, RuleTotals, Totals
from spillway_dataplane.filter.program import InterfaceCounts
from spillway_dataplane.metrics import Snapshot, SpillwayCollector
from spillway_dataplane.web import serve

RULES = tuple(RuleTotals(f"r{number}", Totals(10, 600, 4, 240, 3, 180)) for number in range(40))
SNAPSHOT = Snapshot(
    filters=(
        FilterStatus("dns", "uid", "dns-1", FilterState.ENFORCING, totals=Totals(400, 24000, 160, 9600, 120, 7200), rules=RULES),
    ),
    interfaces={"eth0": InterfaceCounts(1, 2, (*range(16), 99))},
    acting=True,
)


def samples(per_rule: str) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(SpillwayCollector(lambda: SNAPSHOT, per_rule))
    return {(s.name, *s.labels.values()): s.value for family in registry.collect() for s in family.samples}


@pytest.mark.parametrize(("per_rule", "rules"), [("All", 40), ("None", 0), ("32", 32), ("0", 0)])
def test_rules_are_as_many_as_asked_and_totals_always_there(per_rule, rules):
    found = samples(per_rule)
    assert len({key[2] for key in found if key[0] == "spillway_rule_packets_total"}) == rules
    assert found["spillway_filter_packets_total", "dns", "drop"] == 160


def test_verdicts_add_up_to_what_was_matched():
    found = samples("All")
    verdicts = {key[3]: value for key, value in found.items() if key[:3] == ("spillway_rule_packets_total", "dns", "r0")}
    assert verdicts == {"drop": 4, "would_drop": 3, "pass": 3}


def test_interfaces_and_flows_by_name():
    found = samples("None")
    assert found["spillway_interface_packets_total", "eth0", "malformed"] == 1
    flows = {key[2]: value for key, value in found.items() if key[0] == "spillway_failsafe_packets_total"}
    assert flows == {name: number for number, name in enumerate(FLOW_NAMES)}


def test_server_shares_its_port_and_answers_probes():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready = []
    for _ in range(2):  # two agents during an update
        serve(("127.0.0.1", port), SpillwayCollector(lambda: SNAPSHOT, "32"), alive=lambda: True, ready=lambda: bool(ready))
    assert ask(port, "/healthz") == (200, "ok\n")
    assert ask(port, "/readyz")[0] == 503
    ready.append(True)
    assert ask(port, "/readyz")[0] == 200
    assert ask(port, "/elsewhere")[0] == 404
    status, text = ask(port, "/metrics")
    assert status == 200
    assert "spillway_build_info" in {family.name for family in text_string_to_metric_families(text)}


def ask(port: int, path: str) -> tuple[int, str]:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            continue
    raise AssertionError("no server")
