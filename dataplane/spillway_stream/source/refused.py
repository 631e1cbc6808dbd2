"""A file that was refused is not tried again before it is another one, and then at once.

Kubernetes starts a container that fails ever more rarely, in the end every five minutes: whoever has put the right file there
would wait for that. So a process that refuses a file notes which one it was, in the pod's own memory, which outlives its
containers; the next process waits here for another. What was refused stays said: it is how the container ended last.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from spillway_stream.source.ending import TERMINATION, termination_path
from spillway_stream.source.faults import InvalidIntent
from spillway_stream.source.files import where_missing
from spillway_stream.source.spec import SourceSpec

LOG = logging.getLogger("spillway_stream.source")
NOTE = Path("/dev/shm/spillway-source-refused")  # noqa: S108 - the pod's own; without Kubernetes it is not used
LOOK_S = 1.0


def fingerprint(spec: SourceSpec) -> str:
    """Which file a source would send now; empty for a pattern."""
    if not spec.content.file:
        return ""
    path = spec.files / spec.content.file
    try:
        found = path.stat()
    except (OSError, ValueError):
        return where_missing(path, spec.content.volume)
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def note_refused(fault: InvalidIntent, file: str) -> None:
    """Keep in mind which file was refused. file: its fingerprint from before it was read."""
    if file and fault.path.endswith(".file") and _in_kubernetes():
        with contextlib.suppress(OSError):  # then Kubernetes' own patience holds
            NOTE.write_text(file, encoding="utf-8")


def await_another(spec: SourceSpec, pause: Callable[[float], None] = time.sleep) -> str:
    """Wait while the file is the refused one, or still being written. Return its fingerprint."""
    refused, before, found = _noted(), "", fingerprint(spec)
    if refused and refused == found:
        LOG.info("%s was refused: waiting for another one", spec.content.file)
    while refused and (found == refused or found != before):
        pause(LOOK_S)
        before, found = found, fingerprint(spec)
    return found


def _noted() -> str:
    try:
        return NOTE.read_text(encoding="utf-8") if _in_kubernetes() else ""
    except (OSError, ValueError):
        return ""


def _in_kubernetes() -> bool:
    return termination_path() == TERMINATION and Path(TERMINATION).exists()
