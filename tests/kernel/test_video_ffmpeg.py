"""The stream's own SDP text read by ffmpeg, and the pictures that ffmpeg makes of the stream."""

from __future__ import annotations

import random
from fractions import Fraction
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair
from tests.kernel.source_lab import FLOW, STOPPED, ffmpeg, open_ring, source, video

from spillway_crds.sdp import LegFacts, SessionFacts, session_description
from spillway_crds.streams import BypassStream, RingParameters, StreamSpec, VideoSource
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.video.formats import PictureFormat, pixel_group

TEN_BIT, EIGHT_BIT, RGB = pixel_group("YCbCr-4:2:2", 10), pixel_group("YCbCr-4:2:2", 8), pixel_group("RGB", 8)


def sdp_of(picture: PictureFormat, rate: Fraction) -> str:
    group = picture.group
    source = VideoSource(
        picture.width,
        picture.height,
        rate,
        group.sampling,
        group.depth_bits,
        picture.interlaced,
        file="clip.raw",
        payload_type=112,
    )
    stream = BypassStream("studio", "cam", StreamSpec("spw0", RingParameters(FLOW), source), uid="6c1e", generation=1)
    return session_description(stream, SessionFacts((LegFacts(ip_address("10.9.0.1"), "02:00:00:00:00:01"),)))


@pytest.mark.parametrize(
    ("picture", "rate", "seen"),
    [
        pytest.param(PictureFormat(320, 180, TEN_BIT, True), "25", "yuv422p10le(bt709, top first)", id="interlaced"),
        pytest.param(PictureFormat(320, 180, EIGHT_BIT), "30000/1001", "29.97 fps", id="8 bit, 29.97"),
        pytest.param(PictureFormat(321, 181, RGB), "25", "rgb24(bt709, progressive), 321x181", id="RGB of odd size"),
    ],
)
def test_ffmpeg_decodes_what_the_sdp_describes(
    node: NetnsPair, keeper: RingKeeper, tmp_path: Path, picture: PictureFormat, rate: str, seen: str
) -> None:
    """Three random frames, looped: each pixel of nine frames, and what ffmpeg read out of the SDP."""
    noise = random.Random(5)
    clip = [noise.randbytes(picture.frame_bytes) for _ in range(3)]
    (tmp_path / "clip.raw").write_bytes(b"".join(clip))
    (tmp_path / "cam.sdp").write_text(sdp_of(picture, Fraction(rate)), newline="")
    ring = open_ring(keeper, tmp_path)
    with (
        ffmpeg(node, tmp_path / "out", tmp_path / "cam.sdp", picture.frame_bytes) as receiver,
        source(tmp_path, [ring], video(picture, rate, file="clip.raw", payloadType=112)) as sender,
    ):
        frames = receiver.frames(9)
        assert sender.stop() == STOPPED
    digests = [sha256(frame).digest() for frame in clip]
    places = [digests.index(sha256(frame).digest()) for frame in frames]
    assert places == [(places[0] + each) % 3 for each in range(9)]
    assert seen in receiver.log.read_text()
