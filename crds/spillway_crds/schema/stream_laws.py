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


def exactly_one(*names: str) -> Law:
    """An object says one of the named fields and no other of them."""
    return Law(
        cel=f"[{', '.join(f'has(self.{each})' for each in names)}].exists_one(given, given)",
        holds=lambda value: sum(each in value for each in names) == 1,
        message=f"say exactly one of {', '.join(names)}",
    )


RING_LAWS = (
    Law(
        cel="self.batch <= self.descriptors",
        holds=lambda ring: ring["batch"] <= ring["descriptors"],
        message="batch must not be above descriptors",
        field_path=".batch",
    ),
    Law(
        cel="self.frameBytes <= 4096 || self.batch * (self.frameBytes / 4096) <= self.descriptors",
        holds=lambda ring: ring["frameBytes"] <= 4096 or ring["batch"] * (ring["frameBytes"] // 4096) <= ring["descriptors"],
        message="batch times frameBytes / 4096 must not be above descriptors: a long packet takes several of them",
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
SOURCES = ("application", "video", "pcap")
VOLUME_LAWS = (exactly_one("persistentVolumeClaim", "configMap"),)
FILE_LAW = Law(
    cel="self != '' && !self.startsWith('/') && !('..' in self.split('/'))",
    holds=lambda path: path != "" and not path.startswith("/") and ".." not in path.split("/"),
    message="a path inside the volume: not empty, no leading '/', no '..'",
)
DEPTHS = (8, 10, 12)
DEPTH_LAW = Law(cel="self in [8, 10, 12]", holds=lambda depth: depth in DEPTHS, message="one of 8, 10, 12")


def _group_pixels(video: Mapping[str, Any]) -> int:
    """Pixels that fill whole octets together. Source: SMPTE ST 2110-20:2017, section 6.2."""
    if video["sampling"] == "YCbCr-4:2:2":
        return 2
    return {8: 1, 10: 4, 12: 2}.get(video["depthBits"], 1)


_GROUP_CEL = "(self.sampling == 'YCbCr-4:2:2' ? 2 : self.depthBits == 10 ? 4 : self.depthBits == 12 ? 2 : 1)"
OF_FILES = {"colorimetry", "transferCharacteristicSystem", "range"}
VIDEO_LAWS = (
    exactly_one("pattern", "file"),
    Law(
        cel="has(self.file) == has(self.volume)",
        holds=lambda video: ("file" in video) == ("volume" in video),
        message="a file needs a volume, and a pattern has none",
        field_path=".volume",
    ),
    Law(
        cel=f"self.widthPixels % {_GROUP_CEL} == 0",
        holds=lambda video: video["widthPixels"] % _group_pixels(video) == 0,
        message="lines of whole octets: a multiple of 2 pixels for YCbCr-4:2:2, else of 4 with 10 bits and of 2 with 12",
        field_path=".widthPixels",
    ),
    Law(
        cel="has(self.file) || !(has(self.colorimetry) || has(self.transferCharacteristicSystem) || has(self.range))",
        holds=lambda video: "file" in video or not video.keys() & OF_FILES,
        message="colorimetry, transferCharacteristicSystem and range are a file's: a pattern is BT709, SDR, NARROW",
        field_path=".pattern",
    ),
    Law(
        cel="!self.interlaced || self.heightPixels % 2 == 0",
        holds=lambda video: not video["interlaced"] or video["heightPixels"] % 2 == 0,
        message="an interlaced frame has an even number of lines",
        field_path=".heightPixels",
    ),
)


def _only_with(field: str, sources: tuple[str, ...], message: str) -> Law:
    """A field of a stream that means nothing to other sources."""
    given = " || ".join(f"has(self.source.{each})" for each in sources)
    return Law(
        cel=f"!has(self.{field}) || {given}",
        holds=lambda spec: field not in spec or any(each in spec["source"] for each in sources),
        message=message,
        field_path=f".{field}",
    )


def _apart(spec: Mapping[str, Any]) -> bool:
    """AF_XDP has one owner per queue: a second path through the same one could never begin."""
    legs = spec["source"].get("video", {}).get("legs", ())
    mine = (spec["interface"], spec["txQueue"])
    return spec["txQueue"] == "Any" or all((leg["interface"], leg["txQueue"]) != mine for leg in legs)


STREAM_LAWS = (
    _only_with("nodeSelector", ("video", "pcap"), "an application's pod has a selector of its own"),
    _only_with("cpu", ("video", "pcap"), "an application chooses its core itself"),
    _only_with("clock", ("application", "video"), "a capture is aligned to no clock"),
    Law(
        cel="!has(self.pacing) || has(self.pacing.profile) == has(self.source.video)",
        holds=lambda spec: "pacing" not in spec or ("profile" in spec["pacing"]) == ("video" in spec["source"]),
        message="video is paced by a profile, all else by a rate",
        field_path=".pacing",
    ),
    Law(
        cel="!has(self.source.video) || !has(self.source.video.legs) || self.txQueue == 'Any'"
        " || self.source.video.legs.all(leg, leg.interface != self.interface || leg.txQueue != self.txQueue)",
        holds=_apart,
        message="the second path asks for the same queue of the same interface, and a queue carries one ring",
        field_path=".txQueue",
    ),
)
