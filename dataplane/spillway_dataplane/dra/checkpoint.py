"""What must survive a power cut of each prepared claim: a file a claim, written aside, synced and renamed.

And what belongs to a claim on this node besides: its directory, which its containers mount, and its CDI file.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spillway_crds.errors import InvalidIntent
from spillway_crds.streams_wire import decode_parameters, encode_parameters
from spillway_dataplane.dra.cdi import encode_cdi, file_name, uid_of
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef, RingRecord
from spillway_dataplane.dra.surroundings import Surroundings
from spillway_dataplane.kept.store import Store

LOG = logging.getLogger(__name__)
SUFFIX = ".json"
DIRECTORY_MODE = 0o755  # an application of any uid reaches its socket; kubelet's own directory above keeps everybody else out


class Checkpoints:
    """claims: our directory for claims. cdi: where containerd looks for CDI files. look: what is near a ring's card."""

    def __init__(self, claims: Path, cdi: Path, look: Callable[[RingRecord], Surroundings]) -> None:
        self._claims, self._cdi, self._look = Store(claims), Store(cdi), look

    def prepare(self) -> None:
        """Make the directories."""
        for store in (self._claims, self._cdi):
            store.root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)

    def make_directory(self, record: ClaimRecord, ring: RingRecord) -> Path:
        """Make and return the directory of one ring. Its inode stays: running containers have it mounted."""
        made = self._claims.root / record.ref.uid / ring.mount
        for each in (made.parent, made):
            each.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            each.chmod(DIRECTORY_MODE)
        return made

    def write(self, record: ClaimRecord) -> None:
        """Write down a claim whose rings are open, CDI file first. Raises OSError when the disk takes no more."""
        self.write_cdi(record)
        self._claims.write_json(f"{record.ref.uid}{SUFFIX}", encode_record(record))

    def write_cdi(self, record: ClaimRecord) -> None:
        """Write the CDI file alone: /run is empty after a boot."""
        directory = self._claims.root / record.ref.uid
        self._cdi.write_json(file_name(record.ref.uid), encode_cdi(record, directory, self._look), durable=False)

    def remove(self, uid: str) -> None:
        """Forget a claim; what is not there is no error."""
        self._cdi.remove([file_name(uid)])
        shutil.rmtree(self._claims.root / uid, ignore_errors=True)
        self._claims.remove([f"{uid}{SUFFIX}"])

    def read_all(self) -> tuple[ClaimRecord, ...]:
        """Return every claim that was prepared, and remove what belongs to none: a crash may have left it.

        A checkpoint that cannot be read, as a newer version's, is left alone: its pod may run, and kubelet will unprepare it.
        """
        for stray in self._present() - self._written():
            LOG.info("removing what is left of claim %s, which was never prepared to the end", stray)
            self.remove(stray)
        return tuple(self._records())

    def _records(self) -> Iterator[ClaimRecord]:
        for path in sorted(self._claims.root.glob(f"[!.]*{SUFFIX}")):
            raw = self._claims.read_json(path.name)
            try:
                if raw is not None:
                    yield decode_record(raw)
            except (InvalidIntent, KeyError, TypeError, ValueError) as error:
                LOG.error("%s cannot be read, its ring is not served: %s", path, error)

    def _present(self) -> set[str]:
        directories = {each.name for each in self._claims.root.iterdir() if each.is_dir()}
        cdi = {uid for each in self._cdi.root.iterdir() if (uid := uid_of(each.name)) is not None}
        return directories | cdi

    def _written(self) -> set[str]:
        return {each.name.removesuffix(SUFFIX) for each in self._claims.root.glob(f"[!.]*{SUFFIX}")}


def encode_record(record: ClaimRecord) -> dict[str, Any]:
    """A claim as its checkpoint has it."""
    return {
        "namespace": record.ref.namespace,
        "name": record.ref.name,
        "uid": record.ref.uid,
        "alias": record.alias,
        "connected": record.connected,
        "rings": [_encode_ring(each) for each in record.rings],
    }


def _encode_ring(ring: RingRecord) -> dict[str, Any]:
    return {
        "request": ring.request,
        "mount": ring.mount,
        "pool": ring.pool,
        "device": ring.device,
        "interface": ring.interface,
        "queue": ring.queue,
        "parameters": encode_parameters(ring.parameters),
    }


def decode_record(raw: Mapping[str, Any]) -> ClaimRecord:
    """Inverse of encode_record. Raises KeyError, TypeError or InvalidIntent for what is no checkpoint of ours."""
    ref = ClaimRef(raw["namespace"], raw["name"], raw["uid"])
    return ClaimRecord(ref, raw["alias"], tuple(_decode_ring(each) for each in raw["rings"]), bool(raw["connected"]))


def _decode_ring(raw: Mapping[str, Any]) -> RingRecord:
    fields = {key: raw[key] for key in ("request", "mount", "pool", "device", "interface")}
    return RingRecord(**fields, queue=int(raw["queue"]), parameters=decode_parameters(raw["parameters"]))
