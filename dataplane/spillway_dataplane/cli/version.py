"""`spillway version`: ours, Python's and the kernel's, as a bug report wants them."""

from __future__ import annotations

import argparse
import platform

from spillway_crds import names
from spillway_dataplane import __version__
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import Exit


def run(_arguments: argparse.Namespace, say: Say) -> Exit:
    """Print the versions."""
    found = {"version": __version__, "api": names.API_VERSION, "kernel": platform.release(), "python": platform.python_version()}
    if say.is_json:
        say.value(found)
    else:
        print(f"spillway {found['version']}, {found['api']}, Linux {found['kernel']}, Python {found['python']}")
    return Exit.OK
