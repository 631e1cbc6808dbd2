"""A first file system for a guest: busybox, modules in the order of their loading, and `init.sh`. Bytes only, no I/O but reads.

Source: Documentation/driver-api/early-userspace/buffer-format.rst, format "newc".
"""

from __future__ import annotations

import lzma
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

MAGIC = b"070701"
CONSOLE = (5, 1)  # the kernel opens /dev/console before init runs, or init has no output


def archive(files: Mapping[str, bytes]) -> bytes:
    """Pack files, all executable, with their folders and /dev/console. Keys are paths without a leading slash."""
    folders = sorted({str(parent) for name in [*files, "dev/console"] for parent in Path(name).parents} - {"."})
    entries = [entry(folder, stat.S_IFDIR | 0o755) for folder in folders]
    entries.append(entry("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE))
    entries += [entry(name, stat.S_IFREG | 0o755, data) for name, data in sorted(files.items())]
    return b"".join([*entries, entry("TRAILER!!!", 0)])


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One member: thirteen hexadecimal numbers, the name, the data, each part filled up to four bytes."""
    path = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = MAGIC + b"".join(b"%08X" % number for number in numbers) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def modules(ordered: Iterable[Path]) -> dict[str, bytes]:
    """Unpack modules under names that sort as they have to be loaded; busybox cannot read a compressed one."""
    return {
        f"modules/{at:02}-{path.name.removesuffix('.xz')}": lzma.decompress(path.read_bytes()) for at, path in enumerate(ordered)
    }
