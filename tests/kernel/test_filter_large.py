"""Policies that do not fit into one program: chains of tail calls mean the same, and the largest one loads."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.filter_frames import SYN, TCP, ip6, tcp
from tests.fuzz_lab import loaded_lab, run_case
from tests.fuzz_policies import Case, cases
from tests.kernel.filter_device import with_queues
from tests.kernel.netpair import NetnsPair
from tests.unit.test_filter_generate import largest

from spillway_dataplane.filter import chunks
from spillway_dataplane.filter.generate import generate
from spillway_dataplane.filter.program import Counts, ProgramSpec, Switches
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.testrun import Arrival

ENFORCE_ALL = Switches(modes=(2,) * 64)


def frame_for(spec: ProgramSpec, number: int) -> bytes:
    """A frame that every rule of one filter matches, and no other filter."""
    match = spec.filters[number].content.rules[0].match
    source, target = match.sources[-1].network_address, match.destinations[-1].network_address
    ports = match.source_ports[-1].last, match.destination_ports[-1].first
    return ip6(tcp(*ports, SYN), TCP, source=str(source), target=str(target))


def test_many_small_programs_mean_the_same(netns_pair: NetnsPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random policies, cut after every few rules: filters that go on in the next program, and are left before they end."""
    monkeypatch.setattr(chunks, "MAX_JUMPS", chunks.PROGRAM_COST.jumps + chunks.FILTER_COST.jumps + 6)
    seen = []
    with with_queues(netns_pair) as ifindex:

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        )
        @given(cases())
        def compare(case: Case) -> None:
            if len(chunks.plan_chunks(case.spec)) <= chunks.MAX_CHUNKS:
                seen.append(len(chunks.plan_chunks(case.spec)))
                run_case(case, 1000, ifindex)

        compare()
    assert max(seen) > 4


def test_one_filter_of_the_largest_size() -> None:
    """64 rules of 64 prefixes and port ranges: the last rule of the last program still decides."""
    check_loads(largest(filters=1))


@pytest.mark.long
def test_the_largest_policy_of_all() -> None:
    """24 such filters: compiled within the compiler's own time limit, loaded, and the last filter reached."""
    check_loads(largest())


def check_loads(spec: ProgramSpec) -> None:
    source, started = generate(spec), time.monotonic()
    artifact = compile_source(source)
    compiled = time.monotonic()
    with loaded_lab(spec, artifact) as ready:
        took = f"compiled in {compiled - started:.1f} s, loaded in {time.monotonic() - compiled:.1f} s"
        print(f"{len(artifact.programs)} programs, {artifact.instructions:,} instructions, {took}")
        ready.spec = replace(spec, filters=spec.filters[-1:])  # no other filter may count
        frame = frame_for(spec, len(spec.filters) - 1)
        outcome = ready.run_kernel(ENFORCE_ALL, (), [Arrival(frame)])
    assert outcome.counts == {slot: Counts(1, len(frame)) for slot in spec.filters[-1].rule_slots}
