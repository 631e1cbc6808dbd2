"""A source whose file is not there: its stream says what is missing, and begins by itself once somebody has put it there."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spillway_stream.video.formats import PictureFormat, pixel_group
from tests.cluster import Cluster
from tests.e2e.product import Json, condition, wait_for
from tests.e2e.streams import NODE1, Studio, Way, config_map, stream
from tests.e2e.traffic import witness

pytestmark = pytest.mark.long
PICTURE = PictureFormat(320, 180, pixel_group("YCbCr-4:2:2", 10))
CLIP = {"widthPixels": 320, "heightPixels": 180, "exactFrameRate": "25", "file": "clip.raw"}
HEALED_S = 300.0  # in all: kubelet brings a changed ConfigMap to its pods within a minute and a half


@pytest.fixture
def way(cluster: Cluster) -> Way:
    return Way(cluster.node(2).studio.address, 5040)


def clip_of(volume: Json, way: Way) -> Json:
    return stream("late", way, source={"video": {**CLIP, "volume": volume}}, nodeSelector=NODE1)


@contextmanager
def files_afterwards(studio: Studio) -> Iterator[None]:
    try:
        yield
    finally:
        studio.product.kubectl("-n", "studio", "delete", "configmap", "clips", "--ignore-not-found")


def wait_words(studio: Studio, reason: str, words: str) -> None:
    def said() -> bool:
        found = condition(studio.stream("late"), "Ready")
        return found.get("reason") == reason and words in found["message"]

    wait_for(f"{reason}: {words}", said, HEALED_S)


def test_a_config_map_that_is_made_later(studio: Studio, cluster: Cluster, way: Way) -> None:
    """First there is none, then one without the file, then one with it."""
    with witness(cluster, 2, way.port) as seen, files_afterwards(studio), studio.running(clip_of({"configMap": "clips"}, way)):
        wait_words(studio, "InvalidIntent", "source.video.file: there is no clip.raw in ConfigMap clips, or no such ConfigMap")
        studio.product.apply(config_map("clips", {"other.raw": b"x"}))
        wait_words(studio, "InvalidIntent", "source.video.file: there is no clip.raw in ConfigMap clips, which has other.raw")
        studio.product.apply(config_map("clips", {"clip.raw": os.urandom(PICTURE.frame_bytes)}))
        wait_for("the picture", lambda: seen.passed()[way.port] > 1000, HEALED_S)
        studio.wait_stream("late", "Ready")
        assert restarts(studio) == 2, "once for each refusal: what is wrong is not tried again and again"


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[Path]:
    """A folder of node1 that a PersistentVolume may have; any user may read it."""
    place = "/var/lib/spillway-clips"
    cluster.node(1).run(["install", "-d", "-m", "755", place])
    yield Path(place)
    cluster.node(1).run(["rm", "-r", place])


def test_a_volume_that_is_made_later(studio: Studio, cluster: Cluster, way: Way, disk: Path) -> None:
    """First there is no PersistentVolumeClaim, then one without the file, then the file is copied there."""
    volume = {"persistentVolumeClaim": "clips"}
    with witness(cluster, 2, way.port) as seen, claims_afterwards(studio), studio.running(clip_of(volume, way)):
        wait_words(studio, "SourceWaits", 'persistentvolumeclaim "clips" not found')
        studio.product.apply(*volume_and_claim(disk))
        wait_words(studio, "InvalidIntent", "source.video.file: there is no clip.raw in PersistentVolumeClaim clips")
        content = base64.b64encode(os.urandom(PICTURE.frame_bytes)).decode()
        cluster.node(1).run(["sh", "-c", f"base64 -d > {disk}/clip.raw"], input=content)
        wait_for("the picture", lambda: seen.passed()[way.port] > 1000, HEALED_S)
        studio.wait_stream("late", "Ready")
        assert restarts(studio) == 1


def restarts(studio: Studio) -> int:
    return int(studio.pod("late-source")["status"]["containerStatuses"][0]["restartCount"])


def volume_and_claim(disk: Path) -> tuple[Json, Json]:
    shared = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    there = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}]}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "clips"},
            "spec": {
                **shared,
                "capacity": {"storage": "1Gi"},
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(disk)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [there]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "clips", "namespace": "studio"},
            "spec": {**shared, "volumeName": "clips", "resources": {"requests": {"storage": "1Gi"}}},
        },
    )


@contextmanager
def claims_afterwards(studio: Studio) -> Iterator[None]:
    try:
        yield
    finally:
        studio.product.kubectl("-n", "studio", "delete", "pvc", "clips", "--ignore-not-found", "--timeout=60s")
        studio.product.kubectl("delete", "pv", "clips", "--ignore-not-found", "--timeout=60s")
