"""`python -m spillway_operator [uninstall]`. By module, never by path: kopf would import the file twice."""

from __future__ import annotations

import sys

from spillway_operator import main, uninstall

COMMANDS = {(): main.main, ("uninstall",): uninstall.main}


def run(arguments: tuple[str, ...]) -> int:
    """Run one command. Returns its exit status."""
    command = COMMANDS.get(arguments)
    if command is None:
        print("usage: python -m spillway_operator [uninstall]", file=sys.stderr)
        return 2
    return command()


if __name__ == "__main__":
    sys.exit(run(tuple(sys.argv[1:])))
