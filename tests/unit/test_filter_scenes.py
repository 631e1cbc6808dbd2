"""Who decides about a packet, asked of the plain matcher: docs/semantics.md, sections 2 and 3."""

from __future__ import annotations

import pytest
from tests.filter_frames import ICMP, icmp, ip4
from tests.filter_scenes import ENFORCE, GUARD, SCENES, Packet, Scene, counted, expected, policy, switches

from spillway_crds.failsafe import flows
from spillway_dataplane.filter.matcher import Matcher, Verdict

CASES = [pytest.param(scene, packet, id=f"{scene.id}: {packet.id}") for scene in SCENES for packet in scene.packets]


@pytest.mark.parametrize(("scene", "packet"), CASES)
def test_what_becomes_of_a_packet(scene: Scene, packet: Packet) -> None:
    """Verdict and every counter, by name."""
    matcher = Matcher(scene.spec, scene.switches, scene.peers)
    assert (matcher.run(packet.frame, packet.queue) is Verdict.PASS) is packet.passes
    assert counted(scene, matcher.counts, matcher.interface_counts()) == expected(scene, packet)
    for counts in matcher.counts.values():
        assert counts.matched_bytes == len(packet.frame) * counts.matched_packets
        assert counts.dropped_bytes == len(packet.frame) * counts.dropped_packets
        assert counts.would_drop_bytes == len(packet.frame) * counts.would_drop_packets


def test_a_ceiling_holds_for_a_second() -> None:
    """Above the ceiling rules apply again; a new second starts anew."""
    now_ns = 5_000_000_000
    matcher = Matcher(policy(GUARD, guarded=flows(ceiling_pps=3)), switches(ENFORCE), (), clock=lambda: now_ns)
    frame = ip4(icmp(3, 4), ICMP)
    assert [matcher.run(frame, 0) for _ in range(5)] == [Verdict.PASS] * 3 + [Verdict.DROP] * 2
    now_ns += 999_999_999
    assert matcher.run(frame, 0) is Verdict.DROP
    now_ns += 1
    assert matcher.run(frame, 0) is Verdict.PASS


def test_no_filter_passes_everything() -> None:
    """The program that stays when the last filter is gone counts nothing at all."""
    matcher = Matcher(policy(guarded=flows()), switches(), ())
    assert matcher.run(ip4(b"", total=3), 0) is Verdict.PASS
    assert matcher.interface_counts().malformed_packets == 0
