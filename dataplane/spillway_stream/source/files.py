"""Files that a source sends: only a regular file is opened, and one that is lost while it is sent is not lost without a word."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from spillway_stream._ring import explain_lost
from spillway_stream.source.ending import termination_path, termination_text
from spillway_stream.source.faults import InvalidIntent, Transient
from spillway_stream.source.spec import ANY_VOLUME, Volume, VolumeKind

MAX_NAMED = 5
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: Path, field: str, volume: Volume = ANY_VOLUME) -> int:
    """A descriptor to read from. field: of the spec, for messages. volume: what is mounted there.

    Raises InvalidIntent where there is no such file, or none that can be mapped or read; Transient where trying again may help.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would be waited for
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InvalidIntent(field, where_missing(path, volume)) from None
    except PermissionError:
        raise InvalidIntent(field, f"{path.name} cannot be read by user {os.geteuid()}, group {os.getegid()}") from None
    except OSError as error:
        raise Transient(f"{field}: {path.name}: {os.strerror(error.errno or 0).lower()}") from error
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != stat.S_IFREG:
        os.close(fd)
        raise InvalidIntent(field, f"{path.name} is {KINDS.get(kind, 'something else')}, not a file")
    return fd


def where_missing(path: Path, volume: Volume) -> str:
    """The words for a file that is not there."""
    return f"there is no {path.name} in {volume}{_instead(path.parent, volume)}"


def _instead(folder: Path, volume: Volume) -> str:
    """What a ConfigMap has instead of a file; one that is not there is mounted as an empty folder."""
    if volume.kind is not VolumeKind.CONFIG_MAP:
        return ""
    try:
        found = sorted(each.name for each in folder.iterdir() if not each.name.startswith(".."))
    except (OSError, ValueError):  # it names a folder, and there are none in a ConfigMap
        return ""
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return f", which has {', '.join(found[:MAX_NAMED])}{more}" if found else ", or no such ConfigMap"


def map_file(fd: int, path: Path, field: str) -> mmap.mmap:
    """All of a file that is not empty, read-only. One that is cut short later ends the process as Transient does."""
    try:
        mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    except OSError as error:
        raise Transient(f"{field}: {path.name}: {os.strerror(error.errno or 0).lower()}") from error
    fault = Transient(f"{field}: {path.name} was cut short while it was sent, or its disk cannot be read any more")
    explain_lost(mapped, termination_path(), termination_text(fault), fault.exit_code)
    return mapped
