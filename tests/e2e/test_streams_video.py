"""Pictures and captures without code, on the cluster: made by a pod of the operator's on one node, received on the other."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pytest

from spillway_stream.clocks import word_of
from spillway_stream.source.clock import observe
from spillway_stream.video.formats import PictureFormat, pixel_group
from spillway_stream.video.patterns import bars_line
from tests.cluster import Cluster
from tests.e2e.product import Json, condition, wait_for
from tests.e2e.streams import NODE1, UP_S, Studio, Way, config_map, stream
from tests.e2e.traffic import witness
from tests.receivers import Receiver, caps_of, ffmpeg_words, gstreamer_words, receiving
from tests.traffic.frames import udp4_flood

PICTURE = PictureFormat(640, 360, pixel_group("YCbCr-4:2:2", 10))
BARS = {"widthPixels": 640, "heightPixels": 360, "exactFrameRate": "25", "depthBits": 10, "pattern": "ColorBars"}
BARS_SEEN = sha256(bars_line(PICTURE) * PICTURE.height).digest()


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address)


@contextmanager
def at_node2(cluster: Cluster, words: list[str], file: Path) -> Iterator[Receiver]:
    net = cluster.node(2).net

    def start(words: list[str], log: IO[bytes]) -> subprocess.Popen[Any]:
        return net.popen(words, stdout=log, stderr=log)

    with receiving(start, lambda: net.run(["cat", "/proc/net/udp"]).stdout, words, file, PICTURE.frame_bytes) as receiver:
        yield receiver


def digests(frames: list[bytes]) -> set[bytes]:
    return {sha256(frame).digest() for frame in frames}


def sdp_by_command(cluster: Cluster, name: str) -> str:
    argv = [sys.executable, "-m", "spillway_dataplane.cli", "sdp", name, "-n", "studio"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout


def source_pod(studio: Studio, name: str) -> Json:
    return studio.pod(f"{name}-source")


def test_bars_from_one_node_to_another(studio: Studio, cluster: Cluster, way: Way, tmp_path: Path) -> None:
    """A hundred frames, every pixel, while the driver of streams is replaced; what the status tells; gone with the stream."""
    manifest = stream("bars", way, source={"video": BARS}, nodeSelector=NODE1, clock={"source": "System"})
    words = gstreamer_words(tmp_path / "out", caps_of(PICTURE))
    with at_node2(cluster, words, tmp_path / "out") as receiver, studio.running(manifest):
        assert digests(receiver.frames(100, timeout_s=UP_S)) == {BARS_SEEN}
        check_status(studio, cluster)
        pod = source_pod(studio, "bars")
        studio.product.kubectl("-n", "spillway-system", "delete", "pod", studio.product.dataplane_pod("node1"), "--wait=true")
        seen = receiver.count
        assert digests(receiver.frames(seen + 50)[seen:]) == {BARS_SEEN}
        studio.product.wait_pods_ready()
        again = source_pod(studio, "bars")
        assert again["metadata"]["uid"] == pod["metadata"]["uid"]
        assert again["status"]["containerStatuses"][0]["restartCount"] == 0
    wait_for("the source's pod to go", lambda: not source_pod(studio, "bars"), 30)


def check_status(studio: Studio, cluster: Cluster) -> None:
    found = studio.wait_stream("bars", "Ready")
    address = cluster.node(1).studio.address
    assert f"IN IP4 {address}\r\ns=studio/bars\r\n" in found["status"]["sdp"]
    assert found["status"]["sdp"].endswith("ts-refclk:localmac=" + cluster.node(1).studio.mac.replace(":", "-").upper() + "\r\n")
    ahead_s = tai_offset_s()
    wanted = word_of(observe("System").code)
    assert wanted is not None and (wanted.reason == "NoTaiOffset") == (ahead_s == 0)
    wait_for(
        "ClockSynchronized", lambda: condition(studio.stream("bars"), "ClockSynchronized").get("reason") == wanted.reason, 30
    )
    said = condition(studio.stream("bars"), "ClockSynchronized")["message"]
    assert said.endswith(f"CLOCK_TAI is {ahead_s}.000 s ahead of CLOCK_REALTIME" if ahead_s else "CLOCK_REALTIME"), said
    check_core(studio, found["status"]["node"])


def check_core(studio: Studio, node: str) -> None:
    """The status names the core, and the kernel says that the sending thread is there."""
    assert studio.stream("bars")["status"]["coreChosenBy"] == ("Chosen" if len(os.sched_getaffinity(0)) > 1 else "Cpuset")
    processes = (each for each in Path("/proc").iterdir() if each.name.isdigit())
    (sender,) = [each.name for each in processes if b'"stream": "studio/bars"' in read(each / "environ")]

    def agree() -> bool:  # it may have moved since the last report
        return os.sched_getaffinity(int(sender)) == {studio.stream("bars")["status"]["core"]}

    wait_for(f"the status of {node} naming the sender's core", agree, 50)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def without_ptp() -> str:
    """What is said where PTP was asked for and there is none: the worse news, if the node's own clock is none to trust either."""
    word = word_of(observe("PTP").code)
    assert word is not None
    return word.reason


