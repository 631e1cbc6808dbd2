"""Where our objects lie in the BPF filesystem, and how one set of them takes the place of another.

<root>/<interface>/link            the XDP link
<root>/<interface>/link_next       a new link, until it is renamed over `link`
<root>/<interface>/counters, ...   maps that outlive a program
<root>/<interface>/gen<N>-<mode>/  one generation: its program, its program array, and maps whose shape is new with it
<root>/%6eode/...                  an interface that is called `node`
<root>/node/...                    maps that all interfaces share

The law: the kernel says which generation is current, by the id of the program that the link runs. A generation is built aside and
comes into force with the link's own atomic update; no file says so a second time, so a crash at any step leaves nothing to guess.
"""

from __future__ import annotations

import ctypes as ct
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spillway_crds.errors import NotSupported
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.barrier import wait_for_running_programs
from spillway_dataplane.kernel.libbpf import link_detach, link_info, obj_get, obj_pin, prog_info
from spillway_dataplane.kernel.objects import Fd, LinkInfo, ProgInfo

BPF_FS_MAGIC = 0xCAFE4A11  # include/uapi/linux/magic.h
NODE = "node"
LINK, LINK_NEXT, PROGRAM = "link", "link_next", "prog"
_GENERATION = re.compile(r"gen(\d+)-(native|generic)")
_MODES = {"native": XdpMode.NATIVE, "generic": XdpMode.GENERIC}


def encode_name(ifname: str) -> str:
    """An interface's name as a directory's: a BPF filesystem refuses dots, and one name is taken. Inverse: `decode_name`."""
    encoded = ifname.replace("%", "%25").replace(".", "%2e")
    return "%6eode" if encoded == NODE else encoded


def decode_name(directory: str) -> str:
    """Return the interface's name that `encode_name` made a directory's name from."""
    return re.sub(r"%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), directory)


@dataclass(frozen=True, slots=True)
class Generation:
    """One program with all that it alone uses."""

    path: Path
    number: int
    mode: XdpMode

    def program(self) -> Fd:
        """Open the program that packets enter first."""
        return obj_get(self.path / PROGRAM)

    def program_info(self) -> ProgInfo | None:
        """Identify that program; None when the generation was never finished."""
        with missing_is_none(), self.program() as program:
            return prog_info(program)
        return None


@dataclass(frozen=True, slots=True)
class InterfacePins:
    """The directory of one interface. Reading never changes anything."""

    path: Path

    def link(self) -> LinkInfo | None:
        """Our link: the one that is attached, else one that is pinned, else None."""
        found = [info for name in (LINK_NEXT, LINK) if (info := self._link(name))]
        return next((info for info in found if info.ifindex), found[-1] if found else None)

    def _link(self, name: str) -> LinkInfo | None:
        with missing_is_none(), obj_get(self.path / name) as link:
            return link_info(link)
        return None

    def generations(self) -> tuple[Generation, ...]:
        """All generations, oldest first."""
        found = [(entry, match) for entry in entries(self.path) if (match := _GENERATION.fullmatch(entry.name))]
        made = (Generation(entry, int(match[1]), _MODES[match[2]]) for entry, match in found)
        return tuple(sorted(made, key=lambda each: each.number))

    def current(self, program_id: int) -> Generation | None:
        """Return the generation whose program has that id, or None."""
        for generation in self.generations():
            info = generation.program_info()
            if info is not None and info.id == program_id:
                return generation
        return None

    def new_generation(self, mode: XdpMode) -> Generation:
        """Make an empty directory for the next generation. mode: Native or Generic."""
        number = max((each.number for each in self.generations()), default=0) + 1
        path = self.path / f"gen{number}-{mode.value.lower()}"
        path.mkdir()
        return Generation(path, number, mode)

    def heal(self) -> None:
        """Finish or take back what a crash left half done: one link, one generation. Only with the lock held."""
        self._settle_link()
        link = self.link()
        current = self.current(link.prog_id) if link else None
        if link and current is None:
            return  # somebody took our pins away under a running program: not ours to guess
        stale = [each for each in self.generations() if each != current]
        if stale and current:
            wait_for_running_programs()  # before their program arrays are emptied
        for generation in stale:
            remove_tree(generation.path)
        if current:
            self.promote(current)

    def _settle_link(self) -> None:
        waiting = self._link(LINK_NEXT)
        if waiting and waiting.ifindex:
            (self.path / LINK_NEXT).rename(self.path / LINK)
        elif waiting:
            (self.path / LINK_NEXT).unlink()

    def promote(self, generation: Generation) -> None:
        """Give maps that came with a generation their lasting place; what lay there belongs to a program that is gone."""
        for name in PINNED_MAPS:
            with suppress(FileNotFoundError):
                (generation.path / name).rename(self.path / name)

    def commit_link(self, link: Fd) -> None:
        """Pin a new, attached link in the place of one that is detached or absent."""
        with suppress(FileNotFoundError):
            (self.path / LINK_NEXT).unlink()
        obj_pin(link, self.path / LINK_NEXT)
        (self.path / LINK_NEXT).rename(self.path / LINK)

    def remove(self) -> None:
        """Detach our link at once (taking the pin away does it only some time later), then forget everything here."""
        for name in (LINK_NEXT, LINK):
            with missing_is_none():
                with obj_get(self.path / name) as link:
                    detach(link)
                (self.path / name).unlink()
        remove_tree(self.path)


PINNED_MAPS = ("counters", "switches", "stats", "ceilings")  # of an interface; they outlive a program
NODE_MAPS = ("peer_gate", "peer_hosts", "peer_prefixes")  # of the node, in the order of writing; every program reads the same


def detach(link: Fd) -> None:
    """Detach a link; one that is detached already stays so."""
    try:
        link_detach(link)
    except OSError as error:
        if error.errno != errno.ENOLINK:
            raise


@contextmanager
def missing_is_none() -> Iterator[None]:
    """Leave the block when a pin is not there, or no longer."""
    with suppress(FileNotFoundError):
        yield


def entries(path: Path) -> list[Path]:
    """What lies in a directory, in name order; nothing when there is no such directory."""
    with missing_is_none():
        return sorted(path.iterdir())
    return []


def remove_tree(path: Path) -> None:
    """Remove a directory of pins and all below it; one that is gone already is no error."""
    for entry in entries(path):
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink(missing_ok=True)
    with missing_is_none():
        path.rmdir()


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Let one caller at a time change what lies below `root`: two agents, or an agent and a command line, share a node."""
    directory = _lock(root)
    try:
        yield
    finally:
        os.close(directory)


def _lock(root: Path) -> int:
    require_bpffs(root)
    while True:
        root.mkdir(parents=True, exist_ok=True)
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(directory, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(directory), root.stat()):
                return directory
        os.close(directory)  # while we waited, somebody purged the directory that we opened


def require_bpffs(root: Path) -> None:
    """Raise NotSupported unless `root` lies, or would lie, in a BPF filesystem: pins elsewhere fail with a misleading EPERM."""
    present = next(each for each in (root, *root.parents) if each.exists())
    status = ct.create_string_buffer(256)  # struct statfs begins with f_type, a long
    ct.CDLL(None).statfs(os.fsencode(present), status)
    if ct.c_long.from_buffer(status).value & 0xFFFFFFFF != BPF_FS_MAGIC:
        detail = f"{present} is in no BPF filesystem; mount one: mount -t bpf bpf {present}"
        raise NotSupported(subject=str(root), detail=detail)
