"""Sources as processes of their own, fed by a real keeper's rings, and receivers at the other end of the wire."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

from tests.kernel.namespaces import inside
from tests.kernel.netpair import ETH_P_ALL, PEER, NetnsPair
from tests.kernel.ring_lab import SMALL, make_order
from tests.receivers import PORT, Receiver, ffmpeg_words, gstreamer_words, receiving

from spillway_crds.streams import BindMode, Flow, RingParameters
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.video.formats import PictureFormat

SO_TIMESTAMPNS = 35
FLOW = Flow(destination=ip_address("10.9.0.2"), destination_port=PORT)


def open_ring(
    keeper: RingKeeper, directory: Path, queue: int = 1, *, name: str = "cam", flow: Flow = FLOW, frame_bytes: int = 2048
) -> str:
    """A ring of the node's keeper, at a path short enough for an application. Returns the socket's path."""
    home = directory / name
    home.mkdir()
    order = make_order(directory, queue, name=name)
    parameters = RingParameters(flow, BindMode.COPY, ring=replace(SMALL, descriptors=1024, frame_bytes=frame_bytes))
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


STOPPED = 128 + signal.SIGTERM


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
        """SIGTERM, as kubelet ends it; the exit code is STOPPED unless it had ended by itself."""
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


@contextmanager
def gstreamer(pair: NetnsPair, file: Path, caps: str, frame_bytes: int) -> Iterator[Receiver]:
    """GStreamer in the peer's namespace, listening before the block begins."""
    with _receiving(pair, gstreamer_words(file, caps), file, frame_bytes) as receiver:
        yield receiver


@contextmanager
def ffmpeg(pair: NetnsPair, file: Path, sdp: Path, frame_bytes: int) -> Iterator[Receiver]:
    """The same with ffmpeg, which is told by an SDP text what to expect."""
    with _receiving(pair, ffmpeg_words(file, sdp), file, frame_bytes) as receiver:
        yield receiver


def _receiving(pair: NetnsPair, words: list[str], file: Path, frame_bytes: int) -> AbstractContextManager[Receiver]:
    def start(words: list[str], log: IO[bytes]) -> subprocess.Popen[Any]:
        with inside(pair.peer_net):
            return subprocess.Popen(words, stdout=log, stderr=log)

    def look() -> str:
        with inside(pair.peer_net):
            return Path("/proc/thread-self/net/udp").read_text()

    return receiving(start, look, words, file, frame_bytes)


@contextmanager
def stamped(node: NetnsPair) -> Iterator[socket.socket]:
    """A packet socket at the peer that tells when each frame arrived."""
    with inside(node.peer_net):
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        listener.bind((PEER, ETH_P_ALL))
    listener.settimeout(15)
    with listener:
        yield listener


def arrival(listener: socket.socket) -> tuple[int, bytes]:
    """(CLOCK_TAI in ns, frame)."""
    frame, ((_, _, stamp),), _, _ = listener.recvmsg(65536, 64)
    seconds, rest_ns = struct.unpack("qq", stamp)
    ahead_ns = time.clock_gettime_ns(time.CLOCK_TAI) - time.clock_gettime_ns(time.CLOCK_REALTIME)
    return seconds * 10**9 + rest_ns + round(ahead_ns, -9), frame
