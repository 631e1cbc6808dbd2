"""Load an artifact: its maps opened or made, its programs past the verifier, its tail calls filled in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from spillway_dataplane.kernel.artifact import Artifact, MapKind, MapSpec, repoint
from spillway_dataplane.kernel.libbpf import map_update, obj_get, obj_pin, prog_load
from spillway_dataplane.kernel.maps import carry_over, create, has_shape, open_or_pin
from spillway_dataplane.kernel.objects import Fd
from spillway_dataplane.kernel.pins import NODE_MAPS, PINNED_MAPS, PROGRAM, Generation

NAME_PREFIX = "spw_"  # and 11 hex digits: the kernel keeps 15 characters of a program's name


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded artifact. main: what packets enter; maps: every map by name."""

    main: Fd
    maps: Mapping[str, Fd]


def program_name(artifact: Artifact) -> str:
    """Return the name that the kernel shows; `digest_of` is the inverse."""
    return f"{NAME_PREFIX}{artifact.digest}"[:15]


def digest_of(name: str) -> str:
    """Return the digest of the artifact whose program has that name, empty when it is none of ours."""
    return name.removeprefix(NAME_PREFIX) if name.startswith(NAME_PREFIX) else ""


@contextmanager
def loaded(artifact: Artifact, open_map: Callable[[MapSpec], Fd]) -> Iterator[Loaded]:
    """Load every program of an artifact for as long as the block runs, or longer if pinned inside it.

    open_map: gives the map for a spec. Raises VerifierRefused, or OSError for what the maps refuse.
    """
    with ExitStack() as stack:
        maps = {spec.name: stack.enter_context(open_map(spec)) for spec in artifact.maps}
        descriptors = [maps[spec.name].fileno() for spec in artifact.maps]
        name = program_name(artifact)
        programs = {
            each: stack.enter_context(prog_load(repoint(code, descriptors), name)) for each, code in artifact.programs.items()
        }
        _fill_chunks(artifact, maps, programs)
        yield Loaded(programs[artifact.main], maps)


def _fill_chunks(artifact: Artifact, maps: Mapping[str, Fd], programs: Mapping[str, Fd]) -> None:
    for index, name in enumerate(artifact.chunks):
        map_update(maps["chunks"], struct.pack("=I", index), struct.pack("=I", programs[name].fileno()))


def load_generation(artifact: Artifact, generation: Generation, node: Path) -> None:
    """Load an artifact with the pinned maps and pin it as a generation, aside: nothing runs it yet.

    A pinned map of another shape stays untouched under the program that uses it; the new one gets its values and waits with the
    generation. The program array is pinned as long as the program lives: the kernel empties it with its last reference.
    """
    opener = _PinnedMaps(generation.path, node)
    with loaded(artifact, opener.open) as ready:
        for spec in artifact.maps:
            if spec.kind == MapKind.PROG_ARRAY:
                obj_pin(ready.maps[spec.name], generation.path / spec.name)
        obj_pin(ready.main, generation.path / PROGRAM)


@dataclass(frozen=True, slots=True)
class _PinnedMaps:
    generation: Path
    node: Path

    def open(self, spec: MapSpec) -> Fd:
        if spec.name in PINNED_MAPS:
            return self._of_interface(spec)
        if spec.name in NODE_MAPS:
            return open_node_map(spec, self.node)
        return create(spec)

    def _of_interface(self, spec: MapSpec) -> Fd:
        found, _ = open_or_pin(spec, self.generation.parent / spec.name)
        return found if has_shape(found, spec) else _successor(found, spec, self.generation / spec.name)


def open_node_map(spec: MapSpec, node: Path) -> Fd:
    """Open a map that all interfaces share. One of another shape is succeeded by a copy; a program that uses it keeps it."""
    node.mkdir(exist_ok=True)
    found, _ = open_or_pin(spec, node / spec.name)
    if has_shape(found, spec):
        return found
    aside = node / f"{spec.name}_next"
    aside.unlink(missing_ok=True)
    made = _successor(found, spec, aside)
    aside.rename(node / spec.name)
    return made


def _successor(old: Fd, spec: MapSpec, path: Path) -> Fd:
    with old, ExitStack() as on_failure:
        made = on_failure.enter_context(create(spec))
        carry_over(old, made)
        obj_pin(made, path)
        on_failure.pop_all()
        return made


@contextmanager
def pinned_map(path: Path) -> Iterator[Fd]:
    """Open a pinned map for as long as the block runs."""
    with obj_get(path) as found:
        yield found
