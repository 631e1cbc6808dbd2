"""Hand-made artifacts of a few instructions, with the real maps: enough to see who runs."""

from __future__ import annotations

import struct

from spillway_dataplane.kernel.artifact import MAPS, Artifact, MapSpec

PASS, DROP = 2, 1
COUNTERS, SWITCHES, CHUNKS = 0, 1, 7  # places in MAPS


def instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """struct bpf_insn: registers holds the destination in its low and the source in its high four bits."""
    return struct.pack("<BBhi", code, registers, offset, immediate)


EXIT = instruction(0x95)


def verdict(number: int) -> bytes:
    """r0 = number; exit."""
    return instruction(0xB7, 0, 0, number) + EXIT


def map_address(register: int, index: int) -> bytes:
    """A ld_imm64 that names the map of that index (src_reg BPF_PSEUDO_MAP_FD)."""
    return instruction(0x18, register | 0x10, 0, index) + instruction(0)


def count_into(slot: int) -> bytes:
    """counters[slot].matched_packets += 1, as a lookup and an atomic add."""
    return (
        instruction(0x62, 0x0A, -4, slot)  # *(u32 *)(r10 - 4) = slot
        + instruction(0xBF, 0xA2)  # r2 = r10
        + instruction(0x07, 0x02, 0, -4)  # r2 += -4
        + map_address(1, COUNTERS)
        + instruction(0x85, 0, 0, 1)  # call map_lookup_elem
        + instruction(0x15, 0x00, 2, 0)  # if r0 == 0 skip two
        + instruction(0xB7, 0x01, 0, 1)  # r1 = 1
        + instruction(0xDB, 0x10, 0, 0)  # lock *(u64 *)(r0 + 0) += r1
    )


def call_chunk(index: int) -> bytes:
    """bpf_tail_call(ctx, chunks, index); the context has to be in r6. Falls through when there is no such program."""
    return instruction(0xBF, 0x61) + map_address(2, CHUNKS) + instruction(0xB7, 0x03, 0, index) + instruction(0x85, 0, 0, 12)


def artifact(digest: str = "0" * 11, *, number: int = PASS, slot: int = 0, maps: tuple[MapSpec, ...] = MAPS) -> Artifact:
    """A program that counts each packet in a slot and returns `number`."""
    return Artifact(digest, maps, {"main": count_into(slot) + verdict(number)}, "main")


def chained(digest: str, *, number: int = DROP, slot: int = 0) -> Artifact:
    """A program that counts, then jumps to a second one for its verdict; a packet that does not find it passes."""
    main = instruction(0xBF, 0x16) + count_into(slot) + call_chunk(0) + verdict(PASS)
    return Artifact(digest, MAPS, {"main": main, "tail": verdict(number)}, "main")


def refused(digest: str = "f" * 11) -> Artifact:
    """A program that the verifier does not load: it returns what it never set."""
    return Artifact(digest, MAPS, {"main": EXIT}, "main")
