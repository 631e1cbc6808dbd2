"""Between the API server's JSON and the values of sights.py. Pure: no I/O, no clock.

Of all the cluster's ResourceClaims and ResourceSlices only those that concern our driver are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from spillway_crds import names
from spillway_crds.errors import InvalidIntent
from spillway_crds.status_wire import decode_condition
from spillway_crds.streams import ApplicationSource, BypassStream, Leg, RingParameters, StreamSpec, VideoSource
from spillway_crds.streams_wire import STREAM_KIND, decode_stream, encode_parameters, source_document
from spillway_operator.streams.report import decode_stream_report
from spillway_operator.streams.sights import ClaimSight, Device, DeviceWord, Offer, SliceSight, StreamSight

Raw = Mapping[str, Any]
LEG_REQUEST = "leg"  # the second path of a stream that goes out twice
ATTRIBUTES = f'device.attributes["{names.QUEUE_DRIVER}"]'


def key_of(raw: Raw) -> str:
    """`namespace/name` of an object."""
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"


def reduce_stream(raw: Raw, known: StreamSight | None) -> StreamSight:
    """A BypassStream as it is seen; its spec is decoded again only if its generation is another than in `known`."""
    meta = raw["metadata"]
    version, report = int(meta["resourceVersion"]), decode_stream_report(raw.get("status"))
    if known is not None and (known.uid, known.generation) == (meta["uid"], meta.get("generation", 0)):
        return replace(known, version=version, report=report)
    bare = StreamSight(
        name=key_of(raw),
        uid=meta["uid"],
        version=version,
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        report=report,
    )
    try:
        subject = decode_stream(raw)
    except InvalidIntent as error:
        return replace(bare, problem=str(error))
    built_in = not isinstance(subject.spec.source, ApplicationSource)
    document = source_document(raw["spec"]) if built_in else {}
    return replace(bare, subject=subject, wanted=claim_spec(subject), document=document)


# ---- claims -----------------------------------------------------------------------------------------------------------------


def device_class(namespace: str) -> str:
    """The DeviceClass that offers a namespace the queues that it may have."""
    return f"{namespace}.{names.QUEUE_DRIVER}"


def claim_spec(stream: BypassStream) -> dict[str, Any]:
    """What a stream's ResourceClaim asks the scheduler for, and tells the node."""
    spec = stream.spec
    rings = [(names.RING_REQUEST, spec.interface, spec.tx_queue, spec.parameters)]
    rings += [(LEG_REQUEST, leg.interface, leg.tx_queue, replace(spec.parameters, flow=leg.flow)) for leg in _legs(spec)]
    return {
        "devices": {
            "requests": [_request(stream.namespace, name, interface, queue) for name, interface, queue, _ in rings],
            "config": [_config(name, parameters) for name, _, _, parameters in rings],
        }
    }


def _legs(spec: StreamSpec) -> tuple[Leg, ...]:
    return spec.source.legs if isinstance(spec.source, VideoSource) else ()


def _request(namespace: str, name: str, interface: str, queue: int | None) -> dict[str, Any]:
    selectors = [{"cel": {"expression": queue_selector(interface, queue)}}]
    return {"name": name, "exactly": {"deviceClassName": device_class(namespace), "selectors": selectors}}


def _config(name: str, parameters: RingParameters) -> dict[str, Any]:
    return {"requests": [name], "opaque": {"driver": names.QUEUE_DRIVER, "parameters": encode_parameters(parameters)}}


def rings_of(sight: StreamSight) -> tuple[str, ...]:
    """Names of the requests of a stream's claim, its own ring first."""
    return tuple(each["name"] for each in sight.wanted["devices"]["requests"])


def queue_selector(interface: str, queue: int | None) -> str:
    """CEL for the scheduler. interface: letters, digits and signs that need no quoting, by the CRD."""
    by_name = f'{ATTRIBUTES}.interface == "{interface}"'
    return by_name if queue is None else f"{by_name} && {ATTRIBUTES}.queue == {queue}"


