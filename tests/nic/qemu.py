"""A guest is started with a card, a far end for it, and this machine's files, read-only."""

from __future__ import annotations

import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.errors import TimedOut
from tests.cluster.layout import REPOSITORY, SLOW
from tests.cluster.shell import DIES_WITH_CALLER, words
from tests.nic.cards import Card
from tests.nic.prepare import Guest

TIMEOUT_S = 900
DONE = "nic-test: status "
IMPORTED = ("dataplane", "crds")  # what an editable installation adds to the path


def command(card: Card, guest: Guest, only: str) -> list[str]:
    """QEMU's words. Paths are those inside its tree, where this machine's root is at /mnt."""
    board = card.board
    kernel = f"console={board.console} quiet nokaslr mitigations=off panic=-1 nic.driver={card.driver} nic.only={only}"
    shares = (("root", Path("/")),) if not board.own_root else (("root", guest.root), ("machine", Path("/")))
    return words(
        *(board.program, *board.words, "-no-reboot"),
        *("-kernel", f"/mnt{guest.kernel}", "-initrd", f"/mnt{guest.initramfs}"),
        *("-append", f"{kernel} {card.told} {python_words(card)}"),
        *(word for tag, path in shares for word in share(board.share, tag, path)),
        *card.words,
    )


def share(device: str, tag: str, path: Path) -> tuple[str, ...]:
    """Show a folder of this machine to the guest, read-only."""
    folder = f"local,id={tag},path=/mnt{path},security_model=none,readonly=on,multidevs=remap"
    return ("-fsdev", folder, "-device", f"{device},fsdev={tag},mount_tag={tag}")


def python_words(card: Card) -> str:
    """What init has to know to run Python: this machine's own, or the guest's with the packages of ours that are Python alone."""
    if not card.board.own_root:
        return f"nic.repository={REPOSITORY} nic.python={REPOSITORY}/.venv/bin/python"
    path = [f"/mnt{REPOSITORY}/{folder}" for folder in IMPORTED] + [f"/mnt{sysconfig.get_path('purelib')}"]
    return f"nic.repository=/mnt{REPOSITORY} nic.python=python3 nic.path={':'.join(path)} nic.machine=/root/mnt"


SURROUNDINGS = """
set -eu
tree=$1 taps=$2; shift 2
mount --make-rprivate /
mount --rbind / "$tree/mnt"
mount --bind /dev "$tree/dev"
ip link set lo up
if [ "$taps" = True ]; then
  ip link add cable type bridge mcast_snooping 0
  ip tuntap add card mode tap multi_queue
  ip tuntap add far mode tap
  for end in cable card far; do
    echo 1 >"/proc/sys/net/ipv6/conf/$end/disable_ipv6"
    [ "$end" = cable ] || ip link set "$end" master cable
    ip link set "$end" up mtu 9000
  done
fi
exec nice -n 19 chroot "$tree" "$@"
"""


def run_guest(card: Card, guest: Guest, log: Path, only: str = "") -> int:
    """Start a guest, repeat what it says, and return the status that it ended with; 1 if it ended without one.

    only: a word in the names of the checks to run; empty for all.
    """
    inside = ("unshare", "--mount", "--net", "sh", "-c", SURROUNDINGS, "sh", guest.qemu, str(card.taps))
    argv = words(*DIES_WITH_CALLER, *inside, *command(card, guest, only))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink) as started:
        try:
            _repeat(started, log)
        finally:
            started.kill()
    return status_of(log.read_text(errors="replace").splitlines())


def _repeat(started: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + TIMEOUT_S * SLOW
    with log.open(errors="replace") as said:
        while started.poll() is None:
            print(said.read(), end="", flush=True)
            if time.monotonic() > end:
                raise TimedOut(what="the guest", timeout_s=TIMEOUT_S * SLOW, log=log)
            time.sleep(0.2)
        print(said.read(), end="", flush=True)


def status_of(lines: Sequence[str]) -> int:
    """Read the guest's last word. A guest that crashed has none."""
    found = [line.removeprefix(DONE) for line in lines if line.startswith(DONE)]
    return int(found[-1]) if found else 1
