"""QEMU, a kernel and a first file system for guests, from Debian's archive into the user's cache. The machine stays as it is.

Debian 12 has neither a QEMU with igb nor a kernel whose igb can zero copy, so both come from the next release's backports:
unpacked, never installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.keys import files_key, key
from tests.cluster.layout import Cache
from tests.cluster.machine import apt_proxies
from tests.cluster.products import keep_newest, locked, product
from tests.cluster.shell import logged, output
from tests.nic.cards import Board, Card
from tests.nic.initramfs import archive, modules

HERE = Path(__file__).resolve().parent
ARCHIVE = "http://deb.debian.org/debian"
SUITES = ("trixie", "trixie-backports")
UNPACK = (
    "mmdebstrap",
    "--variant=extract",
    "--mode=root",
    '--aptopt=APT::Install-Recommends "false"',
    f'--aptopt=APT::Default-Release "{SUITES[1]}"',
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")),
)
USERLAND = ("dash", "python3", "ethtool", "iproute2")  # of a guest that cannot run this machine's programs
MERGED = ("bin", "sbin", "lib", "lib64")  # links that a maintainer script makes; none runs here
FOLDERS = ("dev", "mnt", "proc", "run", "sys")
DRIVERS = ("igb", "macb")
KEPT = 1


@dataclass(frozen=True, slots=True)
class Guest:
    """What QEMU starts. qemu: the tree where it lies, as its root. root: the guest's own. Paths are this machine's."""

    qemu: Path
    root: Path
    kernel: Path
    initramfs: Path


def prepare(cache: Cache, card: Card) -> Guest:
    """Return what a guest with this card is started from, made first where it is missing: a minute and a half, once a board."""
    folder, board = cache.root / "nic", card.board
    with locked(folder / "lock", "another preparation of guests runs; waiting for it"):
        qemu = _tree(cache, f"qemu-{board.architecture}", (board.package,))
        packages = (f"linux-image-{board.architecture}", "busybox-static", *(USERLAND if board.own_root else ()))
        files = _tree(cache, f"guest-{board.architecture}", packages, f"--architectures={board.architecture}")
        release = output(["ls", files / "usr/lib/modules"])
        parts = (files.name, release, *board.modules, *DRIVERS, files_key(HERE, ["init.sh", "initramfs.py"]))
        name = f"initramfs-{board.architecture}"
        packed = product(
            folder / f"{name}-{key(*parts)}", lambda made: pack(made, files, release, board), "packing a first file system"
        )
        keep_newest(folder, f"{name}-*", KEPT)
    return Guest(qemu, files if board.own_root else Path("/"), files / "usr/lib/modules" / release / "vmlinuz", packed)


def _tree(cache: Cache, name: str, packages: Iterable[str], *options: str) -> Path:
    """Return a tree of unpacked packages. Call it with the lock held."""
    argv = (*UNPACK, *options, f"--include={','.join(packages)}")
    log = cache.logs / f"nic-{name}.log"
    place = product(
        cache.root / "nic" / f"{name}-{key(*argv, *SUITES)}", lambda made: unpack(made, argv, log), f"unpacking {name}"
    )
    keep_newest(cache.root / "nic", f"{name}-*", KEPT)
    return place


def unpack(tree: Path, argv: Iterable[str], log: Path) -> None:
    proxies = [f"--aptopt={line}" for line in apt_proxies()]
    logged([*argv, *proxies, SUITES[0], tree, *(f"deb {ARCHIVE} {suite} main" for suite in SUITES)], log)
    for name in MERGED:
        if (tree / "usr" / name).exists() and not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    for name in FOLDERS:
        (tree / name).mkdir(exist_ok=True)
    for release in (tree / "usr/lib/modules").glob("*"):
        logged(["depmod", "-b", tree / "usr", release.name], log.with_suffix(".modules.log"))


def pack(place: Path, tree: Path, release: str, board: Board) -> None:
    files = {"busybox": (tree / "usr/bin/busybox").read_bytes(), "init": (HERE / "init.sh").read_bytes()}
    place.write_bytes(archive(files | modules(load_order(tree, release, board))))


def load_order(tree: Path, release: str, board: Board) -> list[Path]:
    """Return the modules of the board and its cards, each after those that it needs."""
    asked = ("modprobe", "-d", tree / "usr", "-S", release, "--show-depends")
    wanted = [*board.modules, *(name for name in DRIVERS if list((tree / "usr/lib/modules").rglob(f"{name}.ko*")))]
    lines = [line.split() for name in wanted for line in output([*asked, name]).splitlines()]
    return [Path(path) for path in dict.fromkeys(words[1] for words in lines if words[0] == "insmod")]
