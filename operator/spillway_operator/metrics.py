"""What Prometheus is told of the operator. One registry of our own: kopf and the clients add nothing to it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, start_http_server

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter has a second series that nobody reads
REGISTRY = CollectorRegistry()
LEADING = Gauge("spillway_operator_leading", "1 on the replica that leads.", registry=REGISTRY)
RUNS = Counter("spillway_operator_runs", "Runs of each work queue, by result.", ["queue", "result"], registry=REGISTRY)
WRITES = Counter("spillway_operator_writes", "Objects written, by kind.", ["kind"], registry=REGISTRY)
OBJECTS = Gauge("spillway_operator_objects", "Objects known, by kind.", ["kind"], registry=REGISTRY)
CRD_MISSING = Gauge(
    "spillway_operator_crd_missing", "1 while orders are held because a CRD is gone or going.", ["crd"], registry=REGISTRY
)
TURNS = Gauge(
    "spillway_operator_turns", "Nodes that have a turn, that wait for one, that failed theirs.", ["state"], registry=REGISTRY
)


def note_run(queue: str, succeeded: bool) -> None:
    """Count one run of a work queue."""
    RUNS.labels(queue, "success" if succeeded else "failure").inc()


def serve(port: int) -> None:
    """Answer scrapers from now on, in the background."""
    start_http_server(port, registry=REGISTRY)
