"""What the driver leaves on a node's disk when it is gone for good: its directory, its CDI files, sockets of killed processes.

A ring that an application holds goes on; its container does not find it again after a restart.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from spillway_dataplane.dra.cdi import uid_of
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.settings import StreamSettings
from spillway_dataplane.dra.sockets import remove_dead_sockets


def remove_leftovers(settings: StreamSettings) -> tuple[str, ...]:
    """Remove all of it; the uids of claims that were still prepared come back. Only with the node's lock held."""
    uids = tuple(sorted(each.stem for each in settings.claims.glob("[!.]*.json")))
    for path in _entries(settings.cdi):
        if uid_of(path.name) is not None:
            path.unlink(missing_ok=True)
    remove_dead_sockets(settings.registration_socket.parent, f"{QUEUE_DRIVER}-*")
    shutil.rmtree(settings.plugin, ignore_errors=True)
    return uids


def _entries(directory: Path) -> tuple[Path, ...]:
    return tuple(directory.iterdir()) if directory.is_dir() else ()
