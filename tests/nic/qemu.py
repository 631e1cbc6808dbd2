"""A guest with an emulated card, a far end for it, and this machine's files read-only as its root."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import TimedOut
from tests.cluster.layout import REPOSITORY, SLOW
from tests.cluster.shell import DIES_WITH_CALLER, words
from tests.nic.prepare import Guest

CARD_MAC, FAR_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
QUEUES = 4  # as many as the guest has CPUs: igb takes no more
TIMEOUT_S = 900
DONE = "nic-test: status "


@dataclass(frozen=True, slots=True)
class Card:
    """A card under test. device: QEMU's words for it. taps: a queue pair each; without, card and far end hang on one hub."""

    driver: str
    device: str
    taps: bool = False


CARDS = {
    "igb": Card("igb", f"igb,netdev=card,mac={CARD_MAC},romfile="),
    "virtio_net": Card(
        "virtio_net",
        f"virtio-net-pci,netdev=card,mac={CARD_MAC},romfile=,mq=on,rss=on,hash=on,vectors={2 * QUEUES + 4},"
        "disable-legacy=on,iommu_platform=on",  # without it no zero copy: the bind says EINVAL
        taps=True,
    ),
}


def command(card: Card, guest: Guest, only: str) -> list[str]:
    """QEMU's words. Paths are those inside the tree, where this machine's root is at /mnt. No KVM: nested machines have none."""
    told = f"nic.driver={card.driver} nic.repository={REPOSITORY} nic.only={only}"
    kernel = f"console=ttyS0 quiet nokaslr mitigations=off panic=-1 {told}"
    return words(
        *("qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", str(QUEUES)),
        *("-m", "1536", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"),
        *("-kernel", f"/mnt{guest.kernel}", "-initrd", f"/mnt{guest.initramfs}", "-append", kernel),
        *("-virtfs", "local,path=/mnt,mount_tag=machine,security_model=none,readonly=on,multidevs=remap"),
        *network("card", card.taps, f",queues={QUEUES}"),
        *network("far", card.taps, ""),
        *("-device", card.device),
        *("-device", f"virtio-net-pci,netdev=far,mac={FAR_MAC},guest_csum=off,csum=off,host_tso4=off,romfile="),
    )


def network(end: str, taps: bool, queues: str) -> tuple[str, str]:
    """One end of the cable: several queues need a tap, and a tap needs a network namespace of our own."""
    if taps:
        return ("-netdev", f"tap,id={end},ifname={end},script=no,downscript=no,vhost=off{queues}")
    return ("-netdev", f"hubport,id={end},hubid=0")


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
    ip link set "$end" up
  done
fi
exec nice -n 19 chroot "$tree" "$@"
"""


def run_guest(card: Card, guest: Guest, log: Path, only: str = "") -> int:
    """Start a guest, repeat what it says, and return the status that it ended with; 1 if it ended without one.

    only: a word in the names of the checks to run; empty for all.
    """
    inside = ("unshare", "--mount", "--net", "sh", "-c", SURROUNDINGS, "sh", guest.tree, str(card.taps))
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
