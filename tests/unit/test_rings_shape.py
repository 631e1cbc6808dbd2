"""Sizes of a ring: what a stream asks for, what the node opens, what its memory takes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from spillway_crds.errors import NotSupported, SpillwayError, Transient
from spillway_crds.schema.ring import FRAME_BYTES, MAX_DESCRIPTORS, RING
from spillway_crds.streams import MAX_BUFFER_BYTES, Flow, RingParameters, RingSize
from spillway_dataplane.kernel.if_xdp import MAX_CHUNK_BYTES
from spillway_dataplane.stream import binding
from spillway_dataplane.stream.binding import shape_of
from spillway_dataplane.stream.model import RingOrder
from spillway_stream import wire


def order(size: RingSize) -> RingOrder:
    parameters = RingParameters(Flow(ip_address("10.9.0.2"), 5004), ring=size)
    return RingOrder("cam/ring", Path("/nowhere"), "eth1", 1, parameters, "studio/cam")


@pytest.mark.parametrize(
    ("frame_bytes", "frames", "segments", "chunk_bytes"),
    [(2048, 512, 1, 2048), (4096, 512, 1, 4096), (8192, 256, 2, 4096), (16384, 128, 4, 4096)],
)
def test_long_frames_are_runs_of_chunks(frame_bytes: int, frames: int, segments: int, chunk_bytes: int) -> None:
    """The slots hold half of the frames, each of full length, and the completion ring has room for every chunk."""
    size = RingSize(256, frame_bytes)
    shape = shape_of(order(size), fill_frames=16)
    assert (shape.frames, shape.segments, shape.chunk_bytes) == (frames, segments, chunk_bytes)
    assert (size.frames, size.descriptors_per_frame) == (frames, segments)
    assert shape.frames * shape.segments == 2 * shape.tx_slots == shape.completion_slots
    assert (shape.umem_bytes, shape.fill_bytes) == (frames * frame_bytes, 16 * chunk_bytes)


def test_no_ring_takes_more_memory_than_is_said() -> None:
    assert max(RingSize(MAX_DESCRIPTORS, each).frames * each for each in wire.FRAME_BYTES) == 64 << 20


def test_the_numbers_are_the_same_everywhere() -> None:
    assert MAX_BUFFER_BYTES == MAX_CHUNK_BYTES == wire.CHUNK_BYTES
    assert (wire.FRAME_BYTES[0], wire.FRAME_BYTES[-1]) == FRAME_BYTES
    assert str(list(wire.FRAME_BYTES)).strip("[]") in RING.fields["frameBytes"].laws[0].message


@pytest.mark.parametrize(
    ("queues", "refused"),
    [
        pytest.param(0, Transient, id="the interface is just coming or going"),
        pytest.param(1, NotSupported, id="it has fewer"),
    ],
)
def test_a_queue_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queues: int, refused: type[SpillwayError]
) -> None:
    """Every interface has a queue: none at all is no answer, and is asked again at once."""
    for number in range(queues):
        (tmp_path / "eth1" / "queues" / f"tx-{number}").mkdir(parents=True)
    monkeypatch.setattr(binding, "SYS_NET", tmp_path)
    with pytest.raises(refused):
        binding._check_queue(order(RingSize(256, 2048)))
