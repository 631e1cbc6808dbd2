"""Files that a source is to send and cannot: what each says. What is lost while it is sent: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from spillway_stream.pcap.capture import LONGEST_NS, Capture
from spillway_stream.source.faults import InvalidIntent, NotSupported
from spillway_stream.source.files import open_file
from spillway_stream.source.replay import DAY_NS, check_lengths, scaled
from spillway_stream.source.spec import PcapSpec, Volume, VolumeKind, decode

FIELD = "source.pcap.file"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_dangling(path: Path) -> None:
    path.symlink_to("gone")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(make_directory, "clip is a directory, not a file", id="directory"),
        pytest.param(os.mkfifo, "clip is a pipe, not a file", id="pipe"),
        pytest.param(make_device, "clip is a device, not a file", id="device"),
        pytest.param(make_dangling, "there is no clip in the volume", id="dangling link"),
    ],
)
def test_what_is_no_file_is_not_waited_for(tmp_path, make, message):
    make(tmp_path / "clip")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(InvalidIntent) as refused:
        open_file(tmp_path / "clip", FIELD)
    assert str(refused.value) == f"{FIELD}: {message}"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_a_file_is_missing_is_said_as_the_stream_says_it(tmp_path):
    """A ConfigMap that is not there is an empty folder: which of the two it is, nobody in the pod can see."""
    order = {"stream": "studio/flood", "rings": ["/r"], "source": {"pcap": {"file": "a.pcap"}}}
    for volume, words in (
        ({"persistentVolumeClaim": "clips"}, "there is no a.pcap in PersistentVolumeClaim clips"),
        ({"configMap": "floods"}, "there is no a.pcap in ConfigMap floods, or no such ConfigMap"),
        (None, "there is no a.pcap in the volume"),
    ):
        spec = decode(json.dumps({**order, "source": {"pcap": {"file": "a.pcap", "volume": volume}}}), "")
        assert isinstance(spec.content, PcapSpec)
        with pytest.raises(InvalidIntent) as refused:
            open_file(tmp_path / spec.content.file, FIELD, spec.content.volume)
        assert str(refused.value) == f"{FIELD}: {words}"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        pytest.param(["b.pcap"], "which has b.pcap", id="another key"),
        pytest.param(
            [f"{each}.pcap" for each in "hgfedcb"], "which has b.pcap, c.pcap, d.pcap, e.pcap, f.pcap and 2 more", id="many"
        ),
        pytest.param([], "or no such ConfigMap", id="none, as where there is no ConfigMap"),
    ],
)
def test_a_config_map_without_the_file_shows_what_it_has(tmp_path, keys, words):
    """kubelet's own links beside the keys are not told."""
    for each in ("..data", "..2026_01_01", *keys):
        (tmp_path / each).touch()
    with pytest.raises(InvalidIntent) as refused:
        open_file(tmp_path / "a.pcap", FIELD, Volume(VolumeKind.CONFIG_MAP, "floods"))
    assert str(refused.value) == f"{FIELD}: there is no a.pcap in ConfigMap floods, {words}"


def test_a_folder_that_a_config_map_cannot_have(tmp_path):
    with pytest.raises(InvalidIntent, match=r"there is no a\.pcap in ConfigMap floods$"):
        open_file(tmp_path / "folder" / "a.pcap", FIELD, Volume(VolumeKind.CONFIG_MAP, "floods"))


@pytest.mark.parametrize("name", ["a/b", "nul\0", "\udcff\ud800"])
def test_names_that_no_file_has(tmp_path, name):
    (tmp_path / "a").write_bytes(b"no directory")
    with pytest.raises(InvalidIntent, match="there is no"):
        open_file(tmp_path / name, FIELD)


READER = """
import sys
from pathlib import Path
from spillway_stream.source.files import map_file, open_file
path = Path(sys.argv[1])
mapped = map_file(open_file(path, "source.video.file"), path, "source.video.file")
with path.open("r+b") as file:
    file.truncate(100)
print(mapped[99], flush=True)
print(sum(mapped[4096:]))
"""
LOST = "source.video.file: clip.raw was cut short while it was sent, or its disk cannot be read any more"


