"""Network namespaces that a test makes, enters and leaves, without names and without anything left behind.

The calling thread moves itself (threads and processes that it starts come along) into a fresh network namespace and a mount
namespace of its own, where /sys belongs to that network namespace. Nothing outside is touched: when the thread has left and the
last descriptor is closed, the kernel takes down devices, mounts and pins, also after a test that was killed.
"""

from __future__ import annotations

import ctypes as ct
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
MNT_DETACH = 2
LIBC = ct.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ct.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    check(LIBC.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    check(LIBC.setns(fd, kind), "setns")


def mount(source: str, target: Path | str, fstype: str, flags: int = 0) -> None:
    check(LIBC.mount(source.encode(), os.fsencode(target), fstype.encode(), ct.c_ulong(flags), None), f"mount {target}")


def umount(target: Path | str) -> None:
    check(LIBC.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def open_namespace(kind: str) -> int:
    """A descriptor of this thread's own namespace, `net` or `mnt`."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def mount_sys() -> None:
    """Show this thread's network namespace in /sys: a sysfs belongs to the namespace it was mounted in."""
    mount("sysfs", "/sys", "sysfs")


@contextmanager
def own_namespaces() -> Iterator[None]:
    """Run the block in a fresh network namespace and a private mount namespace; then go back to where the thread was."""
    cwd = Path.cwd()
    net, mnt = open_namespace("net"), open_namespace("mnt")
    try:
        unshare(CLONE_NEWNS | CLONE_NEWNET)
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        mount_sys()
        yield
    finally:
        unshare(CLONE_FS)  # setns to a mount namespace is refused while another thread shares root and cwd
        setns(net, CLONE_NEWNET)
        setns(mnt, CLONE_NEWNS)
        os.close(net)
        os.close(mnt)
        os.chdir(cwd)


def new_network() -> int:
    """Make another network namespace, stay in the present one, return the new one's descriptor."""
    here = open_namespace("net")
    try:
        unshare(CLONE_NEWNET)
        made = open_namespace("net")
        setns(here, CLONE_NEWNET)
        return made
    finally:
        os.close(here)


@contextmanager
def inside(net: int) -> Iterator[None]:
    """Run the block in another network namespace, with /sys showing it."""
    here = open_namespace("net")
    setns(net, CLONE_NEWNET)
    mount_sys()
    try:
        yield
    finally:
        umount("/sys")
        setns(here, CLONE_NEWNET)
        os.close(here)
