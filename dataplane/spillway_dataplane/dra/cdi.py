"""How a ring gets into its container: one CDI file a claim. Source: the Container Device Interface specification, 0.6.0.

Each container that names the claim gets two read-only mounts of the ring's directory and their environment variables: by the
request's name, which is enough for a pod with one ring, and by `<claim>.<request>`, for a pod with two claims whose requests
have one name. The dot keeps them apart: it is in no request's name.

A claim that asks for a PTP clock gets its device file, to be read and no more: the file says so, its owner is root, who alone
could change that, and so does the container's device cgroup, which holds for root too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spillway_dataplane.dra.claims import ClaimRecord, RingRecord
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.surroundings import PtpClock, Surroundings, write_cpus

VERSION = "0.6.0"
VENDOR, CLASS = "spillway.dev", "tx-queue"
KIND = f"{VENDOR}/{CLASS}"
INSIDE = "/run/spillway"
SOCKET = "ring.sock"
VARIABLE, PTP_VARIABLE = "SPILLWAY_RING", "SPILLWAY_PTP"
NUMA_VARIABLE, INTERRUPTS_VARIABLE = "SPILLWAY_NUMA_CPUS", "SPILLWAY_INTERRUPT_CPUS"
READ_ONLY_MODE = 0o444
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


def encode_cdi(record: ClaimRecord, directory: Path, look: Callable[[RingRecord], Surroundings]) -> dict[str, Any]:
    """The file of one claim. directory: the claim's, on the host. look: what is near each ring's card."""
    return {
        "cdiVersion": VERSION,
        "kind": KIND,
        "devices": [
            {"name": _device(record, ring), "containerEdits": _edits(record, ring, directory / ring.mount, look(ring))}
            for ring in record.rings
        ],
    }


def _device(record: ClaimRecord, ring: RingRecord) -> str:
    return f"{record.ref.uid}-{ring.mount}"


def _edits(record: ClaimRecord, ring: RingRecord, directory: Path, near: Surroundings) -> dict[str, Any]:
    names = (ring.mount, f"{record.alias}.{ring.mount}")
    return {
        "env": [*_environment(names), *_advice(near), *_ptp_environment(names, near)],
        "mounts": [{"hostPath": str(directory), "containerPath": f"{INSIDE}/{name}", "options": list(OPTIONS)} for name in names],
        **({"deviceNodes": [_ptp_node(near.ptp)]} if near.ptp else {}),
    }


def _ptp_node(clock: PtpClock) -> dict[str, Any]:
    number = {"major": clock.major, "minor": clock.minor}
    return {"path": clock.path, "type": "c", **number, "permissions": "r", "fileMode": READ_ONLY_MODE, "uid": 0, "gid": 0}


def _environment(names: tuple[str, ...]) -> Iterator[str]:
    yield f"{VARIABLE}={INSIDE}/{names[0]}/{SOCKET}"
    for name in names:
        yield f"{VARIABLE}_{_word(name)}={INSIDE}/{name}/{SOCKET}"


def _ptp_environment(names: tuple[str, ...], near: Surroundings) -> Iterator[str]:
    if near.ptp is not None:
        yield f"{PTP_VARIABLE}={near.ptp.path}"
        for name in names:
            yield f"{PTP_VARIABLE}_{_word(name)}={near.ptp.path}"


def _advice(near: Surroundings) -> Iterator[str]:
    for variable, cpus in ((NUMA_VARIABLE, near.numa_cpus), (INTERRUPTS_VARIABLE, near.interrupt_cpus)):
        if cpus:
            yield f"{variable}={write_cpus(cpus)}"


def _word(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")
