"""`spillway off`: nothing is dropped at this node from now on. `--purge`: nothing of ours is left on it."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.cli.lock_seen import see_agent
from spillway_dataplane.cli.switching import switch_off
from spillway_dataplane.dra.leftovers import remove_leftovers
from spillway_dataplane.dra.settings import StreamSettings
from spillway_dataplane.kept.store import LOCK, Store
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.kernel.programs import NAME_PREFIX
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode
from spillway_dataplane.settings import PINS

OUR_NAME = re.compile(NAME_PREFIX + "[0-9a-f]{11}")


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Switch off, or purge. Raises CommandError: BUSY for a purge while an agent is at work, because it would attach again;
    REFUSED for programs of ours that are out of reach."""
    pins, store = arguments.bpffs / PINS, Store(arguments.state)
    if arguments.purge:
        _purge_streams(say, arguments.kubelet_dir, arguments.cdi_dir)
        removed = purge(pins, store)
        _refuse_strays("off --purge", Datapath(pins).observe(), arguments.bpffs)
        _tell_purge(say, removed)
    else:
        switched = switch_off(Datapath(pins), store)
        _refuse_strays("off", Datapath(pins).observe(), arguments.bpffs)
        _tell_off(say, switched, store)
    return Exit.OK


def _refuse_strays(command: str, node: ObservedNode, bpffs: Path) -> None:
    """A program with a name of ours that is pinned elsewhere drops on: nobody may be told that nothing does."""
    found = [f"{each.name} runs {each.attached.name}" for each in node.interfaces if each.attached and is_stray(each)]
    if found:
        text = f"{', '.join(found)}, which is pinned in another BPF filesystem than {bpffs}: say which one with --bpffs"
        raise CommandError(Exit.REFUSED, command, text)


def is_stray(interface: ObservedInterface) -> bool:
    """Whether a program that we once made runs there without a pin that we see."""
    attached = interface.attached
    return attached is not None and interface.pinned is None and OUR_NAME.fullmatch(attached.name) is not None


def purge(root: Path, store: Store) -> tuple[str, ...]:
    """Remove everything of ours from kernel and disk; the interfaces that had something come back."""
    datapath = Datapath(root)
    with alone(store):
        removed = datapath.pinned_names()
        if root.exists():
            datapath.purge()
        _empty(store.root)
    return removed


def _purge_streams(say: Say, kubelet: Path, cdi: Path) -> None:
    """Remove the driver of streams from the disk, where there was one."""
    settings = StreamSettings("", kubelet=kubelet, cdi=cdi)
    if not settings.plugin.is_dir():
        return
    with alone(Store(settings.plugin)):
        left = remove_leftovers(settings)
    for uid in left:
        say.line(f"claim {uid} was still prepared: its pod ends only when a driver is there again", "bold red")


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold the node's lock: no agent acts meanwhile, and one that waits begins after the end of the block."""
    store.prepare()
    path = store.root / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        text = f"an agent ({see_agent(path)}) acts on this node and would attach again; uninstall the release or end it first"
        raise CommandError(Exit.BUSY, "off --purge", text) from error
    finally:
        os.close(descriptor)


def _empty(root: Path) -> None:
    """Remove what lies in the state folder, and the folder too unless it is a mount point."""
    for entry in root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    with suppress(OSError):
        root.rmdir()


def _tell_purge(say: Say, removed: tuple[str, ...]) -> None:
    if say.is_json:
        say.value({"purged": True, "interfaces": list(removed)})
        return
    where = f"removed from {', '.join(removed)}" if removed else "there was nothing in the kernel"
    say.line(f"Nothing of spillway is left on this node ({where}).")


def _tell_off(say: Say, switched: tuple[str, ...], store: Store) -> None:
    if say.is_json:
        say.value({"enforcement": "Off", "interfaces": list(switched), "file": str(store.root / "off")})
        return
    where = f" (switched now: {', '.join(switched)})" if switched else " (it dropped nothing before)"
    say.line(f"Nothing is dropped at this node{where}, also after a reboot, until `spillway on`.")
