"""Claims that people write themselves: all that admission or a node would say against them, before anybody waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_crds.claims import asks_for_queues, read_written_claim
from spillway_crds.errors import InvalidIntent

DRIVER = "tx-queue.spillway.dev"
FLOW = {"destinationAddress": "10.0.0.7", "destinationPort": 5004}
PARAMETERS = {"apiVersion": "spillway.dev/v1alpha1", "kind": "RingParameters", "flow": FLOW}
OPAQUE = "spec.devices.config[0].opaque.parameters"
PAGE = Path(__file__).parents[2] / "docs" / "streams" / "node.md"
Json = dict[str, Any]


def asked(device_class: str = f"studio.{DRIVER}", **fields: Any) -> Json:
    return {"name": "ring", "exactly": {"deviceClassName": device_class, **fields}}


def entry(*requests: str, driver: str = DRIVER, parameters: Any = None) -> Json:
    opaque = {"driver": driver, "parameters": PARAMETERS if parameters is None else parameters}
    return {**({"requests": list(requests)} if requests else {}), "opaque": opaque}


def claim(requests: Any = None, config: Any = None, namespace: str = "studio") -> Json:
    devices = {"requests": [asked()] if requests is None else requests, "config": [entry("ring")] if config is None else config}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "own", "namespace": namespace},
        "spec": {"devices": devices},
    }


def template() -> Json:
    """The one of the documentation."""
    (text,) = [each for each in PAGE.read_text().split("```yaml\n")[1:] if "ResourceClaimTemplate" in each]
    return dict(yaml.safe_load(text.partition("```")[0]))


ONE_OF_TWO = {
    "name": "ring",
    "firstAvailable": [{"name": "fast", "deviceClassName": f"studio.{DRIVER}"}, {"name": "gpu", "deviceClassName": "gpu"}],
}
GOOD = {
    "as documented": template(),
    "one": claim(),
    "parameters for every request": claim(config=[entry()]),
    "all queues": claim([asked(allocationMode="All")]),
    "two queues": claim([asked(count=2)]),
    "one of two classes": claim([ONE_OF_TWO]),
    "parameters of one alternative": claim([ONE_OF_TWO], [entry("ring/fast")]),
    "beside another driver": claim([asked(), {**asked("gpu"), "name": "gpu"}], [entry("gpu", driver="gpu"), entry("ring")]),
    "no namespace yet": claim(namespace=""),
}


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD.keys())
def test_what_a_node_would_take_is_taken(raw: Json) -> None:
    assert asks_for_queues(raw)
    ((request, parameters),) = read_written_claim(raw).rings
    assert request.partition("/")[0] == "ring"
    assert parameters.flow.destination_port == 5004


def with_parameters(**change: Any) -> Json:
    return claim(config=[entry("ring", parameters={**PARAMETERS, **change})])


BAD = {
    "another namespace's class": (claim([asked(f"news.{DRIVER}")]), "spec.devices.requests[0].exactly.deviceClassName"),
    "no namespace's class": (claim([asked(DRIVER)]), "spec.devices.requests[0].exactly.deviceClassName"),
    "admin access": (claim([asked(adminAccess=True)]), "spec.devices.requests[0].exactly.adminAccess"),
    "no parameters": (claim(config=[]), "spec.devices.config"),
    "no list of them": (claim(config={}), "spec.devices.config"),
    "parameters of another driver": (claim(config=[entry("ring", driver="gpu")]), "spec.devices.config"),
    "parameters of another request": (claim(config=[entry("rings")]), "spec.devices.config"),
    "parameters that are a list": (claim(config=[entry("ring", parameters=[PARAMETERS])]), OPAQUE),
    "no kind": (claim(config=[entry("ring", parameters={"flow": FLOW})]), f"{OPAQUE}.kind"),
    "another kind": (with_parameters(kind="BypassStream"), f"{OPAQUE}.kind"),
    "a stream's field": (with_parameters(interface="eth1"), f"{OPAQUE}.interface"),
    "a profile": (with_parameters(pacing={"profile": "ST2110-21-Wide"}), f"{OPAQUE}.pacing.profile"),
    "no flow": (with_parameters(flow=None), f"{OPAQUE}.flow"),
    "no address": (with_parameters(flow={**FLOW, "destinationAddress": "239.1.1.300"}), f"{OPAQUE}.flow.destinationAddress"),
    "both families": (with_parameters(flow={**FLOW, "sourceAddress": "2001:db8::7"}), f"{OPAQUE}.flow.sourceAddress"),
    "a ring of 100": (with_parameters(ring={"descriptors": 100}), f"{OPAQUE}.ring.descriptors"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "path"), BAD.values(), ids=BAD.keys())
def test_what_nobody_would_take_is_said_with_its_place(raw: Json, path: str) -> None:
    with pytest.raises(InvalidIntent) as refused:
        read_written_claim(raw)
    assert path in [problem.path for problem in refused.value.problems]


def test_a_template_s_paths_are_its_own() -> None:
    raw = template()
    raw["spec"]["spec"]["devices"]["config"][0]["opaque"]["parameters"]["colour"] = "red"
    with pytest.raises(InvalidIntent) as refused:
        read_written_claim(raw)
    assert [each.path for each in refused.value.problems] == ["spec.spec.devices.config[0].opaque.parameters.colour"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw.update(kind="Pod"), id="another kind"),
        pytest.param(lambda raw: raw.update(spec=None), id="no spec"),
        pytest.param(lambda raw: raw["spec"].update(devices="all"), id="no devices"),
        pytest.param(lambda raw: raw["spec"]["devices"].update(requests=[asked("gpu"), 7], config=["x"]), id="another's"),
    ],
)
def test_claims_of_others_are_theirs(change: Callable[[Json], None]) -> None:
    raw = json.loads(json.dumps(claim()))
    change(raw)
    assert not asks_for_queues(raw)
