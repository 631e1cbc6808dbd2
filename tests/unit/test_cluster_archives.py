"""Image archives: what is written can be found again, and what the reader has is left out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.cluster.archives import (
    as_blob,
    find_manifest,
    image_blobs,
    keep_only,
    missing_blobs,
    write_from_layout,
    write_one_file_layer,
    write_single_layer,
)

NAME = "registry.local/pause:1"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """The layout that an archive of one layer unpacks to."""
    (tmp_path / "pause-1234").write_bytes(b"program")
    write_one_file_layer(tmp_path / "layer.tar", tmp_path / "pause-1234", "pause")
    write_single_layer(tmp_path / "image.tar", NAME, tmp_path / "layer.tar", "x86_64", ["/pause"])
    unpack(tmp_path / "image.tar", tmp_path / "layout")
    return tmp_path / "layout"


def unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for entry in tar:
            file = folder / entry.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes((tar.extractfile(entry) or io.BytesIO()).read())


def test_names_are_hashes(layout: Path) -> None:
    for blob in (layout / "blobs/sha256").iterdir():
        assert blob.name == hashlib.sha256(blob.read_bytes()).hexdigest()


def test_a_written_image_is_whole(layout: Path) -> None:
    """The index leads to a manifest, that to a configuration and a layer, and the layer holds the program."""
    manifest = find_manifest(layout, "1")
    _, config, layer = image_blobs(layout, manifest)
    content = json.loads((layout / config.name).read_text())
    assert content["rootfs"]["diff_ids"] == [f"sha256:{layer.digest}"]
    assert (content["architecture"], content["config"]["Entrypoint"]) == ("amd64", ["/pause"])
    with tarfile.open(layout / layer.name) as tar:
        (entry,) = tar.getmembers()
    assert (entry.name, entry.mode) == ("pause", 0o755)


def test_an_unknown_reference(layout: Path) -> None:
    with pytest.raises(KeyError):
        find_manifest(layout, "2")


def test_an_archive_leaves_out_what_is_known(layout: Path) -> None:
    """The index always goes along, with the name asked for; each other file once, or not at all."""
    manifest = find_manifest(layout, "1")
    blobs = image_blobs(layout, manifest)
    target = io.BytesIO()
    write_from_layout(target, layout, ["registry.local/other:next"], manifest, known={blobs[-1].digest})
    target.seek(0)
    with tarfile.open(fileobj=target) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json") or pytest.fail("no index"))
    assert names == ["oci-layout", "index.json", *(blob.name for blob in blobs[:-1])]
    (entry,) = index["manifests"]
    assert as_blob(entry) == manifest
    assert entry["annotations"]["io.containerd.image.name"] == "registry.local/other:next"


def test_every_blob_once(layout: Path) -> None:
    blobs = image_blobs(layout, find_manifest(layout, "1"))
    assert list(missing_blobs([*blobs, *blobs], set())) == blobs
    assert list(missing_blobs(blobs, {blob.digest for blob in blobs})) == []


def test_forgotten_images_take_their_files_along(layout: Path) -> None:
    """What a kept image needs stays, also where a forgotten one shared it; nobody's files go."""
    assert len(list((layout / "blobs/sha256").iterdir())) == 3
    (layout / "blobs/sha256/stray").touch()
    keep_only(layout, {"1"})
    assert {each.name for each in (layout / "blobs/sha256").iterdir()} == {
        blob.digest for blob in image_blobs(layout, find_manifest(layout, "1"))
    }
    keep_only(layout, {"2"})
    assert list((layout / "blobs/sha256").iterdir()) == []
