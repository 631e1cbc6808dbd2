"""Load for the tests: frames built in Python, sent by a small C program that counts exactly what it handed over.

Only ever aimed at addresses of network namespaces that the test made, bounded in count and rate.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.traffic.frames import pack

SOURCE = Path(__file__).with_name("send.c")
MAX_COUNT = 20_000_000


def sender() -> Path:
    """Path of the compiled sender, built once for each version of its source into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spillway"
    program = cache / f"send-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        aside = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", str(aside), str(SOURCE)], check=True)
        aside.rename(program)
    return program


@dataclass(slots=True)
class Flood:
    """A flood under way. `finish` waits for its end and returns how many frames were handed to the interface."""

    process: subprocess.Popen[bytes]

    def finish(self) -> int:
        out, errors = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"sender ended with {self.process.returncode}: {errors.decode()}")
        return int(json.loads(out)["sent"])

    def stop(self) -> int:
        """End it early; the count is exact all the same."""
        self.process.terminate()
        return self.finish()


def start_flood(netns: str, ifname: str, frames: Iterable[bytes], count: int, rate_pps: int = 0) -> Flood:
    """Send `count` frames, in turn, out of an interface of a network namespace."""
    if not 0 < count <= MAX_COUNT:
        raise ValueError(f"a flood of {count} frames; at most {MAX_COUNT}")
    argv: Sequence[str] = ["nsenter", f"--net=/run/netns/{netns}", str(sender()), ifname, str(count), str(rate_pps)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(pack(frames))
    process.stdin.close()
    process.stdin = None  # communicate() must not flush it again
    return Flood(process)
