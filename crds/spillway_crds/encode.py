"""From values to the one canonical JSON value; what `decode` reads back to the same values.

Defaults are written out, so that a stored revision keeps its meaning if a default ever changes; what was not given is left
out, so that a field added later changes no hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spillway_crds.filters import PROTOCOL_NUMBERS, FilterContent, LengthRange, Match, PortRange, Rule, TcpFlag, TcpFlagsMatch

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}


def encode_content(content: FilterContent) -> dict[str, Any]:
    """A revision's content as JSON; equal contents give equal JSON. Inverse of `decode.decode_filter_content`."""
    return {
        "priority": content.priority,
        "xdpMode": content.xdp_mode.value,
        "rules": [_rule(rule) for rule in content.rules],
        **without_empty(
            {
                "interfaces": list(content.interfaces),
                "rxQueues": {"ids": list(content.rx_queue_ids)} if content.rx_queue_ids else None,
                "exempt": [str(prefix) for prefix in content.exempt],
            }
        ),
    }


def without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given: None, empty text, empty lists and objects. Zero and false stay."""
    return {key: value for key, value in fields.items() if value is not None and value not in ("", [], {})}


def _rule(rule: Rule) -> dict[str, Any]:
    return {"name": rule.name, "match": _match(rule.match), "action": rule.action.value}


def _match(match: Match) -> dict[str, Any]:
    fields = {
        "sources": [str(prefix) for prefix in match.sources],
        "destinations": [str(prefix) for prefix in match.destinations],
        "sourcePorts": [_ports(each) for each in match.source_ports],
        "destinationPorts": [_ports(each) for each in match.destination_ports],
        "ipLengthBytes": _length(match.ip_length_bytes) if match.ip_length_bytes else None,
        "tcpFlags": _flags(match.tcp_flags) if match.tcp_flags else None,
        "icmpTypes": list(match.icmp_types),
        "fragments": match.fragments.value,
    }
    return _protocol(match.protocol) | without_empty(fields)


def _protocol(number: int | None) -> dict[str, Any]:
    if number is None:
        return {}
    name = _PROTOCOL_NAMES.get(number)
    return {"protocol": name} if name else {"protocolNumber": number}


def _ports(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _length(length: LengthRange) -> dict[str, Any]:
    return without_empty({"min": length.min, "max": length.max})


def _flags(flags: TcpFlagsMatch) -> dict[str, Any]:
    return without_empty({"set": _flag_names(flags.set), "unset": _flag_names(flags.unset)})


def _flag_names(flags: TcpFlag) -> list[str]:
    return [flag.name for flag in TcpFlag if flag in flags and flag.name]
