"""The demo of streams tells the truth: what it writes is what left the pod."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.demo.stream import FRAMES, PICTURES
from tests.e2e.streams import Studio

pytestmark = pytest.mark.long
PNG = b"\x89PNG\r\n\x1a\n"


def test_the_pictures_are_whole_and_alike(studio: Studio) -> None:
    """Bars do not move: five frames of them are five times one file, of the size that was sent."""
    try:
        done = subprocess.run([sys.executable, "-m", "tests.demo.stream", "--keep"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        pictures = [file.read_bytes() for file in sorted(PICTURES.glob("*.png"))]
        assert len(pictures) == FRAMES
        assert set(map(len, pictures)) == {len(pictures[0])}
        assert len(set(pictures)) == 1
        assert pictures[0].startswith(PNG)
        assert pictures[0][16:24] == (640).to_bytes(4, "big") + (360).to_bytes(4, "big")
        assert re.search(r"CapEff:\s+0{16}", done.stdout)
    finally:
        studio.delete("bars")