def claim_body(sight: StreamSight) -> dict[str, Any]:
    """The ResourceClaim to create: of the stream's name, and gone with the stream."""
    namespace, _, name = sight.name.partition("/")
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": STREAM_KIND,
        "name": name,
        "uid": sight.uid,
        "controller": True,
        "blockOwnerDeletion": False,  # else deleting the stream could wait for a pod
    }
    return {
        "apiVersion": names.RESOURCE_API,
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
        "spec": dict(sight.wanted),
    }


def says(found: Any, wanted: Any) -> bool:
    """Whether a value holds all that is wanted; the API server fills in more."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(key in found and says(found[key], each) for key, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(says, found, wanted))
    return bool(found == wanted)


def is_about_queues(raw: Raw) -> bool:
    """Whether a ResourceClaim asks for transmit queues or has some."""
    devices = raw.get("spec", {}).get("devices") or {}
    classes = (each.get("deviceClassName", "") for request in devices.get("requests") or () for each in _alternatives(request))
    return any(name.endswith(names.QUEUE_DRIVER) for name in classes) or bool(_allocated(raw))


def selectors_of(spec: Raw) -> tuple[str, ...]:
    """The CEL texts of all requests of a claim."""
    alternatives = (each for request in (spec.get("devices") or {}).get("requests") or () for each in _alternatives(request))
    selectors = (selector for each in alternatives for selector in each.get("selectors") or ())
    return tuple((each.get("cel") or {}).get("expression", "") for each in selectors)


def _alternatives(request: Raw) -> list[Raw]:
    return [request["exactly"]] if request.get("exactly") else list(request.get("firstAvailable") or ())


def _allocated(raw: Raw) -> tuple[Device, ...]:
    devices = ((raw.get("status") or {}).get("allocation") or {}).get("devices") or {}
    ours = (each for each in devices.get("results") or () if each.get("driver") == names.QUEUE_DRIVER)
    return tuple(
        Device(each["pool"], each["device"]) for each in sorted(ours, key=lambda each: each.get("request") == LEG_REQUEST)
    )


def reduce_claim(raw: Raw) -> ClaimSight:
    """A ResourceClaim as it is seen."""
    meta, status = raw["metadata"], raw.get("status") or {}
    holders = [each for each in status.get("reservedFor") or () if each.get("resource") == "pods"]
    owner: Raw = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), {})
    return ClaimSight(
        name=key_of(raw),
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        created=meta.get("creationTimestamp") or "",
        deleting=bool(meta.get("deletionTimestamp")),
        owner_kind=owner.get("kind", ""),
        owner_name=owner.get("name", ""),
        owner_uid=owner.get("uid", ""),
        spec=raw.get("spec") or {},
        holders=tuple(each["name"] for each in holders),
        holder_uids=tuple(each["uid"] for each in holders),
        devices=_allocated(raw),
        words=_words(status.get("devices") or ()),
    )


def _words(devices: Iterable[Raw]) -> dict[Device, DeviceWord]:
    ours = (each for each in devices if each.get("driver") == names.QUEUE_DRIVER)
    return {Device(each["pool"], each["device"]): _word(each) for each in ours}


def _word(raw: Raw) -> DeviceWord:
    return DeviceWord(tuple(map(decode_condition, raw.get("conditions") or ())), raw.get("data") or {})


# ---- slices -----------------------------------------------------------------------------------------------------------------


def is_our_slice(raw: Raw) -> bool:
    """Whether a ResourceSlice is of our driver."""
    return bool(raw["spec"].get("driver") == names.QUEUE_DRIVER)


def reduce_slice(raw: Raw) -> SliceSight:
    """A ResourceSlice of our driver as it is seen."""
    meta, spec = raw["metadata"], raw["spec"]
    offers = (_offer(spec["pool"]["name"], each) for each in spec.get("devices") or ())
    return SliceSight(meta["name"], int(meta["resourceVersion"]), tuple(each for each in offers if each is not None))


def _offer(node: str, device: Raw) -> Offer | None:
    attributes = device.get("attributes") or {}
    interface, queue = attributes.get("interface", {}).get("string"), attributes.get("queue", {}).get("int")
    return None if interface is None or queue is None else Offer(Device(node, device["name"]), interface, queue)
