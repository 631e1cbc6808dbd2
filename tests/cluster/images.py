"""The product's images and the pause image: what they are called, what they are made from, where they lie.

All images share one OCI layout in the cache, so that two versions of the code share every layer but the last.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tests.cluster.archives import (
    Blob,
    find_manifest,
    keep_only,
    write_from_layout,
    write_one_file_layer,
    write_single_layer,
)
from tests.cluster.buildah import base_key, build_image, ensure_base, export_image
from tests.cluster.errors import ClusterError
from tests.cluster.keys import files_key, key
from tests.cluster.layout import PACKAGE, REPOSITORY, Cache
from tests.cluster.products import keep_newest, product, remove
from tests.cluster.shell import run

REGISTRY = "registry.local"
DEFAULT_TAG = "dev"
IMAGES = ("dataplane", "operator")
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "crds", "dataplane", "operator")
PAUSE = f"{REGISTRY}/pause:1"
KEPT_RECORDS = 8


@dataclass(frozen=True, slots=True)
class Images:
    """What people put into the chart's values: where the images are said to be, and their tag."""

    registry: str = REGISTRY
    tag: str = DEFAULT_TAG

    @property
    def dataplane(self) -> str:
        return f"{self.registry}/spillway-dataplane:{self.tag}"

    @property
    def operator(self) -> str:
        return f"{self.registry}/spillway-operator:{self.tag}"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """One image in the layout. name: without registry and tag, as in spillway-dataplane."""

    name: str
    layout: Path
    manifest: Blob

    def reference(self, tag: str = DEFAULT_TAG) -> str:
        return f"{REGISTRY}/{self.name}:{tag}"

    def write_archive(self, target: IO[bytes], tag: str, known: set[str] | None = None) -> None:
        """Stream the image as an archive, without the blobs whose digests are known to the reader."""
        write_from_layout(target, self.layout, [self.reference(tag)], self.manifest, known or set())


def layout_of(cache: Cache) -> Path:
    return cache.images / "layout"


def image_key(image: str) -> str:
    """Changes with anything that the image is made from."""
    return key(base_key(), files_key(REPOSITORY, [*SOURCES, f"images/{image}"]))


def build_named(cache: Cache, image: str) -> BuiltImage:
    """One image of the code as it is now. Call it with the build lock held. Raises ClusterError for a name that is none."""
    if image not in IMAGES:
        raise ClusterError(f"no image {image}; there are {', '.join(IMAGES)}")
    return build_one(cache, image)


def build_images(cache: Cache) -> list[BuiltImage]:
    """Both images of the code as it is now. Call it with the build lock held."""
    return [build_one(cache, image) for image in IMAGES]


def build_one(cache: Cache, image: str) -> BuiltImage:
    name = f"spillway-{image}"
    reference = f"{name}-{image_key(image)}"
    record = cache.images / f"{reference}.json"
    product(record, lambda unfinished: make_image(cache, image, reference, unfinished), f"building the image {name}")
    return BuiltImage(name, layout_of(cache), Blob(**json.loads(record.read_text())))


def make_image(cache: Cache, image: str, reference: str, record: Path) -> None:
    """Build and export one image, then record its manifest."""
    ensure_base(cache)
    layout, tag = layout_of(cache), f"localhost/spillway-{image}:build"
    build_image(cache, image, REPOSITORY / "images" / image / "Dockerfile", tag)
    export_image(cache, tag, layout, reference)
    record.write_text(json.dumps(asdict(find_manifest(layout, reference))))
    keep_newest(cache.images, f"spillway-{image}-*.json", KEPT_RECORDS)
    keep_only(layout, {reference, *(file.stem for file in cache.images.glob("spillway-*.json"))})


# ---- the pause image --------------------------------------------------------------------------------------------------


def pause_program(cache: Cache) -> Path:
    """Process 1 of nodes and pods: a static C program."""
    source = PACKAGE / "pause.c"
    place = cache.programs / f"pause-{files_key(PACKAGE, ['pause.c'])}"
    return product(place, lambda unfinished: compile_c(source, unfinished), "compiling pause")


def compile_c(source: Path, place: Path) -> None:
    """Compile a static program, which needs nothing of the image it runs in."""
    run(["gcc", "-Os", "-static", "-s", "-o", place, source])


def pause_archive(cache: Cache) -> Path:
    program = pause_program(cache)
    place = cache.images / f"{program.name}.tar"
    return product(place, lambda unfinished: make_pause(program, unfinished), "making the pause image")


def make_pause(program: Path, archive: Path) -> None:
    layer = archive.with_name("pause-layer.tar")
    write_one_file_layer(layer, program, "pause")
    write_single_layer(archive, PAUSE, layer, os.uname().machine, ["/pause"])
    remove(layer)
