"""Start programs, say what happens, wait. Commands are argument lists, never strings for a shell."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster.errors import CommandFailed, TimedOut
from tests.cluster.layout import SLOW

Argv = Sequence[str | Path]
CLEAN_ENVIRONMENT = {"HOME": "/root", "LANG": "C.UTF-8"}  # a login's XDG_RUNTIME_DIR would mislead containerd
HURRY = threading.Event()
LOG_TAIL = 40  # lines
DIES_WITH_CALLER = ("setpriv", "--pdeathsig", "KILL")  # prefix of a command that must not outlive a killed tool
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def words(*argv: str | Path) -> list[str]:
    """A command as its programs get it."""
    return [str(word) for word in argv]


def say(text: str) -> None:
    """One line of progress, on standard error: standard output belongs to answers.

    Nobody may be there any more to read it, when the terminal was closed: what is being taken down is taken down all the same.
    """
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    say(f"{what} ...")
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.1f} s")


def run(argv: Argv, *, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and capture what it says.

    Raises CommandFailed, with standard error, unless `check` is false.
    """
    command = words(*argv)
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise CommandFailed(argv=command, returncode=done.returncode, output=done.stderr or done.stdout)
    return done


def logged(argv: Argv, log: Path, *, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> None:
    """Run a long program in a folder, its output in a log.

    variables: beside those of this process. Raises CommandFailed with the end of the log.
    """
    command = words(*argv)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        settings = {**os.environ, **(variables or {})}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=folder, env=settings, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        raise CommandFailed(argv=command, returncode=done.returncode, output=tail)


def output(argv: Argv) -> str:
    """What the program writes to standard output. Raises CommandFailed."""
    return run(argv).stdout.strip()


def succeeds(argv: Argv) -> bool:
    return run(argv, check=False).returncode == 0


@contextmanager
def no_more_waiting() -> Iterator[None]:
    """Let every wait of other threads end at once, as if its time were over."""
    HURRY.set()
    try:
        yield
    finally:
        HURRY.clear()


def wait_for(what: str, probe: Callable[[], object], timeout_s: float, log: Path | None = None) -> None:
    """Return once the probe says yes. Raises TimedOut; SLOW stretches the time."""
    end = time.monotonic() + timeout_s * SLOW
    while not probe():
        if time.monotonic() > end or HURRY.is_set():
            raise TimedOut(what=what, timeout_s=timeout_s * SLOW, log=log)
        time.sleep(0.05)
