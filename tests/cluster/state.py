"""The record of the one cluster that runs: what it is, and what has to be put back when it goes.

Written before each thing is made, so that even after a `kill -9` of this tool the next `down` knows all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.cluster.errors import NotUp
from tests.cluster.images import DEFAULT_TAG
from tests.cluster.layout import Home
from tests.cluster.products import locked

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Shape:
    """What was asked for. nodes: how many. hosts: names of traffic hosts, in address order."""

    nodes: int = 2
    hosts: tuple[str, ...] = ()
    mtu_bytes: int = 1500
    tag: str = DEFAULT_TAG


@dataclass(frozen=True, slots=True)
class State:
    """What there is, and how the machine was before.

    boot_id: of the machine's start in which the cluster was made; a later start took all but files away.
    complete: `up` came to its end. shape.nodes counts the nodes added later too.
    template: the image store that new nodes clone.
    directories: made on the machine as mount points, outermost first. sysctls: file and former content.
    controllers: what the root control group handed on before (v2).
    """

    shape: Shape
    boot_id: str
    template: str = ""
    complete: bool = False
    directories: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    controllers: tuple[str, ...] = ()

    @property
    def nodes(self) -> range:
        """Indices of the nodes."""
        return range(1, self.shape.nodes + 1)


def this_boot() -> str:
    return BOOT_ID.read_text().strip()


def encode_state(state: State) -> str:
    return json.dumps(asdict(state), indent=1)


def decode_state(text: str) -> State:
    """The state that `encode_state` wrote."""
    content: dict[str, Any] = json.loads(text)
    shape = content.pop("shape")
    shape["hosts"] = tuple(shape["hosts"])
    content["sysctls"] = tuple((name, value) for name, value in content["sysctls"])
    for field in ("directories", "controllers"):
        content[field] = tuple(content[field])
    return State(shape=Shape(**shape), **content)


def read_state(home: Home) -> State | None:
    try:
        return decode_state(home.state.read_text())
    except FileNotFoundError:
        return None


def write_state(home: Home, state: State) -> State:
    """Replace the record by one rename."""
    home.root.mkdir(parents=True, exist_ok=True)
    unfinished = home.state.with_name("state.new")
    unfinished.write_text(encode_state(state))
    unfinished.rename(home.state)
    return state


def change_shape(home: Home, state: State, **fields: Any) -> State:
    return write_state(home, replace(state, shape=replace(state.shape, **fields)))


def running_state(home: Home) -> State:
    """The record of a cluster that is up. Raises NotUp."""
    state = read_state(home)
    if state is None or not state.complete or state.boot_id != this_boot():
        raise NotUp("no cluster is up; start one with `python -m tests.cluster up`")
    return state


@contextmanager
def changing(home: Home) -> Iterator[None]:
    """Hold the cluster's lock: commands that change it come one after the other."""
    with locked(home.lock, "another command is changing the cluster; waiting for it"):
        yield
