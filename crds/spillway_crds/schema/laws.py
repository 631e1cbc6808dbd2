"""Constraints that OpenAPI cannot say: CEL rules and their twins in Python. Their words tell what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any

from spillway_crds.filters import PROTOCOL_NUMBERS
from spillway_crds.schema.fields import Law

# Go's netip is stricter than Python's ipaddress: no netmask, no zone, no leading zeros in the length.
CIDR_SHAPE = re.compile(r"[0-9A-Fa-f.:]+/(0|[1-9][0-9]{0,2})")
MAPPED_SHAPE = "^[0:]*:ffff:[0-9a-f.:]+(/[0-9]+)?$"
MAPPED_CEL = f"self.lowerAscii().matches(r'{MAPPED_SHAPE}')"
PORTS_SHAPE = "^(0|[1-9][0-9]{0,4})(-(0|[1-9][0-9]{0,4}))?$"
INTERFACE_SHAPE = r"^([^/:\s\x00-\x1f\x7f\[\]]|\[[^/:\s\x00-\x1f\x7f\[\]]+\])+$"
MAX_PORT = 65535

MAPPED = "IPv4-mapped IPv6: write the IPv4 prefix"
NO_PREFIX = "not an IPv4 or IPv6 prefix, as 192.0.2.0/24 or 2001:db8::/32"
NO_PORTS = 'not a port or a range of ports, as "53" or "1900-1910"'


def shape(pattern: str, message: str) -> Law:
    """A string must match an anchored pattern, in words instead of the pattern."""
    found = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    return Law(cel=f"self.matches(r'{pattern}')", holds=lambda text: found.match(text) is not None, message=message)


def _interface(text: str) -> IPv4Interface | IPv6Interface | None:
    try:
        return ip_interface(text) if CIDR_SHAPE.fullmatch(text) else None
    except ValueError:
        return None


def _is_mapped(text: str) -> bool:
    try:
        address = ip_address(text.partition("/")[0])
    except ValueError:
        return False
    return address.version == 6 and address.ipv4_mapped is not None


def _looks_mapped(text: str) -> bool:
    return re.match(MAPPED_SHAPE.replace("$", r"\Z"), text.lower()) is not None


def is_cidr(text: str) -> bool:
    """Whether CEL's isCIDR says yes: an address of either family and a length, no zone, not IPv4-mapped."""
    return _interface(text) is not None and not _is_mapped(text)


def is_ip(text: str) -> bool:
    """Whether CEL's isIP says yes: a bare address, no zone, not IPv4-mapped."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not _is_mapped(text)


def _has_no_host_bits(text: str) -> bool:
    found = _interface(text)
    return not is_cidr(text) or (found is not None and found.ip == found.network.network_address)


def _with_length(text: str) -> str:
    return f"a prefix needs its length: use {text}/{ip_address(text).max_prefixlen}"


PREFIX_LAWS = (
    Law(
        cel=f"isCIDR(self) || isIP(self) || {MAPPED_CEL}",
        holds=lambda text: is_cidr(text) or is_ip(text) or _looks_mapped(text),
        message=NO_PREFIX,
    ),
    Law(
        cel="!isIP(self)",
        holds=lambda text: not is_ip(text),
        message="a prefix needs its length, as /32 or /128",
        message_cel="'a prefix needs its length: use ' + self + (ip(self).family() == 4 ? '/32' : '/128')",
        explain=_with_length,
    ),
    Law(
        cel=f"isCIDR(self) || isIP(self) || !{MAPPED_CEL}",
        holds=lambda text: is_cidr(text) or is_ip(text) or not _looks_mapped(text),
        message=MAPPED,
    ),
    Law(
        cel="!isCIDR(self) || cidr(self).masked() == cidr(self)",
        holds=_has_no_host_bits,
        message="host bits set",
        message_cel="'host bits set: use %s'.format([string(cidr(self).masked())])",
        explain=lambda text: f"host bits set: use {ip_interface(text).network}",
    ),
)


def port_ends(text: str) -> tuple[int, int]:
    """First and last port of `53` or `1900-1910`."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _if_ports(check: Callable[[int, int], bool]) -> Callable[[str], bool]:
    found = re.compile(PORTS_SHAPE.replace("$", r"\Z"))
    return lambda text: found.match(text) is None or check(*port_ends(text))


PORTS_LAWS = (
    shape(PORTS_SHAPE, NO_PORTS),
    Law(
        cel=f"!self.matches(r'{PORTS_SHAPE}') || self.split('-').all(port, int(port) <= {MAX_PORT})",
        holds=_if_ports(lambda first, last: max(first, last) <= MAX_PORT),
        message=f"ports end at {MAX_PORT}",
    ),
    Law(
        cel=f"!self.matches(r'{PORTS_SHAPE}') || int(self.split('-')[0]) <= int(self.split('-')[self.split('-').size() - 1])",
        holds=_if_ports(lambda first, last: first <= last),
        message="the first port of a range must not be above the last",
    ),
)

MAX_IFNAME_BYTES = 15  # IFNAMSIZ less the end mark

