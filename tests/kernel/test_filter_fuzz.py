"""Random packets against random policies: the kernel's verdict and every counter are the plain matcher's, to the packet."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from tests.fuzz_lab import run_case
from tests.fuzz_policies import Case, cases
from tests.kernel.filter_device import with_queues
from tests.kernel.netpair import NetnsPair

PACKETS, POLICIES = 300_000, 130
PACKETS_A_POLICY = PACKETS // POLICIES + 100


def test_kernel_and_matcher_agree(netns_pair: NetnsPair) -> None:
    """At least 300,000 packets; `make fuzz` goes on without end, and with other seeds."""
    ran = 0
    with with_queues(netns_pair) as ifindex:

        @settings(
            max_examples=POLICIES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # each step of shrinking compiles; Disagreement names the one frame that matters
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        )
        @given(cases())
        def compare(case: Case) -> None:
            nonlocal ran
            ran += run_case(case, PACKETS_A_POLICY, ifindex)

        compare()
    assert ran >= PACKETS
