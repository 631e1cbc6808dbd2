"""A ResourceClaim or its template, as somebody writes it who wants a transmit queue without a BypassStream. Pure.

Only what is ours in it is looked at: the API server has its own word on the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.streams import RingParameters
from spillway_crds.streams_wire import decode_parameters

CLAIM_KIND, TEMPLATE_KIND = "ResourceClaim", "ResourceClaimTemplate"
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WrittenClaim:
    """kind: ResourceClaim or ResourceClaimTemplate. rings: what each request for a queue is to be, by the request's name."""

    kind: str
    namespace: str
    name: str
    rings: tuple[tuple[str, RingParameters], ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, or one of its alternatives, with its place in the manifest."""

    path: str
    name: str
    fields: Raw

    @property
    def is_ours(self) -> bool:
        return str(self.fields.get("deviceClassName", "")).endswith(names.QUEUE_DRIVER)


def asks_for_queues(raw: Raw) -> bool:
    """Whether a manifest is a claim, or a template of one, that our driver is meant by."""
    if raw.get("kind") not in (CLAIM_KIND, TEMPLATE_KIND):
        return False
    devices, path = _devices(raw)
    return any(each.is_ours for each in _asked(devices, path)) or any(True for _ in _entries(devices, path))


def read_written_claim(raw: Raw) -> WrittenClaim:
    """Return what a claim that `asks_for_queues` wants.

    Raises InvalidIntent with every problem that admission or the node would have with it, each with its path.
    """
    devices, path = _devices(raw)
    metadata = _mapping(raw.get("metadata"))
    namespace = str(metadata.get("namespace") or "")
    problems: list[Problem] = []
    entries = tuple((requests, _read(where, parameters, problems)) for requests, where, parameters in _entries(devices, path))
    rings = []
    for each in (each for each in _asked(devices, path) if each.is_ours):
        problems += _problems(each, namespace)
        meant = [found for requests, found in entries if not requests or requests & {each.name, each.name.partition("/")[0]}]
        if not meant:
            why = f"no parameters of driver {names.QUEUE_DRIVER} for request {each.name}"
            problems.append(Problem(f"{path}.config", None, why))
        elif meant[-1] is not None:
            rings.append((each.name, meant[-1]))
    if problems:
        raise InvalidIntent(tuple(problems))
    return WrittenClaim(str(raw["kind"]), namespace, str(metadata.get("name", "")), tuple(rings))


def _problems(asked: _Asked, namespace: str) -> Iterator[Problem]:
    found, own = asked.fields.get("deviceClassName"), f"{namespace}.{names.QUEUE_DRIVER}"
    if namespace and found != own:
        why = f"in namespace {namespace} the device class of transmit queues is {own}"
        yield Problem(f"{asked.path}.deviceClassName", found, why)
    if asked.fields.get("adminAccess"):
        yield Problem(f"{asked.path}.adminAccess", True, "a transmit queue has one holder, so nobody gets adminAccess to it")


def _read(path: str, parameters: Any, problems: list[Problem]) -> RingParameters | None:
    try:
        return decode_parameters(parameters, path)
    except InvalidIntent as error:
        problems += error.problems
        return None


def _devices(raw: Raw) -> tuple[Raw, str]:
    spec, path = _mapping(raw.get("spec")), "spec"
    if raw.get("kind") == TEMPLATE_KIND:
        spec, path = _mapping(spec.get("spec")), "spec.spec"
    return _mapping(spec.get("devices")), f"{path}.devices"


def _asked(devices: Raw, path: str) -> Iterator[_Asked]:
    for index, request in enumerate(map(_mapping, _sequence(devices.get("requests")))):
        where, name = f"{path}.requests[{index}]", str(request.get("name", ""))
        if "exactly" in request:
            yield _Asked(f"{where}.exactly", name, _mapping(request["exactly"]))
        for number, each in enumerate(map(_mapping, _sequence(request.get("firstAvailable")))):
            yield _Asked(f"{where}.firstAvailable[{number}]", f"{name}/{each.get('name', '')}", each)


def _entries(devices: Raw, path: str) -> Iterator[tuple[frozenset[str], str, Any]]:
    """Names of the requests that an entry of our driver is for (none: all), and its parameters with their place."""
    for index, entry in enumerate(map(_mapping, _sequence(devices.get("config")))):
        opaque = _mapping(entry.get("opaque"))
        if opaque.get("driver") == names.QUEUE_DRIVER:
            requests = frozenset(map(str, _sequence(entry.get("requests"))))
            yield requests, f"{path}.config[{index}].opaque.parameters", opaque.get("parameters")


def _mapping(value: Any) -> Raw:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
