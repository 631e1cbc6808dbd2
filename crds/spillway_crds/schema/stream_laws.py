"""Constraints of streams and rings that OpenAPI cannot say: CEL rules and their twins in Python."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from spillway_crds.schema.fields import Law
from spillway_crds.schema.laws import is_ip, shape

NO_ADDRESS = "not an IPv4 or IPv6 address, as 239.10.0.1 or 2001:db8::1"
MULTICAST = ("224.0.0.0/4", "ff00::/8")
BROADCAST = "255.255.255.255"
_MULTICAST_NETWORKS = tuple(map(ip_network, MULTICAST))
_IN_MULTICAST = " || ".join(f"cidr('{each}').containsIP(ip(self))" for each in MULTICAST)


def _is_sender(text: str) -> bool:
    if not is_ip(text):
        return True
    found = ip_address(text)
    return text != BROADCAST and not any(found in network for network in _MULTICAST_NETWORKS)


def _is_outside(text: str) -> bool:
    return not is_ip(text) or not (ip_address(text).is_unspecified or ip_address(text).is_loopback)


ADDRESS_LAWS = (
    Law(cel="isIP(self)", holds=is_ip, message=NO_ADDRESS),
    Law(
        cel="!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLoopback())",
        holds=_is_outside,
        message="neither the unspecified nor a loopback address crosses a card",
    ),
)
SOURCE_LAWS = (
    Law(
        cel=f"!isIP(self) || !(self == '{BROADCAST}' || {_IN_MULTICAST})",
        holds=_is_sender,
        message="a source is one host's address, not multicast or broadcast",
    ),
)


def _one_family(flow: Mapping[str, Any]) -> bool:
    ends = [flow[key] for key in ("sourceAddress", "destinationAddress") if key in flow]
    return not all(map(is_ip, ends)) or len({ip_address(each).version for each in ends}) == 1


_BOTH_GIVEN = "has(self.sourceAddress) && isIP(self.sourceAddress) && isIP(self.destinationAddress)"
FLOW_LAWS = (
    Law(
        cel=f"!({_BOTH_GIVEN}) || ip(self.sourceAddress).family() == ip(self.destinationAddress).family()",
        holds=_one_family,
        message="sourceAddress and destinationAddress must be of one family",
        field_path=".sourceAddress",
    ),
)

RATES = ("packetsPerSecond", "bitsPerSecond")
PACING_LAWS = (
    Law(
        cel=f"[{', '.join(f'has(self.{each})' for each in RATES)}].exists_one(given, given)",
        holds=lambda pacing: sum(each in pacing for each in RATES) == 1,
        message=f"say exactly one of {', '.join(RATES)}",
    ),
)

RING_LAWS = (
    Law(
        cel="self.batch <= self.descriptors",
        holds=lambda ring: ring["batch"] <= ring["descriptors"],
        message="batch must not be above descriptors",
        field_path=".batch",
    ),
)


def power_of_two(first: int, last: int) -> Law:
    """A whole number is one of the powers of two from `first` to `last`; both are such themselves."""
    allowed = tuple(1 << exponent for exponent in range(first.bit_length() - 1, last.bit_length()))
    return Law(
        cel=f"self in [{', '.join(map(str, allowed))}]",
        holds=lambda value: value in allowed,
        message=f"one of {', '.join(map(str, allowed))}",
    )


DEVICE_SHAPE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
DEVICE_LAWS = (
    shape(DEVICE_SHAPE, "not the name of an interface: letters, digits, '_', '.' and '-'; no glob"),
    Law(cel="self != 'lo'", holds=lambda name: name != "lo", message="lo has no card"),
)
QUEUE_LAWS = (
    Law(
        cel="type(self) == int || self == 'Any'",
        holds=lambda queue: isinstance(queue, int) or queue == "Any",
        message="a queue's number or Any",
    ),
)
SOURCES = ("application",)
SOURCE_CHOICE_LAWS = (
    Law(
        cel=f"[{', '.join(f'has(self.{each})' for each in SOURCES)}].exists_one(given, given)",
        holds=lambda source: sum(each in source for each in SOURCES) == 1,
        message=f"say exactly one of {', '.join(SOURCES)}",
    ),
)
