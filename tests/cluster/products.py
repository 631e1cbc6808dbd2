"""Things that are built once and kept. A product is there whole or not at all.

It is built beside its place and moved there by one rename, so an interrupted build leaves only a folder that the next one
removes. One lock lets one build run at a time; who comes later finds the product made.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.shell import say, step

UNFINISHED = ".unfinished"


@contextmanager
def locked(lock: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; say `waiting` if somebody else holds it now."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def product(place: Path, make: Callable[[Path], None], what: str) -> Path:
    """Return `place`, made first if it is not there.

    make: writes the file or folder whose path it is given. Call it with the build lock held.
    """
    if place.exists():
        return place
    unfinished = place.with_name(place.name + UNFINISHED)
    remove(unfinished)
    place.parent.mkdir(parents=True, exist_ok=True)
    with step(what):
        make(unfinished)
    unfinished.rename(place)
    return place


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Remove all but the newest products whose names match."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[count:]:
        remove(old)
