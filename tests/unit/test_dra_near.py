"""Which PTP clock a claim gets, and what its container is told of the card.

The sysfs here is a folder of files: it cannot prove that a card's files are like that. tests/nic looks at a real one's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.dra_fakes import NODE, PARAMETERS, claim

from spillway_crds.grants import Grant
from spillway_crds.streams import ClockSource
from spillway_dataplane.dra import near
from spillway_dataplane.dra.cdi import encode_cdi
from spillway_dataplane.dra.claims import ClaimRef, RingRecord, read_claim
from spillway_dataplane.dra.grants import Grants
from spillway_dataplane.dra.surroundings import PtpClock, Surroundings, choose_ptp, read_cpus, write_cpus

GRANTS = Grants((Grant("eth1", frozenset({1, 2}), frozenset({"studio"})),))
ONE, OTHER = PtpClock(0, 249, 0, "igb", hardware=True), PtpClock(2, 249, 2, "ice-eth3", hardware=True)
KVM, HYPERV = PtpClock(1, 249, 1, "KVM virtual PTP"), PtpClock(3, 249, 3, "hyperv")


@pytest.mark.parametrize(
    ("own", "clocks", "expected"),
    [
        pytest.param(2, (ONE, KVM, OTHER), OTHER, id="the card's own"),
        pytest.param(None, (), None, id="none at all"),
        pytest.param(None, (ONE,), ONE, id="the only one, another card's"),
        pytest.param(None, (KVM,), KVM, id="the only one, the virtual machine's"),
        pytest.param(None, (KVM, ONE), ONE, id="one of hardware beside the virtual machine's"),
        pytest.param(None, (ONE, OTHER), None, id="two cards': nobody can say which"),
        pytest.param(None, (KVM, HYPERV), None, id="two virtual ones"),
        pytest.param(7, (ONE,), ONE, id="its own has just gone"),
    ],
)
def test_a_stream_follows_its_card_s_clock_else_the_node_s_only_one(
    own: int | None, clocks: tuple[PtpClock, ...], expected: PtpClock | None
) -> None:
    assert choose_ptp(own, clocks) == expected
    assert choose_ptp(own, tuple(reversed(clocks))) == expected


def ring(source: str = "") -> RingRecord:
    clock = {"clock": {"source": source}} if source else {}
    config = [
        {"requests": ["ring"], "opaque": {"driver": "tx-queue.spillway.dev", "parameters": {**PARAMETERS, **clock}}},
    ]
    return read_claim(claim(config=config), ClaimRef("studio", "cam", "uid-1"), NODE, GRANTS).rings[0]


@pytest.mark.parametrize(
    ("source", "expected"), [("PTP", ClockSource.PTP), ("System", ClockSource.SYSTEM), ("", ClockSource.SYSTEM)]
)
def test_a_claim_s_parameters_ask_for_a_clock(source: str, expected: ClockSource) -> None:
    assert ring(source).parameters.clock is expected


def edits(around: Surroundings) -> dict[str, object]:
    record = read_claim(claim(), ClaimRef("studio", "cam", "uid-1"), NODE, GRANTS)
    (device,) = encode_cdi(record, Path("/x"), lambda ring: around)["devices"]
    found: dict[str, object] = device["containerEdits"]
    return found


def test_the_container_gets_the_clock_to_read_and_no_more() -> None:
    """Whoever may write to the device may set the card's clock: the node's is no application's to set."""
    found = edits(Surroundings(ptp=OTHER))
    assert found["deviceNodes"] == [
        {"path": "/dev/ptp2", "type": "c", "major": 249, "minor": 2, "permissions": "r", "fileMode": 0o444, "uid": 0, "gid": 0}
    ]
    assert {"SPILLWAY_PTP=/dev/ptp2", "SPILLWAY_PTP_RING=/dev/ptp2", "SPILLWAY_PTP_CAM_RING=/dev/ptp2"} <= set(found["env"])  # type: ignore[call-overload]


def test_without_a_clock_there_is_no_device_and_no_word_of_one() -> None:
    found = edits(Surroundings())
    assert "deviceNodes" not in found
    assert not [each for each in found["env"] if not each.startswith("SPILLWAY_RING")]  # type: ignore[attr-defined]


