"""The SDP text that describes a video stream to its receivers: RFC 8866 with what SMPTE ST 2110-10, -20 and -21 ask for. Pure.

Receivers decode by it: what a stream sends and what this says must never differ. tests/unit/test_video_sdp.py has both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import ip_address
from typing import Any

from spillway_crds.streams import Address, BypassStream, ClockSource, Flow, SenderProfile, StreamClock, VideoLook, VideoSource

SENDER_TYPES = {
    SenderProfile.NARROW: "2110TPN",
    SenderProfile.NARROW_LINEAR: "2110TPNL",
    SenderProfile.WIDE: "2110TPW",
}
DUPLICATES = ("primary", "secondary")  # RFC 7104: a stream that goes out twice, as SMPTE ST 2022-7 wants it
END = "\r\n"  # RFC 8866, section 5


@dataclass(frozen=True, slots=True)
class LegFacts:
    """What only the node knows of one leg. source: the address its packets carry. mac: the interface's, as 02:00:00:00:00:01."""

    source: Address
    mac: str


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """legs: the stream's own, then one for each of source.video.legs. grandmaster: PTP's, as 08-00-11-FF-FE-21-E1-B0.

    traceable: the clock was found to follow PTP (ClockSynchronized is True), though nobody said which grandmaster.
    """

    legs: tuple[LegFacts, ...]
    grandmaster: str = ""
    traceable: bool = False


def session_facts(claim: Mapping[str, Any]) -> SessionFacts | None:
    """What a stream's ResourceClaim tells of its legs, in the order of its requests; None while a node has not told all of it."""
    status = claim.get("status") or {}
    told = {(each.get("pool"), each.get("device")): each for each in status.get("devices") or ()}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    places = {each.get("request"): (each.get("pool"), each.get("device")) for each in results}
    requests = [each["name"] for each in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ()]
    devices = [told.get(places.get(name, ("", "")), {}) for name in requests]
    legs = [each.get("data") or {} for each in devices]
    if not legs or not all(leg.get("sourceAddress") and leg.get("mac") for leg in legs):
        return None
    found = tuple(LegFacts(ip_address(leg["sourceAddress"]), leg["mac"]) for leg in legs)
    return SessionFacts(found, traceable=all(map(_synchronized, devices)))


def _synchronized(device: Mapping[str, Any]) -> bool:
    return any(
        each.get("type") == "ClockSynchronized" and each.get("status") == "True" for each in device.get("conditions") or ()
    )


def session_description(stream: BypassStream, facts: SessionFacts) -> str:
    """The whole SDP text, each line ended by CR LF.

    Raises ValueError if the stream's source is no video, or if there are not as many facts as legs.
    """
    video = stream.spec.source
    if not isinstance(video, VideoSource):
        raise ValueError(f"{stream.namespace}/{stream.name} has no video source")
    flows = (stream.spec.parameters.flow, *(leg.flow for leg in video.legs))
    names = DUPLICATES if len(flows) > 1 else ("",)
    group = [f"a=group:DUP {' '.join(DUPLICATES)}"] if len(flows) > 1 else []
    media: list[str] = []
    for name, flow, leg in zip(names, flows, facts.legs, strict=True):
        media += _addresses(flow, leg, video.payload_type)
        media += _essence(stream, video, _reference(stream.spec.clock, leg, facts))
        media += [f"a=mid:{name}"] if name else []
    return END.join([*_session(stream, facts.legs[0]), *group, *media, ""])


def _session(stream: BypassStream, leg: LegFacts) -> list[str]:
    """The same stream keeps its session id; each generation of its spec is a higher version (RFC 8866, section 5.2)."""
    number = int.from_bytes(hashlib.sha256((stream.uid or stream.name).encode()).digest()[:7])
    return [
        "v=0",
        f"o=- {number} {stream.generation} IN {_network(leg.source)}",
        f"s={stream.namespace}/{stream.name}",
        "t=0 0",
    ]


def _addresses(flow: Flow, leg: LegFacts, payload_type: int) -> Iterator[str]:
    yield f"m=video {flow.destination_port} RTP/AVP {payload_type}"
    yield f"c=IN {_network(flow.destination)}{_ttl(flow)}"
    if flow.destination.is_multicast:
        yield f"a=source-filter: incl IN {_network(flow.destination)} {leg.source}"


def _essence(stream: BypassStream, video: VideoSource, reference: str) -> Iterator[str]:
    yield f"a=rtpmap:{video.payload_type} raw/90000"
    yield f"a=fmtp:{video.payload_type} {format_parameters(video, stream.spec.parameters.pacing.profile)}"
    yield "a=mediaclk:direct=0"
    yield f"a=ts-refclk:{reference}"


def format_parameters(video: VideoSource, profile: SenderProfile | None) -> str:
    """The fmtp line's value (ST 2110-20, section 7.2; ST 2110-21, section 8.2). No profile is Wide, as the source sends then.

    A semicolon and a space behind each parameter, the last one too: checkers of ST 2110 refuse the line without them.
    """
    parts = [
        f"sampling={video.sampling}",
        f"width={video.width_pixels}",
        f"height={video.height_pixels}",
        f"exactframerate={exact_rate(video.exact_frame_rate)}",
        f"depth={video.depth_bits}",
        f"TCS={video.look.transfer}",
        f"colorimetry={video.look.colorimetry}",
        "PM=2110GPM",
        "SSN=ST2110-20:2017",
        f"TP={SENDER_TYPES[profile or SenderProfile.WIDE]}",
    ]
    usual = VideoLook()  # ST 2110-20, 7.3: said where it is another one
    parts += [f"RANGE={video.look.range}"] if video.look.range != usual.range else []
    parts += [f"PAR={video.look.pixel_aspect}"] if video.look.pixel_aspect != usual.pixel_aspect else []
    parts += ["interlace"] if video.interlaced else []
    return "".join(f"{each}; " for each in parts)


def exact_rate(rate: Fraction) -> str:
    """A whole number, or numerator and denominator in lowest terms: 25, 60000/1001."""
    return str(rate)


def _network(address: Address) -> str:
    return f"IP{address.version} {address}"


def _ttl(flow: Flow) -> str:
    """IPv4 multicast has to say it, IPv6 must not (RFC 8866, section 5.7)."""
    return f"/{flow.ttl}" if flow.destination.is_multicast and flow.destination.version == 4 else ""


def _reference(clock: StreamClock, leg: LegFacts, facts: SessionFacts) -> str:
    """RFC 7273, section 4: the grandmaster if it is known, else that time is traceable, else no more than our own clock."""
    if clock.source is ClockSource.PTP and facts.grandmaster:
        return f"ptp=IEEE1588-2008:{facts.grandmaster}:{clock.ptp_domain}"
    if clock.source is ClockSource.PTP and facts.traceable:
        return "ptp=IEEE1588-2008:traceable"
    return f"localmac={leg.mac.replace(':', '-').upper()}"
