"""A node's card with addresses at both ends, a keeper of rings on it, and orders for rings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_client import HeldRing, close_opened

from spillway_crds.streams import BindMode, Flow, RingParameters, RingSize
from spillway_dataplane.kernel.cards import zero_copy_refusal
from spillway_dataplane.stream.binding import Refusal
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder, RingStatus

FLOW = Flow(destination=ip_address("10.9.0.2"), destination_port=5004)
SMALL = RingSize(descriptors=256)


def make_node(pair: NetnsPair) -> NetnsPair:
    ip("address add 10.9.0.1/24 dev spw0")
    pair.peer_run("ip", "address", "add", "10.9.0.2/24", "dev", "spw1")
    return pair


def make_order(
    tmp_path: Path,
    queue: int = 1,
    *,
    name: str = "cam",
    mode: BindMode = BindMode.COPY,
    flow: Flow = FLOW,
    size: RingSize = SMALL,
) -> RingOrder:
    directory = tmp_path / name
    directory.mkdir(parents=True, exist_ok=True)
    return RingOrder(f"{name}/ring", directory, "spw0", queue, RingParameters(flow, mode, ring=size), f"studio/{name}")


@contextmanager
def keeping(patience_s: float = 0.5, refusal: Refusal = zero_copy_refusal) -> Iterator[RingKeeper]:
    """A keeper whose rings are given up at the end."""
    made = RingKeeper(patience_s=patience_s, refusal=refusal)
    try:
        yield made
    finally:
        close_opened()
        for status in made.statuses():
            made.close(status.key)
        made.stop()


def until(keeper: RingKeeper, *, key: str = "cam/ring", timeout_s: float = 8.0, **wanted: object) -> RingStatus:
    deadline = time.monotonic() + timeout_s
    while True:
        status = next(each for each in keeper.statuses() if each.key == key)
        if all(getattr(status, name) == value for name, value in wanted.items()):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.01)


def numbered(held: HeldRing, first: int, count: int) -> list[bytes]:
    """Whole frames; each carries its number ten times."""
    return [held.packet(number.to_bytes(4, "big") * 10) for number in range(first, first + count)]


def numbers(frames: list[bytes], payload_at: int = 42) -> list[int]:
    """The numbers that arrived, in order; what is none of ours is left out."""
    payloads = (frame[payload_at:] for frame in frames)
    return [int.from_bytes(each[:4], "big") for each in payloads if len(each) == 40 and each == each[:4] * 10]
