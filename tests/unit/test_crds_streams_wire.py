"""A ring's parameters: what a claim carries to the node, and what is refused there."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest
from tests import stream_cases

from spillway_crds.errors import InvalidIntent
from spillway_crds.streams import BindMode, ClockSource, Flow, Pacing, RingParameters, RingSize, VlanTag
from spillway_crds.streams_wire import decode_parameters, decode_stream, encode_parameters

SHORT = Flow(ip_address("10.244.0.2"), 5004)
FULL = RingParameters(
    flow=Flow(
        destination=ip_address("ff05::1234"),
        destination_port=5006,
        source=ip_address("2001:db8::7"),
        source_port=6000,
        ttl=16,
        dscp=46,
        vlan=VlanTag(100, 5),
    ),
    bind_mode=BindMode.ZERO_COPY,
    pacing=Pacing(bits_per_second=5_000_000_000),
    ring=RingSize(descriptors=64, frame_bytes=4096, batch=64),
    clock=ClockSource.PTP,
)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(RingParameters(SHORT), id="defaults"),
        pytest.param(RingParameters(SHORT, pacing=Pacing(packets_per_second=340_000)), id="packets"),
        pytest.param(FULL, id="everything"),
    ],
)
def test_what_is_written_reads_back_the_same(parameters: RingParameters) -> None:
    wire = encode_parameters(parameters)
    assert decode_parameters(json.loads(json.dumps(wire))) == parameters
    assert encode_parameters(decode_parameters(wire)) == wire


def test_a_claim_that_needs_no_clock_says_nothing_of_one() -> None:
    """Claims that were made before there were clocks stay as they have to be."""
    assert "clock" not in encode_parameters(RingParameters(SHORT))


def test_what_is_left_out_gets_the_documented_default() -> None:
    flow = {"destinationAddress": "10.244.0.2", "destinationPort": 5004}
    raw = {"apiVersion": "spillway.dev/v1alpha1", "kind": "RingParameters", "flow": flow}
    assert decode_parameters(raw) == RingParameters(Flow(ip_address("10.244.0.2"), 5004, source_port=5004, ttl=64, dscp=0))
    assert decode_parameters({**raw, "ring": {"batch": 8}}).ring == RingSize(4096, 2048, 8)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param({"kind": "BypassStream"}, "parameters.kind", id="another kind"),
        pytest.param({"apiVersion": "spillway.dev/v1"}, "parameters.apiVersion", id="another version"),
        pytest.param({"flow": None}, "parameters.flow", id="no flow"),
        pytest.param({"bindmode": "Copy"}, "parameters.bindmode", id="unknown field"),
        pytest.param({"pacing": {"profile": "ST2110-21-Wide"}}, "parameters.pacing.profile", id="a profile is the source's"),
        pytest.param({"clock": {"source": "PTP", "ptpDomain": 1}}, "parameters.clock.ptpDomain", id="so is a domain"),
        pytest.param({"ring": {"descriptors": 100}}, "parameters.ring.descriptors", id="no power of two"),
        pytest.param({"ring": {"descriptors": 64, "batch": 65}}, "parameters.ring.batch", id="batch above the ring"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidIntent) as refused:
        decode_parameters({**encode_parameters(FULL), **change})
    assert path in [problem.path for problem in refused.value.problems]


@pytest.mark.parametrize("namespace", ["Studio", "a.b", "-a", "s" * 64, 5])
def test_a_namespace_that_cannot_be_is_refused(namespace: object) -> None:
    with pytest.raises(InvalidIntent) as refused:
        decode_stream(stream_cases.stream() | {"metadata": {"name": "cam", "namespace": namespace}})
    assert [(problem.path, problem.value) for problem in refused.value.problems] == [("metadata.namespace", namespace)]


@pytest.mark.parametrize("namespace", ["", None])
def test_no_namespace_is_the_default_one(namespace: object) -> None:
    assert decode_stream(stream_cases.stream() | {"metadata": {"name": "cam", "namespace": namespace}}).namespace == "default"
