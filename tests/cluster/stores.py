"""Image stores of containerd, filled once and cloned for every node.

A clone shares all files by hard links but the databases, which it copies: nothing that containerd keeps in a store is
changed in place but those. A store for new images starts as a clone of the last one, so only new layers are unpacked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.configs import CONTAINERD_SOCKET, store_configuration
from tests.cluster.errors import CommandFailed
from tests.cluster.images import PAUSE, BuiltImage
from tests.cluster.keys import KEY_LENGTH, key
from tests.cluster.layout import Cache
from tests.cluster.products import keep_newest, product, remove
from tests.cluster.programs import CONTAINERD, named
from tests.cluster.shell import CLEAN_ENVIRONMENT, DIES_WITH_CALLER, SYSTEM_PATH, output, run, succeeds, wait_for, words

CONTENT = "io.containerd.content.v1.content/blobs/sha256"
NAMESPACE = "k8s.io"  # containerd's name for what Kubernetes uses
ALL_STORES = "?" * KEY_LENGTH
KEPT_STORES = 3
PRIVATE_RUN = 'mount -t tmpfs tmpfs /run && exec "$0" --config "$1"'  # the machine's /run stays as it is


def filled_store(cache: Cache, pause: Path, images: Sequence[BuiltImage], tag: str) -> Path:
    """The store that holds these images and the pause image. Call it with the build lock held."""
    parts = [f"{image.name} {image.manifest.digest}" for image in images]
    place = cache.stores / key(CONTAINERD, pause.name, tag, *parts)
    store = product(place, lambda unfinished: fill(cache, unfinished, pause, images, tag), "filling the image store")
    os.utime(store)  # the newest is the last one used
    keep_newest(cache.stores, ALL_STORES, KEPT_STORES)
    return store


def fill(cache: Cache, store: Path, pause: Path, images: Sequence[BuiltImage], tag: str) -> None:
    seeds = sorted(cache.stores.glob(ALL_STORES), key=lambda path: path.stat().st_mtime)
    if seeds:
        clone(seeds[-1], store)
    with serving(cache, store) as ctr:
        import_archive(ctr, pause)
        for image in images:
            import_image(ctr, image, tag, known_digests(store))
        forget_others(ctr, {PAUSE, *(image.reference(tag) for image in images)})


def forget_others(ctr: Sequence[str], wanted: set[str]) -> None:
    """Remove what the seed held and nobody wants now, after the import: layers in common stay."""
    if others := set(output([*ctr, "images", "list", "--quiet"]).split()) - wanted:
        run([*ctr, "images", "remove", "--sync", *others])


@contextmanager
def serving(cache: Cache, store: Path) -> Iterator[list[str]]:
    """Run a containerd on a store, out of sight; yields how to call ctr. It dies with this process."""
    containerd, client = (program.place(cache) for program in named(["containerd", "ctr"]))
    settings, log = store.with_name("containerd.toml"), cache.logs / "store.log"
    for folder in (settings.parent, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    settings.write_text(store_configuration(store, str(Path(CONTAINERD_SOCKET).parent)))
    argv = words(*DIES_WITH_CALLER, "unshare", "--mount", "sh", "-ec", PRIVATE_RUN, containerd, settings)
    environment = {**CLEAN_ENVIRONMENT, "PATH": SYSTEM_PATH}
    with log.open("wb") as sink, subprocess.Popen(argv, env=environment, stdout=sink, stderr=sink) as server:
        try:
            ctr = ["nsenter", "--mount", f"--target={server.pid}", str(client), "-n", NAMESPACE]
            wait_for("containerd", lambda: succeeds([*ctr, "version"]), 20, log)
            yield ctr
        finally:
            server.terminate()


# ---- importing --------------------------------------------------------------------------------------------------------


def import_archive(ctr: Sequence[str], archive: Path) -> None:
    run([*ctr, "images", "import", archive])


def import_image(ctr: Sequence[str], image: BuiltImage, tag: str, known: set[str]) -> None:
    """Stream an image in, without what the store has. Raises CommandFailed."""
    argv = [*ctr, "images", "import", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            image.write_archive(reader.stdin, tag, known)
            reader.stdin.close()
        except BrokenPipeError:  # it has ended, and says why
            pass
        said = reader.stdout.read().decode(errors="replace")
    if reader.returncode:
        raise CommandFailed(argv=argv, returncode=reader.returncode, output=said)


def known_digests(store: Path) -> set[str]:
    """Digests of the blobs in a store."""
    folder = store / CONTENT
    return {blob.name for blob in folder.iterdir()} if folder.is_dir() else set()


# ---- cloning ----------------------------------------------------------------------------------------------------------


def clone(store: Path, target: Path) -> None:
    """Clone a store: 0.5 s instead of 10. Without hard links, on another file system, it is a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = [*DIES_WITH_CALLER, "cp", "--archive"]
    if not succeeds([*copy, "--link", store, target]):
        remove(target)
        run([*copy, store, target])
    for database in store.rglob("*.db"):
        own = target / database.relative_to(store)
        own.unlink()
        shutil.copy2(database, own)
