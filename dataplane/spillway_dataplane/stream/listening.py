"""The socket file of a ring, and how fast connections are taken from it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

SOCKET = "ring.sock"
BACKLOG = 16
ACCEPTS_A_SECOND = 64  # a flood of connections waits in the backlog, at its own cost


class Listener:
    """Takes connections at the ring's socket, so many a second."""

    def __init__(self, directory: Path) -> None:
        """Make the socket that applications connect to. Raises OSError."""
        self._directory = directory
        self._socket = listen(directory)
        self._window_s, self._accepted = 0.0, 0

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def may_accept(self, now_s: float) -> bool:
        """Whether this second's connections are not all taken. now_s: monotonic."""
        if now_s - self._window_s >= 1:
            self._window_s, self._accepted = now_s, 0
        return self._accepted < ACCEPTS_A_SECOND

    def accept(self) -> socket.socket | None:
        """Take one connection; None if it is gone again, or no descriptor is left: then later."""
        self._accepted += 1
        try:
            return self._socket.accept()[0]
        except OSError:
            return None

    def close(self) -> None:
        """Listen no more. The file stays."""
        self._socket.close()

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            (self._directory / SOCKET).unlink()


def listen(directory: Path) -> socket.socket:
    """Make a socket in a directory that everybody may connect to.

    Who sees the directory may have the ring, and the driver cannot give the file to anybody (no CAP_CHOWN).
    """
    path = directory / SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{opened}/{SOCKET}")  # an address holds 107 bytes, the path of a claim more
        path.chmod(0o666)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(opened)
    return listener
