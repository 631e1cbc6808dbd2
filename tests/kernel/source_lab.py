"""Sources as processes of their own, fed by a real keeper's rings, and receivers at the other end of the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.kernel.namespaces import inside
from tests.kernel.netpair import NetnsPair
from tests.kernel.ring_lab import SMALL, make_order

from spillway_crds.streams import BindMode, Flow, RingParameters
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.video.formats import PictureFormat

PORT = 5004
FLOW = Flow(destination=ip_address("10.9.0.2"), destination_port=PORT)


def open_ring(keeper: RingKeeper, directory: Path, queue: int = 1, *, name: str = "cam", flow: Flow = FLOW) -> str:
    """A ring of the node's keeper, at a path short enough for an application. Returns the socket's path."""
    home = directory / name
    home.mkdir()
    order = make_order(directory, queue, name=name)
    parameters = RingParameters(flow, BindMode.COPY, ring=replace(SMALL, descriptors=1024))
    keeper.open(replace(order, directory=home, parameters=parameters))
    return str(home / "ring.sock")


def video(picture: PictureFormat, rate: str = "25", **more: object) -> dict[str, object]:
    """spec.source of a stream that sends such pictures."""
    group = picture.group
    return {
        "video": {
            "widthPixels": picture.width, "heightPixels": picture.height, "exactFrameRate": rate, "sampling": group.sampling,
            "depthBits": group.depth_bits, "interlaced": picture.interlaced, **more,
        }
    }  # fmt: skip


@dataclass
class SourceProcess:
    """`python -m spillway_stream.source`, as its pod runs it."""

    process: subprocess.Popen[str]
    termination: Path
    said: str = ""

    def wait(self, timeout_s: float = 20) -> int:
        """Let it end by itself; the exit code."""
        self.said = self.process.communicate(timeout=timeout_s)[0]
        return self.process.returncode

    def stop(self) -> int:
        """SIGTERM, as kubelet ends it."""
        self.process.terminate()
        return self.wait()

    def fault(self) -> dict[str, str]:
        """What Kubernetes would show of its end."""
        found: dict[str, str] = json.loads(self.termination.read_text())
        return found


@contextmanager
def source(directory: Path, rings: list[str], content: dict[str, Any], **fields: Any) -> Iterator[SourceProcess]:
    """Start it; it is ended with the block."""
    spec = {"stream": "studio/cam", "uid": "6c1e", "rings": rings, "source": content, "files": str(directory), **fields}
    termination = directory / "termination"
    environment = {**os.environ, "SPILLWAY_SOURCE": json.dumps(spec), "SPILLWAY_TERMINATION": str(termination)}
    process = subprocess.Popen(
        [sys.executable, "-m", "spillway_stream.source"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield SourceProcess(process, termination)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Receiver:
    """A program at the peer that writes frames of an RTP stream into a file, and knows nothing of us."""

    process: subprocess.Popen[bytes]
    file: Path
    frame_bytes: int

    @property
    def log(self) -> Path:
        """What it said."""
        return self.file.with_suffix(".log")

    def check(self) -> None:
        """It still runs."""
        assert self.process.poll() is None, self.log.read_text()

    def frames(self, count: int, timeout_s: float = 30) -> list[bytes]:
        """The first whole frames, once there are so many."""
        deadline = time.monotonic() + timeout_s
        while self.file.stat().st_size < count * self.frame_bytes if self.file.exists() else True:
            self.check()
            assert time.monotonic() < deadline, f"{self.file.stat().st_size // self.frame_bytes} of {count} frames"
            time.sleep(0.02)
        with self.file.open("rb") as file:
            return [file.read(self.frame_bytes) for _ in range(count)]


@contextmanager
def gstreamer(pair: NetnsPair, file: Path, caps: str, frame_bytes: int) -> Iterator[Receiver]:
    """udpsrc ! rtpvrawdepay ! filesink, in the peer's namespace, listening before the block begins."""
    command = [
        "gst-launch-1.0", "-q", "udpsrc", f"port={PORT}", "buffer-size=33554432", f"caps=application/x-rtp,{caps}",
        "!", "rtpvrawdepay", "!", "filesink", f"location={file}", "buffer-mode=unbuffered",
    ]  # fmt: skip
    with _receiving(pair, command, file, frame_bytes) as receiver:
        yield receiver


@contextmanager
def ffmpeg(pair: NetnsPair, file: Path, sdp: Path, frame_bytes: int) -> Iterator[Receiver]:
    """ffmpeg told by the stream's own SDP text what to expect, in the peer's namespace; frames as on the wire."""
    command = [
        "ffmpeg", "-hide_banner", "-nostdin", "-protocol_whitelist", "file,udp,rtp", "-buffer_size", "33554432",
        "-i", str(sdp), "-c", "copy", "-f", "rawvideo", "-flush_packets", "1", str(file),
    ]  # fmt: skip
    with _receiving(pair, command, file, frame_bytes) as receiver:
        yield receiver


@contextmanager
def _receiving(pair: NetnsPair, command: list[str], file: Path, frame_bytes: int) -> Iterator[Receiver]:
    with inside(pair.peer_net), file.with_suffix(".log").open("wb") as log:
        receiver = Receiver(subprocess.Popen(command, stdout=log, stderr=log), file, frame_bytes)
    try:
        _await_listener(pair, receiver)
        yield receiver
    finally:
        receiver.process.kill()
        receiver.process.wait()


def _await_listener(pair: NetnsPair, receiver: Receiver) -> None:
    deadline = time.monotonic() + 20
    wanted = f":{PORT:04X} "
    while True:
        with inside(pair.peer_net):
            if any(wanted in line for line in Path("/proc/thread-self/net/udp").read_text().splitlines()):
                return
        receiver.check()
        assert time.monotonic() < deadline
        time.sleep(0.02)
