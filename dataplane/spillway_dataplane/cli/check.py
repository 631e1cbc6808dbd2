"""`spillway check`: all that is wrong with manifests at once; then what the valid ones would do, before anything does it."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from spillway_dataplane.cli.arguments import default_bpffs
from spillway_dataplane.cli.check_json import check_value
from spillway_dataplane.cli.check_text import print_check
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.manifests import Loaded, load
from spillway_dataplane.cli.programs import ProgramPreview, preview
from spillway_dataplane.cli.review import Review, review


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Check files; say the answer; return OK, INVALID or UNREADABLE. Raises CommandError when asked to compile without bcc."""
    if arguments.compile and find_spec("bcc") is None:
        raise CommandError(Exit.REFUSED, "check --compile", "needs bcc (Debian: python3-bpfcc)")
    loaded = load(arguments.files)
    seen = review(loaded.filters)
    programs = preview(loaded.filters, compile_under=default_bpffs() if arguments.compile else None)
    code = exit_code(loaded, seen, programs)
    if say.is_json:
        say.value(check_value(loaded, seen, programs, valid=code is Exit.OK))
    else:
        print_check(say, loaded, seen, programs)
    return code


def exit_code(loaded: Loaded, seen: Review, programs: tuple[ProgramPreview, ...]) -> Exit:
    """What could not be read comes first: nobody may take the rest for all."""
    if loaded.unreadable:
        return Exit.UNREADABLE
    refused = any(each.refusal for each in programs)
    return Exit.INVALID if loaded.faults or seen.contradictions or refused else Exit.OK
