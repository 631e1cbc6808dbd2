"""Artifacts: what lies on disk is what was compiled, or is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_dataplane.kernel.artifact import MAPS, Artifact, CorruptArtifact, repoint
from spillway_dataplane.kernel.compiler_child import decode, encode

CODE = st.binary(max_size=64).map(lambda raw: raw[: len(raw) // 8 * 8])
PROGRAMS = st.dictionaries(st.sampled_from(("spillway", "chunk_1", "chunk_2", "chunk_10")), CODE, min_size=1)


def artifact(programs: dict[str, bytes]) -> Artifact:
    return Artifact("0123456789a", MAPS, programs, next(iter(programs)))


@given(PROGRAMS)
def test_bytes_and_back(programs: dict[str, bytes]) -> None:
    once = artifact(programs)
    again = Artifact.from_bytes(once.to_bytes())
    assert again == once and list(again.programs) == list(once.programs) and again.chunks == once.chunks


@given(PROGRAMS, st.integers(0), st.integers(1, 255))
def test_one_changed_byte_is_noticed(programs: dict[str, bytes], where: int, change: int) -> None:
    raw = bytearray(artifact(programs).to_bytes())
    raw[where % len(raw)] ^= change
    with pytest.raises(CorruptArtifact):
        Artifact.from_bytes(bytes(raw))


@given(PROGRAMS, st.integers(0))
def test_a_file_cut_short_is_noticed(programs: dict[str, bytes], where: int) -> None:
    raw = artifact(programs).to_bytes()
    with pytest.raises(CorruptArtifact):
        Artifact.from_bytes(raw[: where % len(raw)])


@given(PROGRAMS)
def test_the_child_says_what_it_compiled(programs: dict[str, bytes]) -> None:
    assert decode(encode(programs)) == programs


def test_descriptors_stand_where_maps_are_named() -> None:
    """Only a ld_imm64 that is marked as a map changes."""
    named = struct.pack("<BBhi", 0x18, 0x11, 0, 5) + bytes(8)
    constant = struct.pack("<BBhi", 0x18, 0x01, 0, 5) + bytes(8)
    pointed = repoint(named + constant, [0, 0, 0, 0, 0, 77])
    assert pointed == struct.pack("<BBhi", 0x18, 0x11, 0, 77) + bytes(8) + constant


def test_a_map_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        repoint(struct.pack("<BBhi", 0x18, 0x11, 0, 99) + bytes(8), [1, 2, 3])
