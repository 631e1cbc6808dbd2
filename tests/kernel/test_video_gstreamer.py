"""Pictures as a foreign receiver sees them: GStreamer's rtpvrawdepay, each pixel compared with what was meant to be sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair
from tests.kernel.source_lab import STOPPED, gstreamer, open_ring, source, video
from tests.receivers import caps_of

from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.video.formats import PictureFormat, pixel_group
from spillway_stream.video.patterns import bars_line, ramp


def shown(picture: PictureFormat, frame: bytes) -> str:
    """A frame's digest as GStreamer keeps it in memory: as on the wire, rows padded to four bytes; 4:4:4 is 0 Y Cb Cr."""
    lines = [frame[at : at + picture.line_bytes] for at in range(0, len(frame), picture.line_bytes)]
    if picture.group.sampling == "YCbCr-4:4:4":
        lines = [bytes(each for cb, y, cr in batched(line, 3) for each in (0, y, cb, cr)) for line in lines]
    return digest(b"".join(line + bytes(-len(line) % 4) for line in lines))


def batched(line: bytes, size: int) -> Iterator[bytes]:
    return (line[at : at + size] for at in range(0, len(line), size))


def digest(frame: bytes) -> str:
    return sha256(frame).hexdigest()


def shown_line_bytes(picture: PictureFormat) -> int:
    return 4 * picture.width if picture.group.sampling == "YCbCr-4:4:4" else -(-picture.line_bytes // 4) * 4


def shown_bytes(picture: PictureFormat) -> int:
    return shown_line_bytes(picture) * picture.height


def test_a_hundred_frames_of_bars(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """ST 2110-20's usual format; every pixel of every frame."""
    picture = PictureFormat(640, 360, pixel_group("YCbCr-4:2:2", 10))
    ring = open_ring(keeper, tmp_path)
    expected = shown(picture, bars_line(picture) * picture.height)
    with (
        gstreamer(node, tmp_path / "out", caps_of(picture), shown_bytes(picture)) as receiver,
        source(tmp_path, [ring], video(picture, "50", pattern="ColorBars")) as sender,
    ):
        frames = receiver.frames(100)
        assert sender.stop() == STOPPED
    assert {digest(frame) for frame in frames} == {expected}


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(PictureFormat(320, 180, pixel_group("YCbCr-4:2:2", 8)), id="422 8 bit"),
        pytest.param(PictureFormat(322, 90, pixel_group("RGB", 8)), id="RGB, rows that need padding"),
        pytest.param(PictureFormat(320, 90, pixel_group("YCbCr-4:4:4", 8)), id="444"),
    ],
)
def test_other_formats_from_a_file(node: NetnsPair, keeper: RingKeeper, tmp_path: Path, picture: PictureFormat) -> None:
    """A raw file of three random frames, looped: three rounds arrive in order, whichever came first."""
    noise = random.Random(3)
    clip = [noise.randbytes(picture.frame_bytes) for _ in range(3)]
    (tmp_path / "clip.raw").write_bytes(b"".join(clip))
    expected = [shown(picture, frame) for frame in clip]
    ring = open_ring(keeper, tmp_path)
    with (
        gstreamer(node, tmp_path / "out", caps_of(picture), shown_bytes(picture)) as receiver,
        source(tmp_path, [ring], video(picture, file="clip.raw")) as sender,
    ):
        seen = [digest(frame) for frame in receiver.frames(9)]
        assert sender.stop() == STOPPED
    start = expected.index(seen[0])
    assert seen == [expected[(start + each) % 3] for each in range(9)]


def test_the_ramp_moves(node: NetnsPair, keeper: RingKeeper, tmp_path: Path) -> None:
    """Each frame is the one before, a pair of pixels further."""
    picture = PictureFormat(320, 180, pixel_group("YCbCr-4:2:2", 8))
    rows, _ = ramp(picture).frame(0, 0)
    ring = open_ring(keeper, tmp_path)
    with (
        gstreamer(node, tmp_path / "out", caps_of(picture), shown_bytes(picture)) as receiver,
        source(tmp_path, [ring], video(picture, pattern="Ramp")),
    ):
        frames = receiver.frames(5)
    steps = []
    for frame in frames:
        line = frame[: picture.line_bytes]
        assert digest(frame) == digest(line * picture.height)
        steps.append(bytes(rows).index(line) // picture.group.octets)
    assert all(0 < (after - before) % (picture.width // 2) < 20 for before, after in pairwise(steps))