def test_the_container_is_told_of_the_card_s_cores() -> None:
    found = edits(Surroundings(numa_cpus=frozenset({3, 10, 2}), interrupt_cpus=frozenset({2})))
    assert found["env"][-2:] == ["SPILLWAY_NUMA_CPUS=2,3,10", "SPILLWAY_INTERRUPT_CPUS=2"]  # type: ignore[index]


@pytest.mark.parametrize(("text", "expected"), [("", set()), ("0\n", {0}), ("0-3,8", {0, 1, 2, 3, 8}), ("5-5,7-8", {5, 7, 8})])
def test_lists_of_cores_are_the_kernel_s(text: str, expected: set[int]) -> None:
    assert read_cpus(text) == expected
    assert read_cpus(write_cpus(expected)) == expected


# ---- sysfs ----------------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A card with a clock, its interrupts and its node; a virtual machine's clock; one that leaves at this moment."""
    for number, name in ((0, "igb"), (10, "KVM virtual PTP")):
        write(tmp_path / f"class/ptp/ptp{number}/dev", f"249:{number}\n")
        write(tmp_path / f"class/ptp/ptp{number}/clock_name", f"{name}\n")
    (tmp_path / "class/ptp/ptp0/device").mkdir()
    (tmp_path / "class/ptp/ptp4").mkdir()
    card = tmp_path / "devices/pci0/0000:01:00.0"
    for irq in ("40", "41"):
        write(card / "msi_irqs" / irq, "msix\n")
    write(card / "numa_node", "1\n")
    write(tmp_path / "devices/system/node/node1/cpulist", "4-7\n")
    (tmp_path / "class/net/eth1").mkdir(parents=True)
    (tmp_path / "class/net/eth1/device").symlink_to(card)
    return tmp_path


def test_clocks_are_read_from_sysfs(sys: Path) -> None:
    assert near.observe_ptp(sys) == (PtpClock(0, 249, 0, "igb", hardware=True), PtpClock(10, 249, 10, "KVM virtual PTP"))
    assert near.observe_ptp(sys / "nothing") == ()


def test_cores_are_read_from_sysfs_and_proc(sys: Path) -> None:
    write(sys / "proc/irq/40/effective_affinity_list", "4\n")
    write(sys / "proc/irq/41/effective_affinity_list", "6-7\n")
    assert near.numa_cpus("eth1", sys) == frozenset({4, 5, 6, 7})
    assert near.interrupt_cpus("eth1", sys, sys / "proc") == frozenset({4, 6, 7})


def test_a_virtio_card_s_interrupts_are_its_parent_s(sys: Path) -> None:
    inner = sys / "devices/pci0/0000:01:00.0/virtio3"
    inner.mkdir()
    (sys / "class/net/eth2").mkdir()
    (sys / "class/net/eth2/device").symlink_to(inner)
    write(sys / "proc/irq/40/effective_affinity_list", "5\n")
    assert near.interrupt_cpus("eth2", sys, sys / "proc") == frozenset({5})


def test_a_device_without_hardware_has_neither(sys: Path) -> None:
    (sys / "class/net/veth0").mkdir()
    assert near.numa_cpus("veth0", sys) == near.interrupt_cpus("veth0", sys, sys / "proc") == frozenset()


def test_a_card_that_is_on_no_node_is_near_no_core(sys: Path) -> None:
    write(sys / "devices/pci0/0000:01:00.0/numa_node", "-1\n")
    assert near.numa_cpus("eth1", sys) == frozenset()


@pytest.mark.parametrize(("source", "given"), [(ClockSource.PTP, KVM), (ClockSource.SYSTEM, None)])
def test_nobody_gets_a_clock_that_did_not_ask(
    monkeypatch: pytest.MonkeyPatch, source: ClockSource, given: PtpClock | None
) -> None:
    monkeypatch.setattr(near, "observe_ptp", lambda: (KVM,))
    asked = ring()
    asked = replace(asked, parameters=replace(asked.parameters, clock=source))
    assert near.observe_surroundings(asked).ptp == given
