"""The emulated cards that guests have, and QEMU's words for them. Values, no I/O.

No KVM: a machine that is a guest itself has none, and what is asked of a driver here is no matter of speed.
"""

from __future__ import annotations

from dataclasses import dataclass

CARD_MAC, FAR_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
QUEUES = 4  # as many as the guest has CPUs: igb takes no more


@dataclass(frozen=True, slots=True)
class Board:
    """A machine with room for a card. program: QEMU's, out of Debian's `package`. own_root: it is of another architecture than
    this machine, so its root is a tree of packages of its own.
    """

    program: str
    package: str
    architecture: str
    console: str
    words: tuple[str, ...]
    share: str  # the device that shows it files of this machine
    modules: tuple[str, ...]
    own_root: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A card under test. words: the card and the far end of its cable. taps: the cable is a bridge of taps, which several queues
    need; else one of QEMU's hubs. told: more kernel parameters, for init.
    """

    driver: str
    board: Board
    words: tuple[str, ...]
    taps: bool = False
    told: str = ""


X86 = Board(
    program="qemu-system-x86_64",
    package="qemu-system-x86",
    architecture="amd64",
    console="ttyS0",
    words=(
        *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", str(QUEUES), "-m", "1536"),
        *("-nodefaults", "-display", "none", "-serial", "stdio"),
    ),
    share="virtio-9p-pci",
    modules=("9pnet_virtio", "9p", "virtio_net"),
)
VERSAL = Board(
    program="qemu-system-aarch64",
    package="qemu-system-arm",
    architecture="arm64",
    console="ttyAMA0",
    words=("-M", "amd-versal-virt", "-m", "1G", "-display", "none", "-serial", "stdio", "-monitor", "none"),
    share="virtio-9p-device",
    modules=("virtio_mmio", "9pnet_virtio", "9p"),
    own_root=True,
)


def network(end: str, *, taps: bool, queues: str = "") -> tuple[str, str]:
    """One end of the cable."""
    if taps:
        return ("-netdev", f"tap,id={end},ifname={end},script=no,downscript=no,vhost=off{queues}")
    return ("-netdev", f"hubport,id={end},hubid=0")


def far_end(*, taps: bool) -> tuple[str, ...]:
    """A plain card that checks nothing for the other side: what arrives there is what was sent."""
    device = f"virtio-net-pci,netdev=far,mac={FAR_MAC},guest_csum=off,csum=off,host_tso4=off,romfile="
    return (*network("far", taps=taps), "-device", device)


IGB = Card(
    "igb",
    X86,
    (*network("card", taps=False), "-device", f"igb,netdev=card,mac={CARD_MAC},romfile=", *far_end(taps=False)),
)
VIRTIO_NET = Card(
    "virtio_net",
    X86,
    (
        *network("card", taps=True, queues=f",queues={QUEUES}"),
        "-device",
        f"virtio-net-pci,netdev=card,mac={CARD_MAC},romfile=,mq=on,rss=on,hash=on,vectors={2 * QUEUES + 4},"
        "disable-legacy=on,iommu_platform=on",  # without it no zero copy: the bind says EINVAL
        *far_end(taps=True),
    ),
    taps=True,
)
MACB = Card(
    "macb",
    VERSAL,
    ("-nic", f"hubport,hubid=0,id=card,mac={CARD_MAC}", "-nic", f"hubport,hubid=0,id=far,mac={FAR_MAC}"),
    # QEMU has the screeners of both cards, but their capability registers say none: 4 of each kind
    told="nic.poke=0xff0c029c,0xff0d029c nic.value=0x0404040c",
)
CARDS = {card.driver: card for card in (IGB, VIRTIO_NET, MACB)}
