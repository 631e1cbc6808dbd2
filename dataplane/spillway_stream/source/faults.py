"""Why a source cannot go on, by who has to act. The class name is the condition's reason, as everywhere in Spillway.

SourceError
├── InvalidIntent   the stream's spec or its file has to change
├── NotSupported    this node, card or kernel cannot
└── Transient       try again
"""

from __future__ import annotations


class SourceError(Exception):
    """Base of what ends a source. exit_code: the process's."""

    exit_code = 1

    @property
    def reason(self) -> str:
        """The condition's reason."""
        return type(self).__name__


class InvalidIntent(SourceError):
    """path: where in the spec, as `source.video.depthBits`. The message says which value and why."""

    exit_code = 2

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


class NotSupported(SourceError):
    """What was asked cannot be had here, whatever the spec says."""

    exit_code = 3


class Transient(SourceError):
    """What failed may succeed when tried again."""

    exit_code = 4
