"""What can go wrong, by who has to act. The class name is the condition's reason.

SpillwayError
├── InvalidIntent   the user must change the spec
├── NotSupported    this kernel or driver cannot
├── Conflict        somebody else owns the hook or the queue; never detach what is not ours
├── Transient       try again
└── KernelError     the kernel refused, with its errno
"""

from __future__ import annotations

import errno as errnos
from dataclasses import dataclass

MAX_SHOWN_CHARS = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a manifest.

    path: where, as `spec.rules[2].match.sources[0]`. value: what was found there, or None when it is missing.
    """

    path: str
    value: object
    reason: str

    def __str__(self) -> str:
        """One line for a person: field, value, reason."""
        return f"{self.path}:{self._shown()} {self.reason}"

    def _shown(self) -> str:
        if self.value is None:
            return ""
        shown = repr(self.value)
        return f" {shown}" if len(shown) <= MAX_SHOWN_CHARS else f" {shown[:MAX_SHOWN_CHARS]}..."


class SpillwayError(Exception):
    """Base of all errors that reach a condition."""

    @property
    def reason(self) -> str:
        """The condition's reason."""
        return type(self).__name__


class InvalidIntent(SpillwayError):
    """The spec asks for what cannot be; `problems` has every reason, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class NotSupported(SpillwayError):
    """This kernel or driver cannot do what was asked.

    subject: interface or feature. detail: what was tried and what the kernel answered.
    """

    def __init__(self, *, subject: str, detail: str) -> None:
        super().__init__(f"{subject}: {detail}")
        self.subject = subject
        self.detail = detail


class Conflict(SpillwayError):
    """Somebody else owns the hook. `owner` names them as well as the capabilities allow."""

    def __init__(self, *, subject: str, owner: str) -> None:
        super().__init__(f"{subject}: {owner}")
        self.subject = subject
        self.owner = owner


class Transient(SpillwayError):
    """What failed may succeed when tried again."""

    def __init__(self, *, operation: str, detail: str) -> None:
        super().__init__(f"{operation}: {detail}")
        self.operation = operation
        self.detail = detail


class KernelError(SpillwayError):
    """The kernel refused. ifname is empty when no interface is concerned; detail has the verifier's last lines, if it spoke."""

    def __init__(self, *, errno: int, operation: str, ifname: str = "", detail: str = "") -> None:
        where = f" on {ifname}" if ifname else ""
        said = f": {detail}" if detail else ""
        super().__init__(f"{operation}{where}: {errnos.errorcode.get(errno, errno)}{said}")
        self.errno = errno
        self.operation = operation
        self.ifname = ifname
        self.detail = detail
