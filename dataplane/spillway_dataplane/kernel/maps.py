"""Maps: made, opened, read and written by shape. What their values mean is said in bpf/*.h and filter/program.py.

A per-CPU value is read as the sum over all possible CPUs. An index or a key is in host byte order, an address in network order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from spillway_crds.failsafe import PeerEntry
from spillway_crds.filters import Prefix
from spillway_dataplane.filter.program import Counts, Switches
from spillway_dataplane.kernel.artifact import GATE_BITS, V4_MAPPED, MapKind, MapSpec, gate_bit
from spillway_dataplane.kernel.libbpf import (
    PERCPU_MAPS,
    map_create,
    map_delete,
    map_info,
    map_keys,
    map_lookup,
    map_update,
    obj_get,
    obj_pin,
    possible_cpus,
)
from spillway_dataplane.kernel.objects import Fd, MapInfo

_COUNTS = 6  # u64 in a counter slot
_V4_HOSTS = IPv6Network("::ffff:0:0/96")
_ARRAYS = (MapKind.ARRAY, MapKind.PERCPU_ARRAY)


def create(spec: MapSpec) -> Fd:
    """Make an empty map of that shape; an array is all zeros."""
    return map_create(
        spec.kind,
        spec.name,
        key_size=spec.key_bytes,
        value_size=spec.value_bytes,
        max_entries=spec.max_entries,
        flags=spec.flags,
    )


def has_shape(found: Fd, spec: MapSpec) -> bool:
    """Whether a program that was made for `spec` can use this map."""
    info = map_info(found)
    shape = (info.type, info.key_size, info.value_size, info.max_entries, info.flags)
    return shape == (spec.kind, spec.key_bytes, spec.value_bytes, spec.max_entries, spec.flags)


def open_or_pin(spec: MapSpec, path: Path) -> tuple[Fd, bool]:
    """Open the pinned map, whatever its shape, or make and pin it. Returns it and whether it is new."""
    with suppress(FileNotFoundError):
        return obj_get(path), False
    with ExitStack() as on_failure:
        made = on_failure.enter_context(create(spec))
        obj_pin(made, path)
        on_failure.pop_all()
        return made, True


def ensure(spec: MapSpec, path: Path) -> bool:
    """Make and pin a map where none is pinned; True if it is new."""
    found, is_new = open_or_pin(spec, path)
    found.close()
    return is_new


def value_stride(info: MapInfo) -> int:
    """Bytes from one CPU's value to the next in what a lookup gives."""
    return -(-info.value_size // 8) * 8 if info.type in PERCPU_MAPS else info.value_size


def value_bytes(info: MapInfo) -> int:
    """Bytes of a whole lookup."""
    return value_stride(info) * (possible_cpus() if info.type in PERCPU_MAPS else 1)


def carry_over(old: Fd, new: Fd) -> None:
    """Fill a new map with the beginning of each value of an older one: fields are only ever added at the end.

    Arrays of the same kind, index by index, and maps with equal keys, entry by entry; others start empty.
    """
    was, now = map_info(old), map_info(new)
    if was.type != now.type or was.key_size != now.key_size:
        return
    for key in list(map_keys(old, was.key_size)):
        if now.type in _ARRAYS and struct.unpack("=I", key)[0] >= now.max_entries:
            return
        value = map_lookup(old, key, value_bytes(was))
        if value is not None:
            map_update(new, key, reshape(value, was, now))


def reshape(value: bytes, was: MapInfo, now: MapInfo) -> bytes:
    """Cut or zero-fill each CPU's value to another size."""
    cut, stride = min(was.value_size, now.value_size), value_stride(now)
    starts = range(0, len(value), value_stride(was))
    return b"".join(value[start : start + cut].ljust(stride, b"\0") for start in starts)


def sum_cpus(raw: bytes, stride: int, fields: int) -> tuple[int, ...]:
    """Add up the first `fields` u64 of every CPU's value."""
    words = struct.unpack(f"={len(raw) // 8}Q", raw)
    return tuple(sum(words[field :: stride // 8]) for field in range(fields))


def read_counts(counters: Fd, slots: Iterable[int]) -> Mapping[int, Counts]:
    """Read counter slots; one that the map does not have reads as zero."""
    info = map_info(counters)
    found: dict[int, Counts] = {}
    for slot in slots:
        raw = map_lookup(counters, struct.pack("=I", slot), value_bytes(info))
        found[slot] = _counts(sum_cpus(raw, value_stride(info), _COUNTS)) if raw else Counts()
    return found


def _counts(words: tuple[int, ...]) -> Counts:
    """Matched are those that passed and those that were dropped: struct counter of bpf/maps.h has a dropped packet once."""
    passed_packets, passed_bytes, dropped_packets, dropped_bytes, *others = words
    return Counts(passed_packets + dropped_packets, passed_bytes + dropped_bytes, dropped_packets, dropped_bytes, *others)


def clear_counts(counters: Fd, slots: Iterable[int]) -> None:
    """Set counter slots to zero on every CPU. Only for slots that no running program counts in."""
    nothing = bytes(value_bytes(map_info(counters)))
    for slot in slots:
        map_update(counters, struct.pack("=I", slot), nothing)


def read_numbers(stats: Fd) -> tuple[int, ...]:
    """Read every entry of an array of u64."""
    info = map_info(stats)
    raws = (map_lookup(stats, struct.pack("=I", index), value_bytes(info)) for index in range(info.max_entries))
    return tuple(sum_cpus(raw, value_stride(info), 1)[0] if raw else 0 for raw in raws)


def encode_switches(switches: Switches, size: int) -> bytes:
    """Return struct switches of bpf/maps.h, `size` bytes long. Raises ValueError for more modes than it has."""
    words = (int(switches.enforcement), *switches.modes)
    if len(words) * 4 > size:
        raise ValueError(f"{len(switches.modes)} modes, the map has {size // 4 - 1}")
    return struct.pack(f"={len(words)}I", *words).ljust(size, b"\0")


def decode_switches(raw: bytes) -> Switches:
    """Read what `encode_switches` wrote, with every mode that the map has."""
    enforcement, *modes = struct.unpack(f"={len(raw) // 4}I", raw)
    return Switches(bool(enforcement), tuple(modes))


def peer_address(prefix: Prefix) -> bytes:
    """Return 16 bytes in network order; IPv4 as ::ffff:a.b.c.d."""
    packed = prefix.network_address.packed
    return V4_MAPPED + packed if isinstance(prefix, IPv4Network) else packed


def peer_entries(peers: Iterable[PeerEntry]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Return the wanted entries of peer_hosts and of peer_prefixes: whole addresses are found by one hash, the rest by a trie.

    The IPv4 hosts lie in the middle of the IPv6 ones: an IPv6 prefix around them ends at an entry that is nobody, and what
    lies among them as IPv6 is left out, for no such packet has peers (bpf/peers.h).
    """
    hosts: dict[bytes, bytes] = {}
    prefixes: dict[bytes, bytes] = {}
    for entry in peers:
        if isinstance(entry.prefix, IPv6Network) and entry.prefix.overlaps(_V4_HOSTS):
            prefixes.setdefault(struct.pack("=I", 96) + V4_MAPPED + bytes(4), struct.pack("=I", 0))
            if entry.prefix.prefixlen >= _V4_HOSTS.prefixlen:
                continue
        address, bits = peer_address(entry.prefix), struct.pack("=I", entry.peers)
        length = entry.prefix.prefixlen + 128 - entry.prefix.max_prefixlen
        if length == 128:
            hosts[address] = bits
        else:
            prefixes[struct.pack("=I", length) + address] = bits
    return hosts, prefixes


def peer_gate(hosts: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the one value of peer_gate for these keys of peer_hosts. Written before them, it never hides one that stays."""
    bits = bytearray(GATE_BITS // 8)
    for address in hosts:
        number = gate_bit(address)
        bits[number // 8] |= 1 << number % 8
    return {bytes(4): bytes(bits)}


def write_entries(target: Fd, wanted: Mapping[bytes, bytes]) -> None:
    """Make a map hold exactly `wanted`. Adds and changes before it deletes, so nobody who stays is ever missing."""
    info = map_info(target)
    for key, value in wanted.items():
        if map_lookup(target, key, value_bytes(info)) != value:
            map_update(target, key, value)
    for key in [key for key in map_keys(target, info.key_size) if key not in wanted]:
        map_delete(target, key)
