"""Verified bytecode as a value that can lie on disk: programs, and the maps that they name by number.

A ld_imm64 with src_reg BPF_PSEUDO_MAP_FD or BPF_PSEUDO_MAP_VALUE carries an index into `maps` where the kernel wants a
descriptor; `repoint` puts the descriptors in. Nothing here calls the kernel.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

from spillway_dataplane.filter.headers import SCRATCH_BYTES
from spillway_dataplane.filter.program import COUNTER_SLOTS, MODE_SLOTS

NO_PREALLOC = 1  # BPF_F_NO_PREALLOC
MAX_CHUNKS = 33  # MAX_TAIL_CALL_CNT
MAGIC = b"SPWART01"
_INSTRUCTION_BYTES = 8
_LD_IMM64 = 0x18
_PSEUDO_MAPS = (1, 2)  # BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE


class MapKind(IntEnum):
    """enum bpf_map_type of include/uapi/linux/bpf.h, as far as we use it."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERCPU_ARRAY = 6
    LPM_TRIE = 11


@dataclass(frozen=True, slots=True)
class MapSpec:
    """What bpf(BPF_MAP_CREATE) needs. value_bytes: of one CPU's value."""

    name: str
    kind: MapKind
    key_bytes: int
    value_bytes: int
    max_entries: int
    flags: int = 0


FLOW_SLOTS = 62
GATE_BITS = 1 << 14
GATE_FACTOR = 0x9E3779B97F4A7C15  # 2^64 / golden ratio
V4_MAPPED = bytes(10) + b"\xff\xff"
MAPS = (  # in the order of the numbers in bpf/maps.h
    MapSpec("counters", MapKind.PERCPU_ARRAY, 4, 48, COUNTER_SLOTS),  # Counts
    MapSpec("switches", MapKind.ARRAY, 4, 4 + 4 * MODE_SLOTS, 1),  # enforcement, then the modes
    MapSpec("stats", MapKind.PERCPU_ARRAY, 4, 8, 2 + FLOW_SLOTS),  # malformed, unparsed, then the failsafe flows
    MapSpec("ceilings", MapKind.ARRAY, 4, 16, FLOW_SLOTS),  # start of the window in ns, packets in it
    MapSpec("peer_hosts", MapKind.HASH, 16, 4, 32_768, NO_PREALLOC),  # address, IPv4 as ::ffff:a.b.c.d; value: bits of Peers
    MapSpec("peer_prefixes", MapKind.LPM_TRIE, 20, 4, 4_096, NO_PREALLOC),  # prefix length as u32, then as above
    MapSpec("scratch", MapKind.PERCPU_ARRAY, 4, SCRATCH_BYTES, 1),
    MapSpec("chunks", MapKind.PROG_ARRAY, 4, 4, MAX_CHUNKS),
    MapSpec("peer_gate", MapKind.ARRAY, 4, GATE_BITS // 8, 1),  # a bit for each host of peer_hosts, by `gate_bit`
)


def gate_bit(address: bytes) -> int:
    """Return the bit of peer_gate that stands for an address of 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.

    The same arithmetic as in bpf/peers.h: most addresses of a flood meet a zero there, and are spared the hash table.
    """
    high, low = int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")
    key = low & 0xFFFFFFFF if address.startswith(V4_MAPPED) else high ^ low
    return (key * GATE_FACTOR & 0xFFFFFFFFFFFFFFFF) >> 64 - GATE_BITS.bit_length() + 1


class CorruptArtifact(ValueError):
    """The bytes are not a whole artifact: cut short, changed, or of another format. Compile again."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The programs of one interface.

    digest: 11 hex digits of the source (`filter.generate.digest`). maps: in the order of the indexes in the bytecode.
    programs: bytecode by name; all but `main` are reached by tail call, in the order of their index in the map `chunks`.
    """

    digest: str
    maps: tuple[MapSpec, ...]
    programs: Mapping[str, bytes]
    main: str

    @property
    def chunks(self) -> tuple[str, ...]:
        """Names of the programs that go into the program array, by index."""
        return tuple(name for name in self.programs if name != self.main)

    @property
    def instructions(self) -> int:
        """How many instructions all programs have together."""
        return sum(len(code) for code in self.programs.values()) // _INSTRUCTION_BYTES

    def to_bytes(self) -> bytes:
        """Return the form that lies on disk: magic, SHA-256 of the rest, length and JSON of the head, then the bytecode."""
        head = {
            "digest": self.digest,
            "main": self.main,
            "maps": [asdict(each) for each in self.maps],
            "programs": [[name, len(code)] for name, code in self.programs.items()],
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        body = struct.pack("<I", len(text)) + text + b"".join(self.programs.values())
        return MAGIC + hashlib.sha256(body).digest() + body

    @staticmethod
    def from_bytes(raw: bytes) -> Artifact:
        """Read what `to_bytes` wrote. Raises CorruptArtifact if one byte is missing or differs."""
        checksum, body = raw[len(MAGIC) : len(MAGIC) + 32], raw[len(MAGIC) + 32 :]
        if not raw.startswith(MAGIC) or hashlib.sha256(body).digest() != checksum:
            raise CorruptArtifact("not an artifact of this format, or damaged")
        (head_bytes,) = struct.unpack_from("<I", body)
        head = json.loads(body[4 : 4 + head_bytes])
        programs, offset = {}, 4 + head_bytes
        for name, size in head["programs"]:
            programs[name] = body[offset : offset + size]
            offset += size
        maps = tuple(MapSpec(**{**each, "kind": MapKind(each["kind"])}) for each in head["maps"])
        return Artifact(head["digest"], maps, programs, head["main"])


def repoint(code: bytes, descriptors: Sequence[int]) -> bytes:
    """Put open map descriptors, by map index, where the bytecode names maps. Raises IndexError for an index without one."""
    pointed = bytearray(code)
    for offset in range(0, len(code), _INSTRUCTION_BYTES):
        if code[offset] == _LD_IMM64 and code[offset + 1] >> 4 in _PSEUDO_MAPS:
            (index,) = struct.unpack_from("<i", code, offset + 4)
            struct.pack_into("<i", pointed, offset + 4, descriptors[index])
    return bytes(pointed)
