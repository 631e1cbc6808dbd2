"""How a ring gets into its container: one CDI file a claim. Source: the Container Device Interface specification, 0.6.0.

Each container that names the claim gets two read-only mounts of the ring's directory and their environment variables: by the
request's name, which is enough for a pod with one ring, and by `<claim>.<request>`, for a pod with two claims whose requests
have one name. The dot keeps them apart: it is in no request's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spillway_dataplane.dra.claims import ClaimRecord, RingRecord
from spillway_dataplane.dra.names import QUEUE_DRIVER

VERSION = "0.6.0"
VENDOR, CLASS = "spillway.dev", "tx-queue"
KIND = f"{VENDOR}/{CLASS}"
INSIDE = "/run/spillway"
SOCKET = "ring.sock"
VARIABLE = "SPILLWAY_RING"
OPTIONS = ("ro", "nosuid", "nodev", "noexec", "bind")
PREFIX, SUFFIX = f"{QUEUE_DRIVER}-", ".json"


def device_id(record: ClaimRecord, ring: RingRecord) -> str:
    """Return the qualified name by which kubelet tells containerd of the ring."""
    return f"{KIND}={_device(record, ring)}"


def file_name(uid: str) -> str:
    """Return the name of a claim's file."""
    return f"{PREFIX}{uid}{SUFFIX}"


def uid_of(name: str) -> str | None:
    """Return whose file this is, None for a file that is not ours."""
    return name.removeprefix(PREFIX).removesuffix(SUFFIX) if name.startswith(PREFIX) and name.endswith(SUFFIX) else None


def encode_cdi(record: ClaimRecord, directory: Path) -> dict[str, Any]:
    """The file of one claim. directory: the claim's, on the host."""
    return {
        "cdiVersion": VERSION,
        "kind": KIND,
        "devices": [
            {"name": _device(record, ring), "containerEdits": _edits(record, ring, directory / ring.mount)}
            for ring in record.rings
        ],
    }


def _device(record: ClaimRecord, ring: RingRecord) -> str:
    return f"{record.ref.uid}-{ring.mount}"


def _edits(record: ClaimRecord, ring: RingRecord, directory: Path) -> dict[str, Any]:
    names = (ring.mount, f"{record.alias}.{ring.mount}")
    return {
        "env": list(_environment(names)),
        "mounts": [{"hostPath": str(directory), "containerPath": f"{INSIDE}/{name}", "options": list(OPTIONS)} for name in names],
    }


def _environment(names: tuple[str, ...]) -> Iterator[str]:
    yield f"{VARIABLE}={INSIDE}/{names[0]}/{SOCKET}"
    for name in names:
        word = name.upper().replace("-", "_").replace(".", "_")
        yield f"{VARIABLE}_{word}={INSIDE}/{name}/{SOCKET}"
