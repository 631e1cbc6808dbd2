"""The SDP text, whole, as a receiver gets it; and that it says what the sender sends."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address

import pytest

from spillway_crds.sdp import LegFacts, SessionFacts, format_parameters, session_description
from spillway_crds.streams import (
    ApplicationSource,
    BypassStream,
    ClockSource,
    Flow,
    Leg,
    Pacing,
    RingParameters,
    SenderProfile,
    StreamClock,
    StreamSpec,
    VideoLook,
    VideoSource,
)
from spillway_stream.video.timing import PARAMETER, Profile

VIDEO = VideoSource(1920, 1080, Fraction(60000, 1001), pattern="ColorBars")
FLOW = Flow(ip_address("239.10.0.1"), 5004, ttl=32)
FACTS = SessionFacts((LegFacts(ip_address("10.0.0.7"), "02:00:00:00:00:0a"),))


def stream(video: VideoSource = VIDEO, flow: Flow = FLOW, clock: StreamClock | None = None, pacing: Pacing | None = None):
    parameters = RingParameters(flow, pacing=pacing or Pacing())
    spec = StreamSpec("eth1", parameters, video, clock=clock or StreamClock())
    return BypassStream("studio", "camera-1", spec, uid="6c1e", generation=3)


def lines(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def test_the_whole_text():
    found = lines(session_description(stream(), FACTS))
    session_id = found[1].split()[1]
    assert 0 < int(session_id) < 2**63
    assert found == [
        "v=0",
        f"o=- {session_id} 3 IN IP4 10.0.0.7",
        "s=studio/camera-1",
        "t=0 0",
        "m=video 5004 RTP/AVP 96",
        "c=IN IP4 239.10.0.1/32",
        "a=source-filter: incl IN IP4 239.10.0.1 10.0.0.7",
        "a=rtpmap:96 raw/90000",
        "a=fmtp:96 sampling=YCbCr-4:2:2; width=1920; height=1080; exactframerate=60000/1001; depth=10; TCS=SDR;"
        " colorimetry=BT709; PM=2110GPM; SSN=ST2110-20:2017; TP=2110TPW; ",
        "a=mediaclk:direct=0",
        "a=ts-refclk:localmac=02-00-00-00-00-0A",
    ]


def test_interlaced_is_said_and_progressive_is_not():
    interlaced = replace(VIDEO, interlaced=True, exact_frame_rate=Fraction(25), sampling="RGB", depth_bits=8)
    assert format_parameters(interlaced, SenderProfile.NARROW).endswith("TP=2110TPN; interlace; ")
    assert "exactframerate=25; depth=8" in format_parameters(interlaced, None)
    assert "interlace" not in format_parameters(VIDEO, None)


def test_what_the_samples_mean_is_said_as_the_stream_says_it():
    """Of a file only its owner knows; what is the usual case needs no word."""
    look = VideoLook("BT2100", "PQ", "FULL", "16:11")
    found = format_parameters(replace(VIDEO, pattern="", file="clip.raw", look=look), None)
    assert "TCS=PQ; colorimetry=BT2100; " in found
    assert found.endswith("TP=2110TPW; RANGE=FULL; PAR=16:11; ")
    usual = format_parameters(VIDEO, None)
    assert "RANGE" not in usual and "PAR" not in usual


def test_unicast_has_neither_ttl_nor_source_filter():
    found = lines(session_description(stream(flow=Flow(ip_address("10.0.0.9"), 6000)), FACTS))
    assert "c=IN IP4 10.0.0.9" in found
    assert not [line for line in found if "source-filter" in line]


def test_ipv6_multicast_has_no_ttl():
    facts = SessionFacts((LegFacts(ip_address("fd00::7"), "02:00:00:00:00:0a"),))
    found = lines(session_description(stream(flow=Flow(ip_address("ff05::1"), 5004)), facts))
    assert "c=IN IP6 ff05::1" in found
    assert "a=source-filter: incl IN IP6 ff05::1 fd00::7" in found


def test_two_legs_are_one_duplicated_stream():
    """ST 2022-7 by RFC 7104: two media sections in a DUP group, each with its own addresses."""
    legs = (Leg("eth2", Flow(ip_address("239.20.0.1"), 5006)),)
    facts = SessionFacts((*FACTS.legs, LegFacts(ip_address("10.1.0.7"), "02:00:00:00:00:0b")))
    found = lines(session_description(stream(replace(VIDEO, legs=legs)), facts))
    assert found[4] == "a=group:DUP primary secondary"
    assert [line for line in found if line.startswith(("m=", "c=", "a=mid"))] == [
        "m=video 5004 RTP/AVP 96", "c=IN IP4 239.10.0.1/32", "a=mid:primary",
        "m=video 5006 RTP/AVP 96", "c=IN IP4 239.20.0.1/64", "a=mid:secondary",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "facts", "reference"),
    [
        pytest.param(StreamClock(), replace(FACTS, traceable=True), "localmac=02-00-00-00-00-0A", id="the node's own clock"),
        pytest.param(StreamClock(ClockSource.PTP, 9), FACTS, "localmac=02-00-00-00-00-0A", id="PTP asked for, none found"),
        pytest.param(StreamClock(ClockSource.PTP, 9), replace(FACTS, traceable=True), "ptp=IEEE1588-2008:traceable", id="PTP"),
        pytest.param(
            StreamClock(ClockSource.PTP, 9),
            replace(FACTS, grandmaster="08-00-11-FF-FE-21-E1-B0"),
            "ptp=IEEE1588-2008:08-00-11-FF-FE-21-E1-B0:9",
            id="known grandmaster",
        ),
    ],
)
def test_reference_clock(clock, facts, reference):
    """Nothing better is promised than what was found."""
    assert lines(session_description(stream(clock=clock), facts))[-1] == f"a=ts-refclk:{reference}"


def test_a_changed_spec_is_a_later_version_of_the_same_session():
    older, newer = (session_description(replace(stream(), generation=number), FACTS).split("\r\n")[1] for number in (3, 4))
    assert older.replace(" 3 IN", " 4 IN") == newer


def test_sender_types_are_those_of_the_sender():
    assert {profile.value: name for profile, name in PARAMETER.items()} == {
        profile.value: format_parameters(VIDEO, profile).rpartition("TP=")[2].rstrip("; ") for profile in SenderProfile
    }
    assert set(Profile) == {profile.value for profile in SenderProfile}


def test_only_video_has_an_sdp():
    spec = replace(stream().spec, source=ApplicationSource())
    with pytest.raises(ValueError, match="studio/camera-1 has no video source"):
        session_description(replace(stream(), spec=spec), FACTS)
