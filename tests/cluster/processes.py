"""Programs that go on after this tool has ended. A process is known by its id and its start time, and no other is ended.

The process writes its own record before it becomes the program, so that none runs unrecorded if this tool dies; and as it
is nobody's child, nobody has to collect it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import CLEAN_ENVIRONMENT, SYSTEM_PATH, Argv, wait_for, words

START_TIME = 19  # field 22 of /proc/PID/stat, counted after the program's name in brackets
RECORD_AND_BECOME = """\
record=$1; shift
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift
echo $$ "$(cut -d' ' -f22 /proc/$$/stat)" > "$record.new" && mv "$record.new" "$record"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of ours. start_ticks: clock ticks after boot, which no later process of the same id shares."""

    pid: int
    start_ticks: int


def spawn(record: Path, argv: Argv, *, log: Path, path: Path, cgroups: Iterable[Path] = ()) -> None:
    """Start a program detached, in a clean environment and in the given cgroups; `record` tells who it is.

    path: the folder of the cluster's own programs, searched first.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    shell = words("setsid", "--fork", "sh", "-ec", RECORD_AND_BECOME, "sh", record, *cgroups, "--", *argv)
    record.unlink(missing_ok=True)
    with log.open("ab") as sink:
        subprocess.run(
            shell,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**CLEAN_ENVIRONMENT, "PATH": f"{path}:{SYSTEM_PATH}"},
            check=True,
        )
    wait_for(f"record of {record.name}", record.exists, 10, log)


def read_record(record: Path) -> ProcessRecord | None:
    """The process that a record names, or None if there is no whole record."""
    try:
        pid, start_ticks = record.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return ProcessRecord(int(pid), int(start_ticks))


def identify(pid: int) -> ProcessRecord | None:
    """The living process that has this id now; None if there is none, or only its remains (a zombie)."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return ProcessRecord(pid, int(fields[START_TIME]))


def stat_fields(pid: int) -> list[str] | None:
    """State, parent and what follows in /proc/PID/stat; the name before them may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def is_alive(process: ProcessRecord | None) -> bool:
    return process is not None and identify(process.pid) == process


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [each for each in everyone if (fields := stat_fields(each)) and int(fields[1]) == pid]


def send(process: ProcessRecord | None, number: signal.Signals) -> None:
    """Signal a process if it is still the one recorded."""
    if process is not None and is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill(processes: Sequence[ProcessRecord | None]) -> None:
    """Kill all of them and wait until they are gone."""
    for each in processes:
        send(each, signal.SIGKILL)
    wait_for("end of killed processes", lambda: not any(map(is_alive, processes)), 20)
