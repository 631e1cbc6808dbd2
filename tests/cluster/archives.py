"""Image archives in the OCI layout, read and written with the standard library.

A layout is a folder: `index.json` names manifests, a manifest names a configuration and layers, and each of them is a file
named by its SHA-256. An archive is the same in a tar file; it may leave out files that the reader already has.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
IMAGE_NAME = "io.containerd.image.name"
REFERENCE = "org.opencontainers.image.ref.name"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of an image. digest: SHA-256, hex."""

    digest: str
    size_bytes: int

    @property
    def name(self) -> str:
        return f"blobs/sha256/{self.digest}"

    def descriptor(self, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size_bytes}


def encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data))


def blob_of_file(file: Path) -> Blob:
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
    return Blob(digest.hexdigest(), file.stat().st_size)


# ---- writing an image of one layer ------------------------------------------------------------------------------------


def write_single_layer(archive: Path, name: str, layer: Path, machine: str, entrypoint: Iterable[str] = ()) -> None:
    """Write an image whose only layer is a tar file.

    name: full reference, with a tag. machine: as uname says it.
    """
    content = blob_of_file(layer)
    config = encode(image_config(content, ARCHITECTURES[machine], tuple(entrypoint)))
    manifest = encode(image_manifest(blob_of(config), content))
    with tarfile.open(archive, "w") as tar:
        add_front(tar, index(name, blob_of(manifest)))
        for data in (config, manifest):
            add_bytes(tar, blob_of(data).name, data)
        add_file(tar, content.name, layer)


def image_config(layer: Blob, architecture: str, entrypoint: tuple[str, ...]) -> dict[str, Any]:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": [path], **({"Entrypoint": list(entrypoint)} if entrypoint else {"Cmd": ["bash"]})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}"]},
        "history": [{"created_by": "spillway"}],
    }


def image_manifest(config: Blob, layer: Blob) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    }


def index(name: str, manifest: Blob) -> bytes:
    notes = {IMAGE_NAME: name, REFERENCE: name.rpartition(":")[2]}
    return encode({"schemaVersion": 2, "manifests": [{**manifest.descriptor(MANIFEST), "annotations": notes}]})


def add_front(tar: tarfile.TarFile, index_json: bytes) -> None:
    add_bytes(tar, "oci-layout", LAYOUT_FILE)
    add_bytes(tar, "index.json", index_json)


def add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def add_file(tar: tarfile.TarFile, name: str, file: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = file.stat().st_size, 0o644
    with file.open("rb") as source:
        tar.addfile(entry, source)


def write_one_file_layer(layer: Path, file: Path, name: str) -> None:
    """Write a layer that holds one program, at the root, under this name."""
    with tarfile.open(layer, "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = file.stat().st_size, 0o755
        with file.open("rb") as source:
            tar.addfile(entry, source)


# ---- reading a layout -------------------------------------------------------------------------------------------------


def find_manifest(layout: Path, reference: str) -> Blob:
    """The manifest that a layout's index has under this reference. Raises KeyError if there is none."""
    listed = json.loads((layout / "index.json").read_text())["manifests"]
    for entry in listed:
        if entry.get("annotations", {}).get(REFERENCE) == reference:
            return as_blob(entry)
    raise KeyError(reference)


def as_blob(descriptor: dict[str, Any]) -> Blob:
    return Blob(descriptor["digest"].removeprefix("sha256:"), descriptor["size"])


def image_blobs(layout: Path, manifest: Blob) -> list[Blob]:
    """All files of an image: manifest, configuration, layers from the bottom up."""
    content = json.loads((layout / manifest.name).read_text())
    return [manifest, as_blob(content["config"]), *map(as_blob, content["layers"])]


def keep_only(layout: Path, references: set[str]) -> None:
    """Forget all images of a layout but those with these references, and the files that no other needs."""
    content = json.loads((layout / "index.json").read_text())
    kept = [entry for entry in content["manifests"] if entry.get("annotations", {}).get(REFERENCE) in references]
    needed = {blob.digest for entry in kept for blob in image_blobs(layout, as_blob(entry))}
    unfinished = layout / "index.new"
    unfinished.write_bytes(encode({**content, "manifests": kept}))
    unfinished.rename(layout / "index.json")
    for file in (layout / "blobs/sha256").iterdir():
        if file.name not in needed:
            file.unlink()


def write_from_layout(target: IO[bytes], layout: Path, names: Iterable[str], manifest: Blob, known: set[str]) -> None:
    """Stream an archive of one image under one or more names, without the blobs whose digests are `known`."""
    entries = [entry for name in names for entry in json.loads(index(name, manifest))["manifests"]]
    with tarfile.open(fileobj=target, mode="w|") as tar:
        add_front(tar, encode({"schemaVersion": 2, "manifests": entries}))
        for blob in missing_blobs(image_blobs(layout, manifest), known):
            add_file(tar, blob.name, layout / blob.name)


def missing_blobs(blobs: Iterable[Blob], known: set[str]) -> Iterator[Blob]:
    """Each blob once that is not known."""
    seen = set(known)
    for blob in blobs:
        if blob.digest not in seen:
            seen.add(blob.digest)
            yield blob
