"""What can go wrong with the test cluster.

ClusterError
├── CommandFailed   a program ended with an error
├── TimedOut        something did not come in time
└── NotUp           no cluster runs, or not one that can do this
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ClusterError(Exception):
    """Base of all errors of this package; the command line prints them without a traceback."""


class CommandFailed(ClusterError):
    def __init__(self, *, argv: Sequence[str], returncode: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit code {returncode}\n{output.rstrip()}".rstrip())
        self.argv = tuple(argv)
        self.returncode = returncode
        self.output = output


class TimedOut(ClusterError):
    def __init__(self, *, what: str, timeout_s: float, log: Path | None = None) -> None:
        hint = f"; see {log}" if log else ""
        super().__init__(f"no {what} within {timeout_s:.0f} s{hint}")
        self.what = what
        self.timeout_s = timeout_s
        self.log = log


class NotUp(ClusterError):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
