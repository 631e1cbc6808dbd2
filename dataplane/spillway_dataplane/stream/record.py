"""What a ring's own file remembers of it, so that a restarted node knows the ring again that a running application brings back.

The file lies in the ring's directory, which applications see read-only; it is worth nothing after a boot.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spillway_dataplane.kernel.memfd import memory_inode
from spillway_dataplane.kernel.xsk import RingShape, socket_cookie
from spillway_dataplane.stream.model import RingCounters

RECORD = ".ring.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class RingRecord:
    """A ring that was opened since boot. cookie: the socket's own number; umem_inode: the memory's. note: RingStatus.bind_note.

    before: what earlier holders counted; seen: what the present one had counted when this was written.
    """

    boot_id: str
    ifindex: int
    cookie: int
    umem_inode: int
    shape: RingShape
    note: str = ""
    before: RingCounters = field(default_factory=RingCounters)
    seen: RingCounters = field(default_factory=RingCounters)

    def is_of(self, xsk_fd: int, umem_fd: int) -> bool:
        """Whether descriptors are of this ring. Known again by numbers that the kernel gave and nobody else's can have."""
        known = socket_cookie(xsk_fd), memory_inode(umem_fd, self.shape.umem_bytes)
        return known == (self.cookie, self.umem_inode)


def boot_id() -> str:
    """Return what tells this boot from every other."""
    return BOOT_ID.read_text().strip()


def write_record(directory: Path, record: RingRecord) -> None:
    """Write whole or not at all; only the owner may read. Raises OSError."""
    beside = directory / f"{RECORD}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(record), file)
    beside.rename(directory / RECORD)


def read_record(directory: Path) -> RingRecord | None:
    """Return what was written since boot; None for nothing, another boot's, or what is damaged."""
    try:
        raw = json.loads((directory / RECORD).read_text())
        counters = {name: RingCounters(**raw.pop(name)) for name in ("before", "seen")}
        record = RingRecord(**{**raw, **counters, "shape": RingShape(**raw["shape"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if record.boot_id == boot_id() else None


def remove_record(directory: Path) -> None:
    """Forget the ring."""
    with suppress(OSError):
        (directory / RECORD).unlink()
