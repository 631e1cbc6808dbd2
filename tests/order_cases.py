"""The constraints of a NodeDataplane's order, as crd_cases.py has those of a FloodFilter."""

from __future__ import annotations

from tests.crd_manifests import NO_ITEMS, REQUIRED, SUPPORTED, UNKNOWN, Constraint, Manifest, manifest


def order(*without: str, **fields: object) -> Manifest:
    """A NodeDataplane that runs one filter."""
    whole = {"state": "Active", "filters": [running()]} | fields
    return manifest("NodeDataplane", {key: value for key, value in whole.items() if key not in without})


def rings(*interfaces: str) -> Manifest:
    return order(ringInterfaces=list(interfaces))


def running(**fields: object) -> dict[str, object]:
    return {"name": "case", "uid": "0b1f", "revision": "case-0123456789"} | fields


ORDER_FILTER = "spec.filters[0]"
ORDERS = (
    Constraint("order-field", order(), order(streams=[]), "spec.streams", UNKNOWN),
    Constraint("order-state-required", order("filters", state="Empty"), order("state"), "spec.state", REQUIRED),
    Constraint("order-state", order("filters", state="Idle"), order(state="Stopped"), "spec.state", SUPPORTED),
    Constraint("order-attach", order(attach="Allowed"), order(attach="allowed"), "spec.attach", SUPPORTED),
    Constraint(
        "order-report-low", order(reportSeconds=1), order(reportSeconds=0), "spec.reportSeconds", "greater than or equal to 1"
    ),
    Constraint(
        "order-report-high",
        order(reportSeconds=3600),
        order(reportSeconds=3601),
        "spec.reportSeconds",
        "less than or equal to 3600",
    ),
    Constraint(
        "order-standby", order(attachStandby=True), order(attachStandby=1), "spec.attachStandby", "must be of type boolean"
    ),
    Constraint("order-filters-some", order(), order(filters=[]), "spec.filters", NO_ITEMS),
    Constraint(
        "order-filters-24",
        order(filters=[running()] * 24),
        order(filters=[running()] * 25),
        "spec.filters",
        "must have at most 24 items",
    ),
    Constraint("order-active", order(), order("filters"), "spec.filters", "state Active has filters, Idle and Empty have none"),
    Constraint(
        "order-empty",
        order("filters", state="Empty"),
        order(state="Empty"),
        "spec.filters",
        "state Active has filters, Idle and Empty have none",
    ),
    Constraint(
        "order-rings-empty",
        order("filters", state="Idle", ringInterfaces=["eth1"]),
        order("filters", state="Empty", ringInterfaces=["eth1"]),
        "spec.ringInterfaces",
        "on an empty node no queue may be granted",
    ),
    Constraint("order-rings-least", rings("eth1"), rings(), "spec.ringInterfaces", NO_ITEMS),
    Constraint(
        "order-rings-most",
        rings(*(f"eth{index}" for index in range(16))),
        rings(*(f"eth{index}" for index in range(17))),
        "spec.ringInterfaces",
        "must have at most 16 items",
    ),
    Constraint("order-rings-twice", rings("eth0", "eth1"), rings("eth1", "eth1"), "spec.ringInterfaces[1]", "Duplicate value"),
    Constraint("order-ring-15", rings("e" * 15), rings("e" * 16), "spec.ringInterfaces[0]", "may not be more than 15 bytes"),
    Constraint("order-ring-name", rings("eth1.5"), rings("eth*"), "spec.ringInterfaces[0]", "not the name of an interface"),
    Constraint("order-ring-lo", rings("lo1"), rings("lo"), "spec.ringInterfaces[0]", "lo has no card"),
    Constraint("order-name", order(), order(filters=[{"uid": "u", "revision": "r"}]), f"{ORDER_FILTER}.name", REQUIRED),
    Constraint("order-uid", order(), order(filters=[{"name": "n", "revision": "r"}]), f"{ORDER_FILTER}.uid", REQUIRED),
    Constraint("order-revision", order(), order(filters=[{"name": "n", "uid": "u"}]), f"{ORDER_FILTER}.revision", REQUIRED),
    Constraint(
        "order-mode",
        order(filters=[running(mode="Enforce")]),
        order(filters=[running(mode="On")]),
        f"{ORDER_FILTER}.mode",
        SUPPORTED,
    ),
    Constraint(
        "order-name-63",
        order(filters=[running(name="n" * 63)]),
        order(filters=[running(name="n" * 64)]),
        f"{ORDER_FILTER}.name",
        "may not be more than 63 bytes",
    ),
    Constraint(
        "order-suspend",
        order(filters=[running(suspend=True)]),
        order(filters=[running(suspend="no")]),
        f"{ORDER_FILTER}.suspend",
        "must be of type boolean",
    ),
)