def test_a_file_that_is_cut_short_ends_with_words(tmp_path):
    """The kernel's SIGBUS becomes exit code 4, the words where Kubernetes shows them, and a line in the log."""
    (tmp_path / "clip.raw").write_bytes(bytes(100_000))
    environment = {**os.environ, "SPILLWAY_TERMINATION": str(tmp_path / "termination")}
    argv = [sys.executable, "-c", READER, str(tmp_path / "clip.raw")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "0\n"), done.stderr
    assert json.loads((tmp_path / "termination").read_text()) == {"reason": "Transient", "message": LOST}
    assert LOST in done.stderr


STRANGER = """
import mmap, sys
from pathlib import Path
from spillway_stream._ring import explain_lost
path = Path(sys.argv[1])
with path.open("r+b") as file:
    mapped = mmap.mmap(file.fileno(), 0)
    explain_lost(bytes(4096), sys.argv[2], "of another file", 4)
    file.truncate(0)
print(mapped[0])
"""


def test_a_fault_elsewhere_ends_as_it_always_did(tmp_path):
    (tmp_path / "other").write_bytes(bytes(100))
    argv = [sys.executable, "-c", STRANGER, str(tmp_path / "other"), str(tmp_path / "termination")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-7, "")
    assert not (tmp_path / "termination").exists()


def capture(due_ns: list[int], size: int = 60) -> Capture:
    return Capture(array("Q", [0] * len(due_ns)), array("I", [size] * len(due_ns)), array("Q", due_ns))


def test_a_pace_that_nobody_waits_for():
    """Two captures that were merged: thirteen days of silence are refused, and said."""
    due_ns = capture([0, 10**9, 10**9 + 13 * DAY_NS]).due_ns
    with pytest.raises(InvalidIntent, match=r"flood\.pcap: frame 3 would leave 13 days after the one before: give pacing"):
        scaled(PcapSpec("flood.pcap"), due_ns)
    assert scaled(PcapSpec("flood.pcap", speed=Fraction(1000)), due_ns)[-1] == due_ns[-1] // 1000
    with pytest.raises(InvalidIntent, match="frame 2 would leave"):
        scaled(PcapSpec("flood.pcap", speed=Fraction(999_999)), capture([0, LONGEST_NS]).due_ns)
    with pytest.raises(InvalidIntent, match="frame 2 would leave 1157407407 days"):
        scaled(PcapSpec("flood.pcap", speed=Fraction(1, 1_000_000)), capture([0, 10**17]).due_ns)


def test_a_capture_of_many_days_has_its_own_pace():
    due_ns = capture([number * DAY_NS // 2 for number in range(60)]).due_ns
    assert scaled(PcapSpec("slow.pcap"), due_ns) is due_ns
    assert scaled(PcapSpec("one.pcap"), capture([0]).due_ns)[0] == 0


@pytest.mark.parametrize(
    ("size", "message"),
    [
        pytest.param(1518, None, id="a VLAN tag more than the MTU counts"),
        pytest.param(1519, "frame 1 has 1519 bytes, eth1 takes 1518 with its MTU of 1500: it needs an MTU of 1501", id="longer"),
        pytest.param(
            2049, "frame 1 has 2049 bytes, the ring's frames take 2048: ring.frameBytes can be 4096", id="than the ring's"
        ),
    ],
)
def test_frames_that_would_be_lost_in_silence(size, message):
    facts = SimpleNamespace(frame_bytes=2048, mtu=1500, interface="eth1")
    if message is None:
        check_lengths("flood.pcap", capture([0], size), facts)
        return
    with pytest.raises(NotSupported) as refused:
        check_lengths("flood.pcap", capture([0], size), facts)
    assert str(refused.value) == f"source.pcap.file: flood.pcap: {message}"
