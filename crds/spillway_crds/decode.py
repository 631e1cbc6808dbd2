"""From a manifest to values, strictly: what the CRD refuses is refused here, with the same words, and all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from spillway_crds.errors import InvalidIntent
from spillway_crds.filters import (
    PROTOCOL_NUMBERS,
    FilterContent,
    FilterSpec,
    FloodFilter,
    Fragments,
    LengthRange,
    Match,
    Mode,
    NodeSelector,
    PortRange,
    Prefix,
    Rule,
    RuleAction,
    SelectorExpression,
    TcpFlag,
    TcpFlagsMatch,
    XdpMode,
)
from spillway_crds.manifests import manifest_problems
from spillway_crds.schema.fields import Field
from spillway_crds.schema.floodfilter import CONTENT, SPEC
from spillway_crds.schema.laws import port_ends
from spillway_crds.validate import completed, problems_of

KIND = "FloodFilter"


def decode_filter(raw: Mapping[str, Any]) -> FloodFilter:
    """Turn a FloodFilter manifest, or one read from the API server, into a value. `status` is not looked at.

    Raises InvalidIntent with every problem: unknown fields, wrong types, broken constraints; each with its path.
    """
    problems = manifest_problems(raw, KIND, SPEC)
    if problems:
        raise InvalidIntent(tuple(problems))
    metadata = raw["metadata"]
    return FloodFilter(
        name=metadata["name"],
        spec=_spec(completed(SPEC, raw["spec"])),
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 0,
        created=metadata.get("creationTimestamp") or "",
    )


def decode_filter_content(raw: Mapping[str, Any]) -> FilterContent:
    """Turn a revision's content into a value; inverse of `encode.encode_content`. Raises InvalidIntent with every problem."""
    return _content(checked(CONTENT, raw, "content"))


def checked(field: Field, raw: Any, path: str) -> Any:
    """Return `raw` with its defaults filled in. Raises InvalidIntent with every problem."""
    value = completed(field, raw)
    if problems := problems_of(field, value, path):
        raise InvalidIntent(problems)
    return value


def _spec(spec: Mapping[str, Any]) -> FilterSpec:
    return FilterSpec(
        node_selector=decode_selector(spec["nodeSelector"]),
        content=_content(spec),
        mode=Mode(spec["mode"]),
        suspend=spec["suspend"],
    )


def decode_selector(raw: Mapping[str, Any]) -> NodeSelector:
    """A label selector that was checked."""
    expressions = (
        SelectorExpression(each["key"], each["operator"], tuple(each.get("values", ())))
        for each in raw.get("matchExpressions", ())
    )
    return NodeSelector(tuple(sorted(raw.get("matchLabels", {}).items())), tuple(expressions))


def _content(spec: Mapping[str, Any]) -> FilterContent:
    return FilterContent(
        rules=tuple(map(_rule, spec["rules"])),
        priority=spec["priority"],
        interfaces=tuple(spec.get("interfaces", ())),
        rx_queue_ids=tuple(sorted(spec.get("rxQueues", {}).get("ids", ()))),
        xdp_mode=XdpMode(spec["xdpMode"]),
        exempt=_prefixes(spec.get("exempt", ())),
    )


def _rule(raw: Mapping[str, Any]) -> Rule:
    return Rule(raw["name"], _match(raw["match"]), RuleAction(raw["action"]))


def _match(raw: Mapping[str, Any]) -> Match:
    return Match(
        protocol=PROTOCOL_NUMBERS[raw["protocol"]] if "protocol" in raw else raw.get("protocolNumber"),
        sources=_prefixes(raw.get("sources", ())),
        destinations=_prefixes(raw.get("destinations", ())),
        source_ports=_ports(raw.get("sourcePorts", ())),
        destination_ports=_ports(raw.get("destinationPorts", ())),
        ip_length_bytes=LengthRange(**raw["ipLengthBytes"]) if "ipLengthBytes" in raw else None,
        tcp_flags=_flags(raw["tcpFlags"]) if "tcpFlags" in raw else None,
        icmp_types=tuple(sorted(raw.get("icmpTypes", ()))),
        fragments=Fragments(raw["fragments"]),
    )


def _prefixes(raw: Sequence[str]) -> tuple[Prefix, ...]:
    return tuple(map(ip_network, raw))


def _ports(raw: Sequence[str]) -> tuple[PortRange, ...]:
    return tuple(PortRange(*port_ends(text)) for text in raw)


def _flags(raw: Mapping[str, Sequence[str]]) -> TcpFlagsMatch:
    return TcpFlagsMatch(_flag_bits(raw.get("set", ())), _flag_bits(raw.get("unset", ())))


def _flag_bits(flags: Sequence[str]) -> TcpFlag:
    bits = TcpFlag(0)
    for name in flags:
        bits |= TcpFlag[name]
    return bits
