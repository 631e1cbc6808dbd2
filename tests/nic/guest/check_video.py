"""The built-in picture source over a ring in zero copy: what the far end gets is the picture, to the pixel."""

from __future__ import annotations

import time
from pathlib import Path

from spillway_crds.streams import BindMode
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.video.formats import PictureFormat, pixel_group
from spillway_stream.video.patterns import bars_line
from tests.depacketizer import Depacketizer
from tests.kernel.source_lab import STOPPED, source, video
from tests.nic.guest.cable import Cable
from tests.nic.guest.numbered import PAYLOAD_AT
from tests.nic.guest.rings import order, until

BARS = PictureFormat(320, 180, pixel_group("YCbCr-4:2:2", 10))
FRAMES = 10


def test_bars_leave_the_card_as_they_are(native: Cable, keeper: RingKeeper, tmp_path: Path) -> None:
    native.spread_over(0, 1, 3)
    wanted = order(native, 2, BindMode.ZERO_COPY)
    keeper.open(wanted)
    far = native.listen_far()
    with source(tmp_path, [str(wanted.directory / "ring.sock")], video(BARS, "5", pattern="ColorBars")) as sender:
        sent = until(keeper, lambda status: status.counters.video_frames > FRAMES)
        assert sender.stop() == STOPPED, sender.said
    assert sent.bind_mode is BindMode.ZERO_COPY
    time.sleep(1)
    far.numbers(0)
    received = Depacketizer(BARS.width, BARS.height, BARS.group.octets, BARS.group.pixels)
    for packet in (frame[PAYLOAD_AT:] for frame in far.frames if frame[12:14] == b"\x08\x00"):
        received.take(packet)
    assert len(received.frames) >= FRAMES
    assert set(received.frames) == {bars_line(BARS) * BARS.height}
