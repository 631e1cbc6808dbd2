"""SPILLWAY_SOURCE: what is read, and what is refused with which path."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from spillway_stream.source.faults import InvalidIntent
from spillway_stream.source.spec import ClockSpec, PacingSpec, PcapSpec, SourceSpec, VideoSpec, Volume, VolumeKind, decode
from spillway_stream.video.timing import Profile

RING = "/run/spillway/ring/ring.sock"
BARS = {"widthPixels": 1920, "heightPixels": 1080, "exactFrameRate": "60000/1001", "pattern": "ColorBars"}


def order(**fields) -> str:
    return json.dumps({"stream": "studio/cam", "source": {"video": BARS}, **fields})


def video(**changes) -> str:
    return order(source={"video": {name: value for name, value in {**BARS, **changes}.items() if value is not None}})


def test_the_shortest_order():
    content = VideoSpec(1920, 1080, Fraction(60000, 1001), pattern="ColorBars")
    assert decode(order(), RING) == SourceSpec("studio/cam", content, (RING,))


def test_every_field():
    raw = order(
        uid="6c1e",
        source={"video": {**BARS, "standard": "ST2110-20", "sampling": "RGB", "depthBits": 12, "interlaced": True, "loop": False,
                          "payloadType": 112, "pattern": None, "file": "a/b.raw", "legs": [{}],
                          "volume": {"persistentVolumeClaim": "clips"}}},
        pacing={"profile": "ST2110-21-Wide"}, clock={"source": "PTP", "ptpDomain": 9}, rings=["/a", "/b"], files="/films", cpu=0,
        metricsPort=9467,
    )  # fmt: skip
    content = VideoSpec(
        1920, 1080, Fraction(60000, 1001), "RGB", 12, True, "", "a/b.raw", False, 112, 1, Volume(VolumeKind.CLAIM, "clips")
    )
    assert decode(raw, RING) == SourceSpec(
        "studio/cam",
        content,
        ("/a", "/b"),
        "6c1e",
        PacingSpec(profile=Profile.WIDE),
        ClockSpec("PTP", 9),
        Path("/films"),
        0,
        9467,
    )


def test_a_capture():
    raw = order(source={"pcap": {"file": "flood.pcapng", "loop": True, "speed": "3/2"}}, pacing={"packetsPerSecond": 1000})
    assert decode(raw, RING).content == PcapSpec("flood.pcapng", True, Fraction(3, 2))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        pytest.param("{", "SPILLWAY_SOURCE", id="no JSON"),
        pytest.param("[]", "SPILLWAY_SOURCE", id="a list"),
        pytest.param(order(colour=1), "colour", id="unknown field"),
        pytest.param(order(source={}), "source", id="no source"),
        pytest.param(order(source={"video": BARS, "pcap": {"file": "a"}}), "source", id="two sources"),
        pytest.param(video(widthPixels="1920"), "source.video.widthPixels", id="text for a number"),
        pytest.param(video(widthPixels=True), "source.video.widthPixels", id="true is no number"),
        pytest.param(video(heightPixels=40000), "source.video.heightPixels", id="more lines than RFC 4175 counts"),
        pytest.param(video(exactFrameRate="60/0"), "source.video.exactFrameRate", id="no fraction"),
        pytest.param(video(exactFrameRate=-25), "source.video.exactFrameRate", id="backwards"),
        pytest.param(video(exactFrameRate="1/30"), "source.video.exactFrameRate", id="a still picture"),
        pytest.param(video(exactFrameRate=None), "source.video.exactFrameRate", id="missing"),
        pytest.param(video(depthBits=16), "source.video.depthBits", id="a depth we lack"),
        pytest.param(video(sampling="YCbCr-4:2:0"), "source.video.sampling", id="a sampling we lack"),
        pytest.param(video(standard="ST2110-22"), "source.video.standard", id="another standard"),
        pytest.param(video(pattern="Plasma"), "source.video.pattern", id="unknown pattern"),
        pytest.param(video(file="clip.raw"), "source.video", id="pattern and file"),
        pytest.param(video(pattern=None), "source.video", id="neither"),
        pytest.param(video(pattern=None, file="../../etc/passwd"), "source.video.file", id="out of the volume"),
        pytest.param(video(pattern=None, file="/etc/passwd"), "source.video.file", id="absolute"),
        pytest.param(video(payloadType=95), "source.video.payloadType", id="no dynamic payload type"),
        pytest.param(video(legs=[{}]), "rings", id="a leg without a ring"),
        pytest.param(order(rings=[3]), "rings", id="a ring that is no path"),
        pytest.param(order(pacing={"profile": "ST2110-21-Narrow", "packetsPerSecond": 1}), "pacing", id="two paces"),
        pytest.param(order(pacing={"profile": "Wide"}), "pacing.profile", id="unknown profile"),
        pytest.param(order(clock={"source": "GPS"}), "clock.source", id="unknown clock"),
        pytest.param(order(source={"pcap": {}}), "source.pcap.file", id="no capture"),
        pytest.param(order(source={"pcap": {"file": "a", "speed": 0}}), "source.pcap.speed", id="standing still"),
    ],
)
def test_refused_with_its_path(raw, path):
    with pytest.raises(InvalidIntent) as refused:
        decode(raw, RING)
    assert refused.value.path == path
    assert refused.value.exit_code == 2


def test_no_ring_at_all():
    with pytest.raises(InvalidIntent, match="SPILLWAY_RING"):
        decode(order(), "")
