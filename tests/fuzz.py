"""`python -m tests.fuzz`: random packets against random policies, kernel against plain matcher, until stopped.

Needs root. A difference is printed with the policy and the frame that shows it; exit status 1.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz_lab import run_case
from tests.fuzz_policies import Case, cases
from tests.kernel.filter_device import with_queues
from tests.kernel.namespaces import own_namespaces
from tests.kernel.netpair import make_pair

PACKETS_A_POLICY = 3000
POLICIES_A_ROUND = 100


def one_round(number: int, ifindex: int) -> int:
    """Compare over a hundred policies. Returns how many packets ran; raises what hypothesis found."""
    ran = 0

    @seed(number)
    @settings(
        max_examples=POLICIES_A_ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # each step of shrinking compiles; Disagreement names the one frame that matters
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def compare(case: Case) -> None:
        nonlocal ran
        ran += run_case(case, PACKETS_A_POLICY, ifindex)

    compare()
    return ran


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--packets", type=int, default=0, help="stop after so many packets; 0: never")
    parser.add_argument("--seed", type=int, default=None, help="of the first round, as printed by an earlier run")
    options = parser.parse_args()
    start = secrets.randbits(32) if options.seed is None else options.seed
    with ExitStack() as stack:
        stack.enter_context(own_namespaces())
        directory = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        fuzz(start, stack.enter_context(with_queues(make_pair(Path(directory)))), options.packets)
    return 0


def fuzz(number: int, ifindex: int, enough: int) -> None:
    packets, started = 0, time.monotonic()
    while not enough or packets < enough:
        print(f"seed {number}", end=" ", flush=True)
        packets += one_round(number, ifindex)
        print(f"{packets:,} packets, {packets / (time.monotonic() - started):,.0f} a second, 0 differences", flush=True)
        number += 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