INTERFACE_LAWS = (
    shape(INTERFACE_SHAPE, "not an interface name or glob: no '/', ':', blank or control character, and each [ closed by a ]"),
    Law(
        cel=f"bytes(self).size() <= {MAX_IFNAME_BYTES}",
        holds=lambda name: len(name.encode(errors="replace")) <= MAX_IFNAME_BYTES,
        message=f"a name has at most {MAX_IFNAME_BYTES} bytes, and signs beyond ASCII take several",
    ),
    Law(cel="self != 'lo'", holds=lambda name: name != "lo", message="lo is never filtered"),
    Law(
        cel="self != '.' && self != '..'",
        holds=lambda name: name not in (".", ".."),
        message="no interface can have this name",
    ),
)


def at_least_one(*names: str) -> Law:
    """An object says one of the named fields, or more."""
    return Law(
        cel=" || ".join(f"has(self.{name})" for name in names),
        holds=lambda value: any(name in value for name in names),
        message=f"say {', '.join(names)} or both",
    )


def _needs_protocol(field: str, protocols: tuple[str, ...], message: str) -> Law:
    numbers = tuple(PROTOCOL_NUMBERS[name] for name in protocols)
    listed = ", ".join(f"'{name}'" for name in protocols)
    by_name = f"(has(self.protocol) && self.protocol in [{listed}])"
    by_number = f"(has(self.protocolNumber) && self.protocolNumber in [{', '.join(map(str, numbers))}])"
    return Law(
        cel=f"!has(self.{field}) || {by_name} || {by_number}",
        holds=lambda match: field not in match or match.get("protocol") in protocols or match.get("protocolNumber") in numbers,
        message=message,
        field_path=f".{field}",
    )


def _not_in_later_fragments(field: str) -> Law:
    return Law(
        cel=f"!has(self.{field}) || self.fragments != 'Later'",
        holds=lambda match: field not in match or match["fragments"] != "Later",
        message=f"later fragments carry no transport header: leave {field} out, or fragments: Later",
        field_path=f".{field}",
    )


TRANSPORT_FIELDS = ("sourcePorts", "destinationPorts", "tcpFlags", "icmpTypes")
NEED_PORTS = "ports need protocol UDP, TCP or SCTP"
MATCH_LAWS = (
    Law(
        cel="!has(self.protocol) || !has(self.protocolNumber)",
        holds=lambda match: not ("protocol" in match and "protocolNumber" in match),
        message="say protocol or protocolNumber, not both",
        field_path=".protocolNumber",
    ),
    _needs_protocol("sourcePorts", ("UDP", "TCP", "SCTP"), NEED_PORTS),
    _needs_protocol("destinationPorts", ("UDP", "TCP", "SCTP"), NEED_PORTS),
    _needs_protocol("tcpFlags", ("TCP",), "tcpFlags need protocol TCP"),
    _needs_protocol("icmpTypes", ("ICMP", "ICMPv6"), "icmpTypes need protocol ICMP or ICMPv6"),
    *map(_not_in_later_fragments, TRANSPORT_FIELDS),
)

# `fragments: Any` is the default and narrows nothing, so it alone does not make a match.
MATCH_FIELDS = ("protocol", "protocolNumber", "sources", "destinations", "ipLengthBytes", *TRANSPORT_FIELDS)
DROP_NEEDS_MATCH = Law(
    cel="self.action != 'Drop' || self.match.fragments != 'Any' || "
    + " || ".join(f"has(self.match.{name})" for name in MATCH_FIELDS),
    holds=lambda rule: (
        rule["action"] != "Drop" or rule["match"]["fragments"] != "Any" or any(name in rule["match"] for name in MATCH_FIELDS)
    ),
    message="an empty match is every packet: Drop needs at least one field",
    field_path=".match",
)

LENGTH_LAWS = (
    at_least_one("min", "max"),
    Law(
        cel="!has(self.min) || !has(self.max) || self.min <= self.max",
        holds=lambda length: not ("min" in length and "max" in length) or length["min"] <= length["max"],
        message="min must not be above max",
        field_path=".min",
    ),
)


def _flags_in_both(flags: Mapping[str, Sequence[str]]) -> list[str]:
    return [flag for flag in flags.get("set", ()) if flag in flags.get("unset", ())]


FLAG_LAWS = (
    at_least_one("set", "unset"),
    Law(
        cel="!has(self.set) || !has(self.unset) || !self.set.exists(flag, flag in self.unset)",
        holds=lambda flags: not _flags_in_both(flags),
        message="a flag cannot be both set and unset",
        message_cel="self.set.filter(flag, flag in self.unset)[0] + ' cannot be both set and unset'",
        explain=lambda flags: "; ".join(f"{flag} cannot be both set and unset" for flag in _flags_in_both(flags)),
        field_path=".unset",
    ),
)


def _names_twice(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [rule["name"] for rule in rules]
    return list(dict.fromkeys(name for name in names if names.count(name) > 1))


# format() instead of +: the API server cannot bound the length of what it would have to add, and refuses the CRD for its cost.
FIRST_TWICE = "self.filter(rule, !self.exists_one(other, other.name == rule.name))[0].name"
RULES_LAWS = (
    Law(
        cel="self.all(rule, self.exists_one(other, other.name == rule.name))",
        holds=lambda rules: not _names_twice(rules),
        message="two rules have the same name",
        message_cel=f"'two rules are named %s'.format([{FIRST_TWICE}])",
        explain=lambda rules: "; ".join(f"two rules are named {name}" for name in _names_twice(rules)),
    ),
)
