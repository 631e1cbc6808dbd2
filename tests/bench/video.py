"""Row tx-video: how much video, 4:2:2 with 10 bit, the source sends on one core into a veth.

2160p50 needs 725,450 packets a second. A source sends no more than it is asked for, so it is asked for twice that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from spillway_stream.pages import Report
from spillway_stream.video.formats import PictureFormat, pixel_group
from tests.bench.rows import Row, ratio, side_by_side
from tests.bench.tx import BATCH, CPU, Lab, bench_lab

UHD = PictureFormat(3840, 2160, pixel_group("YCbCr-4:2:2", 10))
RATE = Fraction(100)
ASKED_KPPS = float(14_509 * RATE / 1000)
NEEDED_KPPS = ASKED_KPPS / 2
RUN_S = 2.0
CLIP_FRAMES = 4
GOAL_BARE, GOAL_ALL = 0.6, 0.97


def tx_video() -> Row:
    with bench_lab() as lab, TemporaryDirectory() as directory:
        clip = Path(directory) / "clip.raw"
        clip.write_bytes(os.urandom(UHD.frame_bytes) * CLIP_FRAMES)
        found = side_by_side(
            {
                "pattern": partial(source_kpps, lab, clip.parent, {"pattern": "ColorBars"}),
                "file": partial(source_kpps, lab, clip.parent, {"file": clip.name}),
                "bare": lambda: lab.run("bare", RUN_S, BATCH).kpps,
            }
        )
    share = ratio(found["file"], found["bare"])
    return Row(
        id="tx-video",
        what=f"packets of video a second from a file, 4:2:2, 10 bit, one core: 2160p50 needs {NEEDED_KPPS:.0f}, "
        f"2160p100 is asked for, {ASKED_KPPS:.0f}",
        unit="kpps",
        ours=found["file"],
        peers={"from a pattern": found["pattern"], f"bare AF_XDP, {BATCH} a call, numbers written only": found["bare"]},
        goal=f">= {GOAL_BARE} x bare ({share:.3f}), or {GOAL_ALL} of what is asked for",
        met=share >= GOAL_BARE or found["file"].median >= GOAL_ALL * ASKED_KPPS,
    )


def source_kpps(lab: Lab, files: Path, content: dict[str, object]) -> float:
    """The source as its pod runs it, held to one core; what its report counts between two moments."""
    group = UHD.group
    video = {
        "widthPixels": UHD.width, "heightPixels": UHD.height, "exactFrameRate": str(RATE), "sampling": group.sampling,
        "depthBits": group.depth_bits, **content,
    }  # fmt: skip
    spec = {"stream": "studio/uhd", "source": {"video": video}, "rings": [lab.node.path], "files": str(files), "cpu": CPU}
    environment = {**os.environ, "SPILLWAY_SOURCE": json.dumps(spec), "SPILLWAY_TERMINATION": os.devnull}
    command = [sys.executable, "-m", "spillway_stream.source"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        begin = sending(lab)
        time.sleep(RUN_S)
        end = report(lab)
    finally:
        process.terminate()
        process.wait()
        time.sleep(0.2)  # the ring goes back
    return (end.packets - begin.packets) / (end.written_ns - begin.written_ns) * 1e6


def sending(lab: Lab) -> Report:
    """Wait until frames of this run go out."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        before = report(lab)
        time.sleep(0.3)
        after = report(lab)
        if after.video_frames > max(10, before.video_frames):
            return after
    raise AssertionError("the source sends nothing")


def report(lab: Lab) -> Report:
    while (found := lab.node.report()) is None:
        time.sleep(0.001)
    return found
