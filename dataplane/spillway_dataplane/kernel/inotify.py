"""Changes in a folder as wake-ups. The reader looks at the folder again; an event's content is only a name.

Written files count when they are closed, others when they are renamed, linked or removed: what is half written wakes nobody.
Source: inotify(7), include/uapi/linux/inotify.h.
"""

from __future__ import annotations

import ctypes as ct
import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from spillway_dataplane.kernel.gathering import Gatherer

IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF = 0x400, 0x800
IN_Q_OVERFLOW, IN_IGNORED, IN_ONLYDIR, IN_ISDIR = 0x4000, 0x8000, 0x1000000, 0x40000000
WITHIN = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
LINKED = IN_CREATE  # of a link or a folder: an ordinary file's is told again when it is closed
BESIDE = IN_CREATE | IN_MOVED_TO | IN_ONLYDIR
EVENT = struct.Struct("=iIII")  # struct inotify_event without its name: wd, mask, cookie, length of the name with padding
READ_BYTES = 1 << 16
PATIENCE_S = 0.5

LIBC = ct.CDLL(None, use_errno=True)
LIBC.inotify_add_watch.argtypes = (ct.c_int, ct.c_char_p, ct.c_uint32)


class FolderWatch:
    """A thread that calls back when entries of a folder changed, until it is closed. The folder may go and come back."""

    def __init__(self, folder: Path, callback: Callable[[frozenset[str]], None]) -> None:
        """Watch a folder that exists. Raises OSError if it does not.

        callback: gets the names that changed, none when it is not known which. It must not raise.
        """
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow a link that may be switched
        self._fd = _checked(LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), self._folder)
        try:
            self._beside = self._add(self._folder.parent, BESIDE)
            self._within = self._add(self._folder, WITHIN | LINKED)
        except OSError:
            os.close(self._fd)
            raise
        self._gatherer = Gatherer[frozenset[str]](
            self._fd,
            read=self._read,
            join=lambda found, later: found | later,
            callback=callback,
            name="spillway-inotify",
            patience_s=PATIENCE_S,
        )

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; no callback runs after this returns."""
        if self._gatherer.close():
            os.close(self._fd)

    def _add(self, path: Path, mask: int) -> int:
        return _checked(LIBC.inotify_add_watch(self._fd, os.fsencode(path), mask), path)

    def _read(self) -> frozenset[str] | None:
        """None: nothing of it concerns the folder."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return None
        told = [names for event in split(data) if (names := self._names(*event)) is not None]
        return frozenset().union(*told) if told else None

    def _names(self, watch: int, mask: int, name: str) -> frozenset[str] | None:
        if mask & IN_Q_OVERFLOW:
            return frozenset()
        if watch == self._beside:
            return self._came_back(name)
        if watch != self._within or mask & IN_IGNORED:
            return None
        if mask & (IN_DELETE_SELF | IN_MOVE_SELF):
            return frozenset()
        if mask & IN_CREATE and not mask & IN_ISDIR and not (self._folder / name).is_symlink():
            return None
        return frozenset({name})

    def _came_back(self, name: str) -> frozenset[str] | None:
        if name != self._folder.name:
            return None
        try:
            self._within = self._add(self._folder, WITHIN | LINKED)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return None
        return frozenset()


def split(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Cut what one read gave into (watch descriptor, mask, name)."""
    offset = 0
    while offset + EVENT.size <= len(data):
        watch, mask, _, length = EVENT.unpack_from(data, offset)
        name = data[offset + EVENT.size : offset + EVENT.size + length].rstrip(b"\0")
        yield watch, mask, os.fsdecode(name)
        offset += EVENT.size + length


def _checked(result: int, path: Path) -> int:
    if result < 0:
        number = ct.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result
