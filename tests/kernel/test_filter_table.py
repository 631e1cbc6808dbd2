"""The tables of docs/semantics.md, sections 1 to 3, asked of the compiled programs on the real kernel."""

from __future__ import annotations

import pytest
from tests.filter_fields import MATCHES, ROWS, SPEC, SWITCHES, UNIT, Row
from tests.filter_frames import ICMP, icmp, ip4, udp
from tests.filter_scenes import ENFORCE, GUARD, SCENES, Scene, counted, expected, policy, switches
from tests.fuzz_lab import Lab, Outcome, lab
from tests.kernel.filter_device import with_queues
from tests.kernel.netpair import NetnsPair

from spillway_crds.failsafe import flows
from spillway_dataplane.filter.generate import generate
from spillway_dataplane.filter.packet import Packet, parse_frame
from spillway_dataplane.filter.program import Counts, ProgramSpec
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.testrun import Arrival

XDP_DROP, XDP_PASS = 1, 2


def wrong_fields(ready: Lab, row: Row, arrival: Arrival) -> str:
    """Return what is not as the table says, or nothing."""
    outcome = ready.run_kernel(SWITCHES, (), [arrival])
    matched = {name for name, slot in zip(MATCHES, UNIT.rule_slots, strict=True) if slot in outcome.counts}
    counts = (outcome.interface.malformed_packets, outcome.interface.unparsed_packets)
    wanted = (set(row.matched.split()), (row.counted == "malformed", row.counted == "unparsed"), (XDP_PASS,))
    sizes = {each.matched_bytes for each in outcome.counts.values()} <= {len(row.frame)}
    found = (matched, counts, outcome.verdicts)
    return "" if found == wanted and sizes else f"{row.id} (first buffer {arrival.linear_bytes}): {found}, not {wanted}"


def buffers(row: Row) -> list[int | None]:
    """In one buffer, and with every header in turn beyond the first one, where the kernel takes such a frame."""
    packet = parse_frame(row.frame)
    if not isinstance(packet, Packet):
        return [None]
    end = min(len(row.frame), packet.ip_bytes)
    return [None, *(size for size in (14, 20, 30, 42, 56, 60, 100, 1000) if size < end)]


def test_fields() -> None:
    """Each frame of the table matches exactly the rules that the table names, however it lies in memory."""
    with lab(SPEC) as ready:
        wrong = [wrong_fields(ready, row, Arrival(row.frame, 0, size)) for row in ROWS for size in buffers(row)]
    assert not [each for each in wrong if each]


def verdict_and_counts(ready: Lab, scene: Scene, number: int) -> tuple[bool, dict[str, int]]:
    packet = scene.packets[number]
    outcome = ready.run_kernel(scene.switches, scene.peers, [Arrival(packet.frame, packet.queue)])
    return outcome.verdicts == (XDP_PASS,), counted(scene, dict(outcome.counts), outcome.interface)


@pytest.mark.parametrize("scene", [pytest.param(scene, id=scene.id) for scene in SCENES])
def test_who_decides(netns_pair: NetnsPair, scene: Scene) -> None:
    """Verdict and every counter of each packet, by name."""
    with with_queues(netns_pair) as ifindex, lab(scene.spec, ifindex) as ready:
        found = {packet.id: verdict_and_counts(ready, scene, number) for number, packet in enumerate(scene.packets)}
    assert found == {packet.id: (packet.passes, expected(scene, packet)) for packet in scene.packets}


def test_switches_need_no_new_program() -> None:
    """The loaded program follows its mode word and the kill switch from one packet to the next."""
    frame = [Arrival(ip4(udp()))]
    with lab(policy(GUARD)) as ready:
        verdicts = [ready.run_kernel(switches(mode), (), frame).verdicts for mode in (2, 1, 0, 2)]
        verdicts.append(ready.run_kernel(switches(ENFORCE, enforcement=False), (), frame).verdicts)
    assert verdicts == [(XDP_DROP,), (XDP_PASS,), (XDP_PASS,), (XDP_DROP,), (XDP_PASS,)]


def test_a_ceiling_lets_so_many_through() -> None:
    """Within one second exactly the ceiling's packets are saved; the rules apply to the rest."""
    guarded = policy(GUARD, guarded=flows(ceiling_pps=50))
    with lab(guarded) as ready:
        outcome = run_within_a_second(ready, [Arrival(ip4(icmp(3, 4), ICMP))] * 200)
    assert (outcome.verdicts.count(XDP_PASS), outcome.verdicts.count(XDP_DROP)) == (50, 150)
    assert outcome.counts[0] == Counts(200, 200 * 42, 150, 150 * 42)
    assert sum(outcome.interface.failsafe_packets) == 50


def run_within_a_second(ready: Lab, arrivals: list[Arrival]) -> Outcome:
    """The window starts with the first packet: a machine that stalls in between gets another try."""
    for _ in range(5):
        outcome = ready.run_kernel(switches(ENFORCE), (), arrivals)
        if outcome.verdicts.count(XDP_PASS) == 50:
            break
    return outcome


def test_without_filters_the_program_only_passes() -> None:
    """The program of an idle interface returns XDP_PASS as its first step: two instructions, no map."""
    artifact = compile_source(generate(ProgramSpec(flows=flows())))
    assert artifact.programs == {"spillway": bytes.fromhex("b7000000020000009500000000000000")}