def tai_offset_s() -> int:
    return round((time.clock_gettime_ns(time.CLOCK_TAI) - time.clock_gettime_ns(time.CLOCK_REALTIME)) / 1e9)


def test_a_clip_and_its_sdp(studio: Studio, cluster: Cluster, way: Way, tmp_path: Path) -> None:
    """Interlaced, from a file in a ConfigMap, described by `spillway sdp` and decoded by ffmpeg with nothing but that.

    It asks for a PTP clock, which no node of a test cluster has: it is sent all the same, and the condition says so.
    """
    frame = os.urandom(PICTURE.frame_bytes)
    video = {**BARS, "interlaced": True, "file": "clip.raw", "volume": {"configMap": "clip"}}
    del video["pattern"]
    manifest = stream("clip", way, source={"video": video}, nodeSelector=NODE1, clock={"source": "PTP"})
    with files(studio, "clip", {"clip.raw": frame}), studio.running(manifest):
        wait_for("the SDP text", lambda: studio.stream("clip").get("status", {}).get("sdp"), UP_S)
        (tmp_path / "clip.sdp").write_text(sdp_by_command(cluster, "clip"), newline="")
        with at_node2(cluster, ffmpeg_words(tmp_path / "out", tmp_path / "clip.sdp"), tmp_path / "out") as receiver:
            _, *whole = receiver.frames(10, timeout_s=UP_S)  # the first one may have been under way when ffmpeg came
            assert digests(whole) == {sha256(frame).digest()}
        clock = wait_for("the clock's condition", lambda: condition(studio.stream("clip"), "ClockSynchronized"), 30)
        assert (clock["status"], clock["reason"]) == ("False", without_ptp())


def test_two_legs_leave_through_two_queues(studio: Studio, cluster: Cluster, way: Way) -> None:
    """ST 2022-7: one pod, one claim for two queues, the same packets to two ports; the SDP text groups them."""
    other = Way(way.destination, way.port + 2)
    video = {**BARS, "legs": [{"interface": "eth1", "flow": other.flow()}]}
    manifest = stream("twice", way, source={"video": video}, nodeSelector=NODE1)
    with witness(cluster, 2, way.port, other.port) as seen:
        with studio.running(manifest):
            wait_for("packets of both legs", lambda: min(seen.passed().values()) > 2000, UP_S)
            text = wait_for("the SDP text", lambda: studio.stream("twice").get("status", {}).get("sdp"), 30)
            devices = studio.claim("twice")["status"]["devices"]
            check_legs(wait_for("counts of both legs", lambda: counted(studio.stream("twice")), 30))
        first, second = seen.passed().values()
    assert len({each["data"]["queue"] for each in devices}) == 2
    assert abs(first - second) <= 64, "a batch at most"
    assert [line for line in text.split("\r\n") if line.startswith(("a=group", "m=", "a=mid"))] == [
        "a=group:DUP primary secondary",
        f"m=video {way.port} RTP/AVP 96",
        "a=mid:primary",
        f"m=video {other.port} RTP/AVP 96",
        "a=mid:secondary",
    ]


