"""Programs that receive RTP video and know nothing of us: GStreamer and ffmpeg, each writing whole frames into a file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from spillway_stream.video.formats import PictureFormat

PORT = 5004
Start = Callable[[list[str], IO[bytes]], "subprocess.Popen[Any]"]  # (words, log): where the receiver is to run
Look = Callable[[], str]  # /proc/net/udp as it is there
STARTS_S = 20


@dataclass
class Receiver:
    """A receiver that listens already."""

    process: subprocess.Popen[Any]
    file: Path
    frame_bytes: int

    @property
    def log(self) -> Path:
        """What it said."""
        return self.file.with_suffix(".log")

    @property
    def count(self) -> int:
        """Whole frames so far."""
        return self.file.stat().st_size // self.frame_bytes if self.file.exists() else 0

    def check(self) -> None:
        """It still runs."""
        assert self.process.poll() is None, self.log.read_text()

    def frames(self, count: int, timeout_s: float = 30) -> list[bytes]:
        """The first whole frames, once there are so many."""
        deadline = time.monotonic() + timeout_s
        while self.count < count:
            self.check()
            assert time.monotonic() < deadline, f"{self.count} of {count} frames"
            time.sleep(0.02)
        with self.file.open("rb") as file:
            return [file.read(self.frame_bytes) for _ in range(count)]


@contextmanager
def receiving(start: Start, look: Look, words: list[str], file: Path, frame_bytes: int) -> Iterator[Receiver]:
    """Run one; it listens before the block begins, and is ended with it."""
    with file.with_suffix(".log").open("wb") as log:
        receiver = Receiver(start(words, log), file, frame_bytes)
    try:
        deadline = time.monotonic() + STARTS_S
        while f":{PORT:04X} " not in look():
            receiver.check()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield receiver
    finally:
        receiver.process.kill()
        receiver.process.wait()


def gstreamer_words(file: Path, caps: str) -> list[str]:
    """udpsrc ! rtpvrawdepay ! filesink."""
    return [
        "gst-launch-1.0", "-q", "udpsrc", f"port={PORT}", "buffer-size=33554432", f"caps=application/x-rtp,{caps}",
        "!", "rtpvrawdepay", "!", "filesink", f"location={file}", "buffer-mode=unbuffered",
    ]  # fmt: skip


def caps_of(picture: PictureFormat, payload_type: int = 96) -> str:
    """What an SDP text says, as GStreamer wants it. Its depayloader has no interlaced formats."""
    group = picture.group
    return (
        f"media=video,payload={payload_type},clock-rate=90000,encoding-name=RAW,sampling={group.sampling},"
        f"depth=(string){group.depth_bits},width=(string){picture.width},height=(string){picture.height},colorimetry=BT709-2"
    )


def ffmpeg_words(file: Path, sdp: Path) -> list[str]:
    """ffmpeg told by an SDP text what to expect; frames as on the wire."""
    return [
        "ffmpeg", "-hide_banner", "-nostdin", "-protocol_whitelist", "file,udp,rtp", "-buffer_size", "33554432",
        "-i", str(sdp), "-c", "copy", "-f", "rawvideo", "-flush_packets", "1", str(file),
    ]  # fmt: skip
