"""`python -m tests.nic [driver ...] [-k WORD]`: zero copy on real drivers of emulated cards. As root; exit 1 if a check fails."""

from __future__ import annotations

import argparse
import os
import sys

from tests.cluster.errors import ClusterError
from tests.cluster.layout import cache
from tests.cluster.shell import say, step
from tests.nic.cards import CARDS
from tests.nic.prepare import prepare
from tests.nic.qemu import run_guest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nic", description=__doc__)
    parser.add_argument("drivers", nargs="*", default=list(CARDS), help=f"of {', '.join(CARDS)}; all by default")
    parser.add_argument("-k", dest="only", default="", metavar="WORD", help="only the checks whose names hold it")
    asked = parser.parse_args()
    drivers = asked.drivers
    if unknown := [each for each in drivers if each not in CARDS]:
        parser.error(f"no card with driver {unknown[0]!r}; there are {', '.join(CARDS)}")
    if os.geteuid() != 0:
        parser.error("as root, please: guests read this machine's files and have a network of their own")
    failed = [driver for driver in drivers if not passed(driver, asked.only)]
    say(f"failed: {', '.join(failed)}" if failed else f"{', '.join(drivers)}: all checks passed")
    return 1 if failed else 0


def passed(driver: str, only: str) -> bool:
    """Run one guest at a time: each emulates four CPUs."""
    kept = cache()
    log = kept.logs / f"nic-{driver}.log"
    try:
        guest = prepare(kept, CARDS[driver])
        with step(f"{driver} in a guest, its log in {log}"):
            return run_guest(CARDS[driver], guest, log, only) == 0
    except ClusterError as error:
        say(str(error))
        return False


if __name__ == "__main__":
    sys.exit(main())
