"""A PTP clock, read and never set: opened read-only, asked by clock_gettime. Source: clock_gettime(2)."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger("spillway_stream.source")
VARIABLE = "SPILLWAY_PTP"
AGAIN_S = 5.0  # between two tries to open a clock that is not there; a card that resets has a new one behind the same name


@dataclass(frozen=True, slots=True)
class PtpReading:
    """What a clock showed. number: of /dev/ptp<number>; -1 for a name without one."""

    number: int
    time_ns: int


def given_devices(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a PTP clock may be: what the node gave to the container, else whatever a pod of one's own has."""
    if given := environment.get(VARIABLE, ""):
        return (Path(given),)
    return tuple(sorted(Path("/dev").glob("ptp[0-9]*")))


class PtpDevice:
    """The first of some device files that can be opened and read. One that goes is tried again, every few seconds."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._fd, self._number = -1, -1
        self._again_s = 0.0

    def read(self) -> PtpReading | None:
        """The time now; None where there is no clock to read."""
        if self._fd < 0 and (not self._paths or time.monotonic() < self._again_s or not self._open()):
            return None
        try:
            return PtpReading(self._number, time.clock_gettime_ns(clock_id(self._fd)))
        except OSError as error:  # its card is gone
            LOG.warning("PTP clock: %s", error.strerror)
            self.close()
            return None

    def close(self) -> None:
        """Let it go; the next read may open it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._again_s = time.monotonic() + AGAIN_S

    def _open(self) -> bool:
        self._again_s = time.monotonic() + AGAIN_S
        for path in self._paths:
            with suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                if _shows_time(fd):
                    self._fd, self._number = fd, _number_of(path)
                    LOG.info("PTP clock %s", path.name)
                    return True
                os.close(fd)
        return False


def clock_id(fd: int) -> int:
    """FD_TO_CLOCKID of clock_gettime(2)."""
    return ~fd << 3 | 3


def _shows_time(fd: int) -> bool:
    with suppress(OSError):
        time.clock_gettime_ns(clock_id(fd))
        return True
    return False


def _number_of(path: Path) -> int:
    found = re.search(r"\d+$", path.name)
    return int(found[0]) if found else -1
