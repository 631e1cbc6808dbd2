"""How guests with emulated cards are started: QEMU's words, the first file system. That they boot, `make nic-test` shows."""

from __future__ import annotations

import stat
from itertools import pairwise
from pathlib import Path

import pytest
from tests.nic.cards import CARDS, Card
from tests.nic.initramfs import archive
from tests.nic.prepare import Guest
from tests.nic.qemu import command, status_of

GUEST = Guest(Path("/cache/qemu"), Path("/cache/guest"), Path("/cache/vmlinuz"), Path("/cache/initramfs"))


@pytest.mark.parametrize("card", [pytest.param(card, id=name) for name, card in CARDS.items()])
def test_a_guest_can_write_nothing_of_this_machine(card: Card) -> None:
    words = command(card, GUEST, "")
    shares = [after for word, after in pairwise(words) if word == "-fsdev"]
    assert len(shares) == 1 + card.board.own_root
    assert all("readonly=on" in share for share in shares)
    assert not {"-drive", "-hda", "-virtfs", "-blockdev"} & set(words)


@pytest.mark.parametrize("card", [pytest.param(card, id=name) for name, card in CARDS.items()])
def test_init_is_told_what_it_reads(card: Card) -> None:
    words = command(card, GUEST, "bars")
    told = dict(word.split("=", 1) for word in words[words.index("-append") + 1].split() if word.startswith("nic."))
    assert (told["nic.driver"], told["nic.only"]) == (card.driver, "bars")
    assert {"nic.repository", "nic.python"} <= set(told)
    assert ("nic.machine" in told) is card.board.own_root


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(["nic-test: status 0"], 0, id="passed"),
        pytest.param(["1 failed", "nic-test: status 1", "reboot: Power down"], 1, id="failed"),
        pytest.param(["Kernel panic - not syncing"], 1, id="crashed"),
        pytest.param([], 1, id="never-came-up"),
    ],
)
def test_only_a_guest_that_says_so_has_passed(said: list[str], status: int) -> None:
    assert status_of(said) == status


def members(packed: bytes) -> list[tuple[str, int, bytes]]:
    """Read an archive back by the format's description: names, modes, contents."""
    found, at = [], 0
    while True:
        assert (packed[at : at + 6], at % 4) == (b"070701", 0)
        numbers = [int(packed[at + 6 + 8 * field : at + 14 + 8 * field], 16) for field in range(13)]
        name = packed[at + 110 : at + 110 + numbers[11] - 1].decode()
        at += -(-(110 + numbers[11]) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, numbers[1], packed[at : at + numbers[6]]))
        at += -(-numbers[6] // 4) * 4


def test_an_archive_has_its_folders_first_and_a_console() -> None:
    found = members(archive({"init": b"#!/busybox sh\n", "modules/00-a.ko": b"12345"}))
    assert [name for name, _, _ in found] == ["dev", "modules", "dev/console", "init", "modules/00-a.ko"]
    assert [stat.S_IFMT(mode) for _, mode, _ in found] == [stat.S_IFDIR] * 2 + [stat.S_IFCHR] + [stat.S_IFREG] * 2
    assert [data for _, _, data in found] == [b"", b"", b"", b"#!/busybox sh\n", b"12345"]
    assert all(mode & 0o111 for name, mode, _ in found if name != "dev/console")
