"""Pictures from a raw file: frame after frame, each line from top to bottom, pgroups as they stand on the wire, nothing between.

The file is mapped, not read: the page cache holds it once for all streams of a node. It must not be cut short while it is sent,
so its size is looked at again before each frame; `map_file` has the words for what happens between two looks.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from spillway_stream.source.faults import InvalidIntent, Transient
from spillway_stream.source.files import map_file, open_file
from spillway_stream.source.spec import ANY_VOLUME, Volume
from spillway_stream.video.formats import PictureFormat

FIELD = "source.video.file"
PAGE = mmap.PAGESIZE


class Clip:
    """A raw file. loop: begin again after the last frame. volume: where it is."""

    def __init__(self, path: Path, picture: PictureFormat, *, loop: bool, volume: Volume = ANY_VOLUME) -> None:
        self.stride = picture.line_bytes
        self._loop, self._frame_bytes, self._path = loop, picture.frame_bytes, path
        self._fd = open_file(path, FIELD, volume)
        self._size = os.fstat(self._fd).st_size
        self.frames = whole_frames(path.name, self._size, picture)
        self._map = map_file(self._fd, path, FIELD)
        self._memory = memoryview(self._map)

    def frame(self, index: int, number: int) -> tuple[memoryview, int] | None:
        """The next frame. Raises Transient if the file's size has changed."""
        if index >= self.frames and not self._loop:
            return None
        if os.fstat(self._fd).st_size != self._size:
            raise Transient(f"{FIELD}: {self._path.name} has changed its size while it was sent")
        at = index % self.frames * self._frame_bytes
        self._fetch((index + 1) % self.frames * self._frame_bytes)
        return self._memory[at : at + self._frame_bytes], 0

    def _fetch(self, at: int) -> None:
        """Have the next frame read in the background: a page fault in the sending loop would be a hole in the stream."""
        begin = at // PAGE * PAGE
        self._map.madvise(mmap.MADV_WILLNEED, begin, min(self._size, at + self._frame_bytes) - begin)


def whole_frames(name: str, size_bytes: int, picture: PictureFormat) -> int:
    """How many frames a file has. Raises InvalidIntent, saying what was expected, if it is empty or does not end with a frame."""
    frames, rest = divmod(size_bytes, picture.frame_bytes)
    if frames and not rest:
        return frames
    group = picture.group
    kind = f"{picture.width}x{picture.height} {group.sampling} with {group.depth_bits} bit"
    found = f"{name} has {size_bytes} bytes, {frames} frames and {rest} bytes more"
    raise InvalidIntent(FIELD, f"{found}; a frame of {kind} has {picture.frame_bytes}")
