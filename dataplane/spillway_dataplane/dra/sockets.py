"""Sockets that a killed process left behind: kubelet would try each for as long as its file is there."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

LOG = logging.getLogger(__name__)


def remove_dead_sockets(folder: Path, pattern: str) -> None:
    """Remove sockets whose name fits and that nobody listens on. A process that lives keeps its own."""
    for path in folder.glob(pattern):
        if path.is_socket() and _is_dead(path):
            LOG.info("removing %s, on which nobody listens any more", path)
            path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as asked:
        try:
            asked.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # a full backlog, a path too long: no proof of death
            return False
    return False