def counted(found: Json) -> Json | None:
    status: Json = found.get("status", {})
    legs = status.get("legs", [])
    return status if len(legs) == 2 and all(each["packets"] > 1000 for each in legs) else None


def check_legs(status: Json) -> None:
    first, second = status["legs"]
    assert (
        (first["interface"], first["queue"]) == (status["interface"], status["queue"]) != (second["interface"], second["queue"])
    )
    assert status["packets"] == first["packets"] + second["packets"]
    assert first["bindMode"] == second["bindMode"] == "Copy"


def test_a_wrong_clip_is_told(studio: Studio, way: Way) -> None:
    """The stream's condition says which file, what was found and what was expected."""
    video = {**BARS, "file": "clip.raw", "volume": {"configMap": "short"}}
    del video["pattern"]
    manifest = stream("short", way, source={"video": video}, nodeSelector=NODE1)
    with files(studio, "short", {"clip.raw": bytes(1000)}), studio.running(manifest):
        words = "clip.raw has 1000 bytes, 0 frames and 1000 bytes more; a frame of 640x360"
        wait_for("the words", lambda: words in studio.message("short"), UP_S)


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        pytest.param(
            {"configMap": "nowhere"},
            "source.video.file: there is no clip.raw in ConfigMap nowhere, or no such ConfigMap",
            id="ConfigMap",
        ),
        pytest.param(
            {"persistentVolumeClaim": "nowhere"},
            'persistentvolumeclaim "nowhere" not found',
            id="PersistentVolumeClaim",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_missing_volume_is_told(studio: Studio, way: Way, volume: Json, words: str) -> None:
    """In the stream's condition, where whoever wrote it looks."""
    video = {**BARS, "file": "clip.raw", "volume": volume}
    del video["pattern"]
    manifest = stream("lost", way, source={"video": video}, nodeSelector=NODE1)
    with studio.running(manifest):
        wait_for("the words", lambda: words in studio.message("lost"), UP_S)


def test_a_capture_is_sent_once(studio: Studio, cluster: Cluster, way: Way) -> None:
    """Exactly its 2,000 frames, at the given rate; then the pod is Completed."""
    one, two = cluster.node(1).studio, cluster.node(2).studio
    frames = udp4_flood((two.mac, one.mac), [one.address] * 2000, two.address, 6000, way.port, 200)
    manifest = stream(
        "replay",
        way,
        source={"pcap": {"file": "flood.pcap", "volume": {"configMap": "flood"}}},
        nodeSelector=NODE1,
        pacing={"packetsPerSecond": 2000},
    )
    with files(studio, "flood", {"flood.pcap": capture(frames)}), witness(cluster, 2, way.port) as seen, studio.running(manifest):
        wait_for("the end", lambda: studio.phase("replay-source") == "Succeeded", 60)
        assert seen.passed() == {way.port: 2000}


@contextmanager
def files(studio: Studio, name: str, content: dict[str, bytes]) -> Iterator[None]:
    """A ConfigMap of the namespace, for the block."""
    studio.product.kubectl("create", "-f", "-", stdin=studio.json(config_map(name, content)))
    try:
        yield
    finally:
        studio.product.kubectl("-n", "studio", "delete", "configmap", name)


def capture(frames: list[bytes]) -> bytes:
    """pcap, a millisecond from frame to frame."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (
        struct.pack("<4I", 1_700_000_000 + place // 1000, place % 1000 * 1000, len(frame), len(frame)) + frame
        for place, frame in enumerate(frames)
    )
    return head + b"".join(records)
