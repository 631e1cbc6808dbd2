"""A BypassStream's manifest, and what its ResourceClaim carries to the node: as JSON and back.

Strict in what is read, canonical in what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from ipaddress import ip_address
from typing import Any

from spillway_crds import names
from spillway_crds.decode import checked, decode_selector
from spillway_crds.encode import without_empty
from spillway_crds.errors import InvalidIntent
from spillway_crds.manifests import manifest_problems
from spillway_crds.schema.bypassstream import SPEC
from spillway_crds.schema.fields import Record, Text
from spillway_crds.schema.ring import PARAMETER_FIELDS, RING_CLOCK
from spillway_crds.schema.sources import ANY_QUEUE
from spillway_crds.streams import (
    ApplicationSource,
    BindMode,
    BypassStream,
    ClockSource,
    FileVolume,
    Flow,
    Leg,
    Pacing,
    PcapSource,
    RingParameters,
    RingSize,
    SenderProfile,
    Source,
    StreamClock,
    StreamSpec,
    VideoLook,
    VideoSource,
    VlanTag,
)
from spillway_crds.validate import completed

STREAM_KIND, PARAMETERS_KIND = "BypassStream", "RingParameters"
DEFAULT_NAMESPACE = "default"
PARAMETERS = Record(
    description="The opaque configuration of a claim for a transmit queue: the same fields as in a BypassStream's spec.",
    fields={
        "apiVersion": Text(description="Version of this format.", choices=(names.API_VERSION,)),
        "kind": Text(description="Always RingParameters.", choices=(PARAMETERS_KIND,)),
        **PARAMETER_FIELDS,
        "clock": RING_CLOCK,
    },
    required=("apiVersion", "kind", "flow"),
)


def encode_parameters(parameters: RingParameters) -> dict[str, Any]:
    """The opaque parameters of a claim, defaults written out: equal parameters give equal JSON."""
    return {"apiVersion": names.API_VERSION, "kind": PARAMETERS_KIND, **encode_ring_fields(parameters)}


def decode_parameters(raw: Any, path: str = "parameters") -> RingParameters:
    """Inverse of `encode_parameters`. Raises InvalidIntent with every problem, each with its path below `path`."""
    return decode_ring_fields(checked(PARAMETERS, raw, path))


def decode_stream(raw: Mapping[str, Any]) -> BypassStream:
    """Turn a BypassStream manifest, or one read from the API server, into a value. `status` is not looked at.

    Raises InvalidIntent with every problem: unknown fields, wrong types, broken constraints; each with its path.
    """
    if problems := manifest_problems(raw, STREAM_KIND, SPEC):
        raise InvalidIntent(tuple(problems))
    metadata = raw["metadata"]
    return BypassStream(
        namespace=metadata.get("namespace") or DEFAULT_NAMESPACE,
        name=metadata["name"],
        spec=_stream_spec(completed(SPEC, raw["spec"])),
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 0,
        created=metadata.get("creationTimestamp") or "",
    )


def _stream_spec(spec: Mapping[str, Any]) -> StreamSpec:
    return StreamSpec(
        interface=spec["interface"],
        parameters=decode_ring_fields(spec),
        source=_source(spec["source"]),
        tx_queue=_queue(spec),
        node_selector=decode_selector(spec["nodeSelector"]) if "nodeSelector" in spec else None,
        clock=StreamClock(ClockSource(spec["clock"]["source"]), spec["clock"]["ptpDomain"]) if "clock" in spec else StreamClock(),
        cpu=spec.get("cpu"),
    )


def _queue(raw: Mapping[str, Any]) -> int | None:
    return None if raw["txQueue"] == ANY_QUEUE else raw["txQueue"]


def _source(raw: Mapping[str, Any]) -> Source:
    if "video" in raw:
        return _video(raw["video"])
    if "pcap" in raw:
        return _pcap(raw["pcap"])
    return ApplicationSource()


def _video(raw: Mapping[str, Any]) -> VideoSource:
    return VideoSource(
        width_pixels=raw["widthPixels"],
        height_pixels=raw["heightPixels"],
        exact_frame_rate=Fraction(raw["exactFrameRate"]),
        sampling=raw["sampling"],
        depth_bits=raw["depthBits"],
        interlaced=raw["interlaced"],
        pattern=raw.get("pattern", ""),
        file=raw.get("file", ""),
        volume=_volume(raw["volume"]) if "volume" in raw else None,
        loop=raw["loop"],
        payload_type=raw["payloadType"],
        legs=tuple(Leg(each["interface"], _decode_flow(each["flow"]), _queue(each)) for each in raw.get("legs", ())),
        look=_look(raw),
    )


def _look(raw: Mapping[str, Any]) -> VideoLook:
    usual = VideoLook()
    return VideoLook(
        raw.get("colorimetry", usual.colorimetry),
        raw.get("transferCharacteristicSystem", usual.transfer),
        raw.get("range", usual.range),
        raw.get("pixelAspectRatio", usual.pixel_aspect),
    )


def _pcap(raw: Mapping[str, Any]) -> PcapSource:
    return PcapSource(raw["file"], _volume(raw["volume"]), raw["loop"], Fraction(raw["speed"]))


def _volume(raw: Mapping[str, Any]) -> FileVolume:
    return FileVolume(config_map=raw.get("configMap", ""), claim=raw.get("persistentVolumeClaim", ""))


def source_document(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a built-in source is told of its stream: parts of the spec as they stand, with their defaults.

    raw: the spec of a manifest that `decode_stream` accepts.
    """
    spec = completed(SPEC, raw)
    return {key: spec[key] for key in ("source", "pacing", "clock", "cpu") if key in spec}


def encode_ring_fields(parameters: RingParameters) -> dict[str, Any]:
    """What a stream's spec and a claim's parameters share. A profile and a PTP domain are the source's own business."""
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
        **({"clock": {"source": parameters.clock.value}} if parameters.clock is not ClockSource.SYSTEM else {}),
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
        clock=ClockSource(checked_fields["clock"]["source"]) if "clock" in checked_fields else ClockSource.SYSTEM,
    )


def _decode_pacing(raw: Mapping[str, Any]) -> Pacing:
    profile = SenderProfile(raw["profile"]) if "profile" in raw else None
    return Pacing(raw.get("packetsPerSecond"), raw.get("bitsPerSecond"), profile)


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
