"""What a command ends with. docs/cli.md and --help say the same."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. 1 is an answer ("no"), 2 and above are a command that could not answer or could not act."""

    OK = 0
    INVALID = 1
    USAGE = 2
    UNREADABLE = 3
    REFUSED = 4
    BUSY = 5
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done; everything that was asked about is valid",
    Exit.INVALID: "a manifest is invalid, or manifests contradict each other",
    Exit.USAGE: "wrong usage",
    Exit.UNREADABLE: "a file, a folder or this node's state could not be read or written",
    Exit.REFUSED: "the kernel or the driver refused, or somebody else holds the hook",
    Exit.BUSY: "another agent acts on this node",
    Exit.INTERNAL: "a defect of spillway itself (SPILLWAY_DEBUG=1 shows where)",
    Exit.INTERRUPTED: "interrupted",
}


class CommandError(Exception):
    """A command cannot go on. `message` is one line for a person; `subject` is what it is about: a file, an interface."""

    def __init__(self, code: Exit, subject: str, message: str) -> None:
        super().__init__(f"{subject}: {message}" if subject else message)
        self.code = code
        self.subject = subject
        self.message = message
