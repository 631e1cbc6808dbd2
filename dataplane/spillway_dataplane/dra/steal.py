"""What the host took from the node's CPUs. Source: proc_stat(5), the eighth number of a `cpuN` line, in ticks."""

from __future__ import annotations

import os
from pathlib import Path

STAT = Path("/proc/stat")
STEAL = 8  # after the name


def observe_steal() -> tuple[float, ...]:
    """Return each CPU's stolen seconds since boot, in order of their numbers; nothing where it cannot be read."""
    try:
        return read_steal(STAT.read_text(), os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return ()


def read_steal(text: str, ticks_per_second: int) -> tuple[float, ...]:
    """Read the lines of single CPUs. Raises ValueError or IndexError for what is no /proc/stat."""
    words = (line.split() for line in text.splitlines())
    lines = sorted(
        (int(each[0][3:]), int(each[STEAL])) for each in words if each and each[0].startswith("cpu") and each[0] != "cpu"
    )
    return tuple(ticks / ticks_per_second for _, ticks in lines)
