"""A BypassStream's manifest, and what its ResourceClaim carries to the node: as JSON and back.

Strict in what is read, canonical in what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from spillway_crds import names
from spillway_crds.decode import checked
from spillway_crds.encode import without_empty
from spillway_crds.errors import InvalidIntent
from spillway_crds.manifests import manifest_problems
from spillway_crds.schema.bypassstream import ANY_QUEUE, SPEC
from spillway_crds.schema.fields import Record, Text
from spillway_crds.schema.ring import PARAMETER_FIELDS
from spillway_crds.streams import BindMode, BypassStream, Flow, Pacing, RingParameters, RingSize, StreamSpec, VlanTag
from spillway_crds.validate import completed

STREAM_KIND, PARAMETERS_KIND = "BypassStream", "RingParameters"
DEFAULT_NAMESPACE = "default"
PARAMETERS = Record(
    description="The opaque configuration of a claim for a transmit queue: the same fields as in a BypassStream's spec.",
    fields={
        "apiVersion": Text(description="Version of this format.", choices=(names.API_VERSION,)),
        "kind": Text(description="Always RingParameters.", choices=(PARAMETERS_KIND,)),
        **PARAMETER_FIELDS,
    },
    required=("apiVersion", "kind", "flow"),
)


def encode_parameters(parameters: RingParameters) -> dict[str, Any]:
    """The opaque parameters of a claim, defaults written out: equal parameters give equal JSON."""
    return {"apiVersion": names.API_VERSION, "kind": PARAMETERS_KIND, **encode_ring_fields(parameters)}


def decode_parameters(raw: Mapping[str, Any]) -> RingParameters:
    """Inverse of `encode_parameters`. Raises InvalidIntent with every problem, each with its path below `parameters`."""
    return decode_ring_fields(checked(PARAMETERS, raw, "parameters"))


def decode_stream(raw: Mapping[str, Any]) -> BypassStream:
    """Turn a BypassStream manifest, or one read from the API server, into a value. `status` is not looked at.

    Raises InvalidIntent with every problem: unknown fields, wrong types, broken constraints; each with its path.
    """
    if problems := manifest_problems(raw, STREAM_KIND, SPEC):
        raise InvalidIntent(tuple(problems))
    metadata = raw["metadata"]
    return BypassStream(
        namespace=metadata.get("namespace", DEFAULT_NAMESPACE),
        name=metadata["name"],
        spec=_stream_spec(completed(SPEC, raw["spec"])),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp") or "",
    )


def _stream_spec(spec: Mapping[str, Any]) -> StreamSpec:
    queue = spec["txQueue"]
    return StreamSpec(
        interface=spec["interface"],
        parameters=decode_ring_fields(spec),
        tx_queue=None if queue == ANY_QUEUE else queue,
    )


def encode_ring_fields(parameters: RingParameters) -> dict[str, Any]:
    """The fields that a stream's spec and a claim's parameters share."""
    pacing = without_empty(
        {"packetsPerSecond": parameters.pacing.packets_per_second, "bitsPerSecond": parameters.pacing.bits_per_second}
    )
    return {
        "bindMode": parameters.bind_mode.value,
        "flow": _flow(parameters.flow),
        **without_empty({"pacing": pacing}),
        "ring": {
            "descriptors": parameters.ring.descriptors,
            "frameBytes": parameters.ring.frame_bytes,
            "batch": parameters.ring.batch,
        },
    }


def _flow(flow: Flow) -> dict[str, Any]:
    return without_empty(
        {
            "sourceAddress": str(flow.source) if flow.source else None,
            "sourcePort": flow.source_port,
            "destinationAddress": str(flow.destination),
            "destinationPort": flow.destination_port,
            "ttl": flow.ttl,
            "dscp": flow.dscp,
            "vlan": {"id": flow.vlan.id, "priority": flow.vlan.priority} if flow.vlan else None,
        }
    )


def decode_ring_fields(checked_fields: Mapping[str, Any]) -> RingParameters:
    """From fields that were checked and completed."""
    ring = checked_fields.get("ring", {})
    return RingParameters(
        flow=_decode_flow(checked_fields["flow"]),
        bind_mode=BindMode(checked_fields["bindMode"]),
        pacing=_decode_pacing(checked_fields.get("pacing", {})),
        ring=RingSize(ring["descriptors"], ring["frameBytes"], ring["batch"]) if ring else RingSize(),
    )


def _decode_pacing(raw: Mapping[str, Any]) -> Pacing:
    return Pacing(packets_per_second=raw.get("packetsPerSecond"), bits_per_second=raw.get("bitsPerSecond"))


def _decode_flow(raw: Mapping[str, Any]) -> Flow:
    return Flow(
        destination=ip_address(raw["destinationAddress"]),
        destination_port=raw["destinationPort"],
        source=ip_address(raw["sourceAddress"]) if "sourceAddress" in raw else None,
        source_port=raw["sourcePort"],
        ttl=raw["ttl"],
        dscp=raw["dscp"],
        vlan=VlanTag(raw["vlan"]["id"], raw["vlan"]["priority"]) if "vlan" in raw else None,
    )
