"""QEMU, a kernel and a first file system for guests, from Debian's archive into the user's cache. The machine stays as it is.

Debian 12 has neither a QEMU with igb nor a kernel whose igb can zero copy, so both come from the next release's backports:
unpacked, never installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.keys import files_key, key
from tests.cluster.layout import Cache
from tests.cluster.machine import apt_proxies
from tests.cluster.products import keep_newest, locked, product
from tests.cluster.shell import logged, output
from tests.nic.initramfs import archive, modules

HERE = Path(__file__).resolve().parent
ARCHIVE = "http://deb.debian.org/debian"
SUITES = ("trixie", "trixie-backports")
PACKAGES = "qemu-system-x86,linux-image-amd64,busybox-static"
UNPACK = (
    "mmdebstrap",
    "--variant=extract",
    "--mode=root",
    '--aptopt=APT::Install-Recommends "false"',
    f'--aptopt=APT::Default-Release "{SUITES[1]}"',
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")),
    f"--include={PACKAGES}",
)
MERGED = ("bin", "sbin", "lib", "lib64")  # links that a maintainer script makes; none runs here
DRIVERS = ("9pnet_virtio", "9p", "virtio_net", "igb")
KEPT = 1


@dataclass(frozen=True, slots=True)
class Guest:
    """What QEMU starts. tree: where QEMU itself lies, as its root. Paths are this machine's."""

    tree: Path
    kernel: Path
    initramfs: Path


def prepare(cache: Cache) -> Guest:
    """Return what guests are started from, made first where it is missing; about a minute once, 320 MB."""
    folder = cache.root / "nic"
    with locked(folder / "lock", "another preparation of guests runs; waiting for it"):
        tree = product(
            folder / f"tree-{key(*UNPACK, *SUITES)}", lambda made: unpack(made, cache.logs / "nic.log"), "unpacking QEMU"
        )
        release = output(["ls", tree / "usr/lib/modules"])
        name = f"initramfs-{key(tree.name, release, *DRIVERS, files_key(HERE, ['init.sh', 'initramfs.py']))}"
        packed = product(folder / name, lambda made: pack(made, tree, release), "packing a guest's first file system")
        keep_newest(folder, "tree-*", KEPT)
        keep_newest(folder, "initramfs-*", KEPT)
    return Guest(tree, tree / "usr/lib/modules" / release / "vmlinuz", packed)


def unpack(tree: Path, log: Path) -> None:
    proxies = [f"--aptopt={line}" for line in apt_proxies()]
    logged([*UNPACK, *proxies, SUITES[0], tree, *(f"deb {ARCHIVE} {suite} main" for suite in SUITES)], log)
    for name in MERGED:
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    (tree / "mnt").mkdir(exist_ok=True)
    logged(["depmod", "-b", tree / "usr", output(["ls", tree / "usr/lib/modules"])], log.with_name("nic-modules.log"))


def pack(place: Path, tree: Path, release: str) -> None:
    files = {"busybox": (tree / "usr/bin/busybox").read_bytes(), "init": (HERE / "init.sh").read_bytes()}
    place.write_bytes(archive(files | modules(load_order(tree, release))))


def load_order(tree: Path, release: str) -> list[Path]:
    """Return the modules of the drivers, each after those that it needs."""
    asked = ("modprobe", "-d", tree / "usr", "-S", release, "--show-depends")
    lines = [line.split() for driver in DRIVERS for line in output([*asked, driver]).splitlines()]
    return [Path(path) for path in dict.fromkeys(words[1] for words in lines if words[0] == "insmod")]
