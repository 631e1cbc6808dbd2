"""Everything that a cluster needs, built or found in the cache: programs, images, and the store that nodes clone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.beside import beside
from tests.cluster.images import DEFAULT_TAG, BuiltImage, build_images, build_named, pause_archive, pause_program
from tests.cluster.layout import Cache
from tests.cluster.products import locked
from tests.cluster.programs import PROGRAMS, build_programs, named
from tests.cluster.stores import filled_store

WAITING = "another build is running; waiting for it"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made, or found made."""

    images: tuple[BuiltImage, ...]
    pause: Path
    template: Path


def build_all(cache: Cache, tag: str = DEFAULT_TAG) -> Built:
    """Build what is missing: minutes the first time, a second when nothing changed, a few after a change of code.

    Images wait for Debian's archive more than they compute, so they are made beside the programs.
    """
    with locked(cache.lock, WAITING):
        with beside(lambda: build_images(cache)) as making:
            build_programs(cache, PROGRAMS)
            images = making.result()
        template = filled_store(cache, pause_archive(cache), images, tag)
        return Built(tuple(images), pause_program(cache), template)


def build_only(cache: Cache, names: Iterable[str]) -> None:
    """Build programs alone. Raises ClusterError for a name that is none."""
    wanted = named(names)
    with locked(cache.lock, WAITING):
        build_programs(cache, wanted)


def build_one_image(cache: Cache, name: str) -> BuiltImage:
    """Build one image alone. Raises ClusterError for a name that is none."""
    with locked(cache.lock, WAITING):
        return build_named(cache, name)


def write_archives(built: Iterable[BuiltImage], folder: Path, tag: str) -> list[Path]:
    """Write each image as an archive that `kind load image-archive`, `ctr images import` and `podman load` take."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_archive(image, folder / f"{image.name}.tar", tag) for image in built]


def write_archive(image: BuiltImage, file: Path, tag: str) -> Path:
    with file.open("wb") as target:
        image.write_archive(target, tag)
    return file
