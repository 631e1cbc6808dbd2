"""`spillway`: find the command, run it, and turn whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise

from spillway_crds.errors import SpillwayError
from spillway_dataplane.cli.arguments import parser
from spillway_dataplane.cli.console import JSON, TEXT, Say
from spillway_dataplane.cli.exits import CommandError, Exit

HOME = "spillway_dataplane.cli"
COMMANDS = (
    "check",
    "run",
    "status",
    "streams",
    "sdp",
    "off",
    "on",
    "restore",
    "version",
)  # each a module with `run(arguments, say) -> Exit`


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code comes back. Never raises, never shows a traceback unless SPILLWAY_DEBUG is set."""
    words = sys.argv[1:] if argv is None else list(argv)
    say = Say(_output_of(words))
    try:
        return int(_run(words))
    except SystemExit as ended:  # argparse has printed its help
        return int(ended.code or 0)
    except BrokenPipeError:  # the reader has enough: `spillway status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except Exception as error:
        if os.environ.get("SPILLWAY_DEBUG"):
            raise
        return int(_explain(error, say))


def _run(words: Sequence[str]) -> Exit:
    arguments = parser().parse_args(words)
    command = import_module(f"{HOME}.{arguments.command}")  # only now: `check` needs neither bcc nor netlink nor kubernetes
    code: Exit = command.run(arguments, Say(arguments.output))
    return code


def _output_of(words: Sequence[str]) -> str:
    """How to say an error, also one about the words themselves."""
    wants_json = any(a in ("-o", "--output") and b == JSON for a, b in pairwise(words))
    return JSON if wants_json or f"--output={JSON}" in words or f"-o{JSON}" in words else TEXT


def _explain(error: Exception, say: Say) -> Exit:
    match error:
        case CommandError():
            code = error.code
            say.error(error.subject, error.message, exitCode=code)
        case SpillwayError():
            code = Exit.REFUSED
            say.error("", str(error), reason=error.reason, exitCode=code)
        case OSError():
            code = Exit.UNREADABLE
            say.error(str(error.filename or ""), (error.strerror or str(error)).lower(), exitCode=code)
        case _:
            code = Exit.INTERNAL
            say.error("", f"internal error: {type(error).__name__}: {error}", exitCode=code)
    return code
