"""From C to an artifact, in a child process: LLVM keeps a hundred megabytes that the agent must not hold."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from spillway_crds.errors import KernelError
from spillway_dataplane.filter.generate import MAIN, digest
from spillway_dataplane.kernel.artifact import MAPS, Artifact
from spillway_dataplane.kernel.compiler_child import decode

CHILD = (sys.executable, "-S", "-m", "spillway_dataplane.kernel.compiler_child")  # no search for packages: it gets our path
PACKAGES = Path(__file__).resolve().parents[2]
LAST_LINES = 12


def compile_source(source: str, *, timeout_s: float = 60) -> Artifact:
    """Compile what `filter.generate.generate` wrote.

    Raises KernelError with errno ENOEXEC and the compiler's last lines if it does not compile, ETIME if it takes too long,
    ENOMEM if the child was killed. The verifier has not seen the result: it speaks when the artifact is loaded.
    """
    try:
        done = subprocess.run(
            CHILD, input=source.encode(), capture_output=True, timeout=timeout_s, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise KernelError(errno=errno.ETIME, operation="compile", detail=f"not done after {timeout_s:g} s") from error
    if done.returncode < 0:
        raise KernelError(errno=errno.ENOMEM, operation="compile", detail=f"killed by signal {-done.returncode}")
    if done.returncode > 0:
        raise KernelError(errno=errno.ENOEXEC, operation="compile", detail=_last_lines(done.stderr))
    programs = decode(done.stdout)
    chunks = sorted((name for name in programs if name != MAIN), key=_chunk_number)
    return Artifact(digest(source), MAPS, {name: programs[name] for name in (MAIN, *chunks)}, MAIN)


def _environment() -> dict[str, str]:
    """An editable install is found by a hook that `-S` leaves out, so our own folder is named."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(PACKAGES), *sys.path))}


def _chunk_number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _last_lines(text: bytes) -> str:
    return "\n".join(text.decode(errors="replace").splitlines()[-LAST_LINES:])
