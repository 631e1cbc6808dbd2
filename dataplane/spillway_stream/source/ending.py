"""How a source ends: its words where Kubernetes shows them, and its exit code."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

from spillway_stream.source.faults import SourceError

LOG = logging.getLogger("spillway_stream.source")
TERMINATION = "/dev/termination-log"


def termination_path() -> str:
    """The file that Kubernetes reads when the container has ended."""
    return os.environ.get("SPILLWAY_TERMINATION", TERMINATION)


def termination_text(fault: SourceError) -> str:
    """What stands in it."""
    return json.dumps({"reason": fault.reason, "message": str(fault)})


def explain(fault: SourceError) -> int:
    """Say why it ends. Returns the exit code."""
    LOG.error("%s: %s", fault.reason, fault)
    with contextlib.suppress(OSError):  # there is none outside Kubernetes
        Path(termination_path()).write_text(termination_text(fault), encoding="utf-8")
    return fault.exit_code
