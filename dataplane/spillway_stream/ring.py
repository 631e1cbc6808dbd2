"""A ring for Python programs: numpy views of the shared frames, and the C library's calls.

    with connect() as ring:
        while True:
            block = ring.reserve(64)               # a slice of free frames, headers in place
            ring.payload[block, :1400] = pictures  # written where the card reads it
            ring.send(size=1400)                   # one system call for all 64, when they are due

One thread at a time uses a ring. docs/streams/applications.md tells the whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from spillway_stream._ring import RawRing, tai_ns, translate_with
from spillway_stream.errors import translate
from spillway_stream.pages import REPORT_COUNTERS, LinkState, Report

try:
    import numpy
except ImportError:  # views are plain memoryviews then
    numpy = None  # type: ignore[assignment]

translate_with(translate)
LOG = logging.getLogger("spillway_stream")


@dataclass(frozen=True, slots=True)
class Rtp:
    """An RTP header (RFC 3550) that the library writes behind UDP: sequence numbers count on, send() gives the timestamp.

    payload_type: 0..127. ssrc: 32 bits. sequence: of the first packet. extension: header extension from its profile word on,
    whole 32-bit words, at most 64 bytes; it is laid down once and the application may write over it.
    """

    payload_type: int = 96
    ssrc: int = 0
    sequence: int = 0
    extension: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a ring is. header_bytes: where payload begins in a frame. payload_bytes: the most that one packet takes now.

    mtu, payload_bytes, state and reason may change while the ring is open, the others do not.
    """

    ifindex: int
    queue: int
    frame_bytes: int
    frames: int
    batch: int
    zero_copy: bool
    header_bytes: int
    payload_bytes: int
    mtu: int
    state: LinkState
    interface: str
    stream: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A time of more than 200 us in which the core was away. begin_tai_ns: CLOCK_TAI. in_kick: while the kernel sent."""

    begin_tai_ns: int
    length_ns: int
    in_kick: bool


class Ring(RawRing):
    """An open ring. Use in a `with` block; close() waits at most a second for frames that are with the card.

    reserve(n, timeout_s=1.0) -> slice: the next n frames, consecutive and free; n is at most half of all. It waits for frames
    to come back. Raises RingFull when the time is over, NotReady when the link says why.
    send(n=None, *, size=0, raw=False, timestamp=0, marker=False, at_tai_ns=0) -> int: hand over the first n reserved frames
    (None: all), in batches, each when it is due; returns how many the kernel was given. size: payload bytes of each; 0:
    `lengths` says it. raw: the frames are whole Ethernet frames as they are, `lengths` and size count all their bytes.
    timestamp, marker: RTP's, of all of them and of the last. at_tai_ns: the first is due then, at most a day ahead.
    Raises FrameTooLong, NotReady, KickFailed, Lost.
    pace(packets_per_second=0, bits_per_second=0): another schedule from here on; neither: as fast as it goes.
    drain(timeout_s=1.0) -> int: wait until all frames are back; how many are not.
    """

    _views: tuple[Any, Any, Any] | None = None
    _closed = False

    def _view(self) -> tuple[Any, Any, Any]:
        if self._closed:
            raise ValueError("the ring is closed")
        if self._views is None:
            frames, lengths = self._memory()
            if numpy is None:
                self._views = frames, lengths, None
            else:
                array = numpy.asarray(frames)
                self._views = array, numpy.asarray(lengths), array[:, self.facts.header_bytes :]
        return self._views

    @property
    def frames(self) -> Any:
        """All frames: uint8, shape (frames, frame_bytes), headers in place; a numpy array, a memoryview without numpy."""
        return self._view()[0]

    @property
    def payload(self) -> Any:
        """The frames from where payload begins on; None without numpy."""
        return self._view()[2]

    @property
    def lengths(self) -> Any:
        """Payload bytes of each frame (of raw frames: all bytes): uint32, one for each frame, to be set before send()."""
        return self._view()[1]

    @property
    def facts(self) -> Facts:
        """What the ring is at this moment."""
        ifindex, queue, frame_bytes, frames, batch, zero_copy, header, payload, mtu, state, *names = self._facts()
        return Facts(ifindex, queue, frame_bytes, frames, batch, zero_copy, header, payload, mtu, LinkState(state), *names)

    @property
    def stats(self) -> Report:
        """Counters since the ring was taken, and the histogram of how far from its due time each packet was handed over."""
        counters, jitter = self._counts()
        fields: list[Any] = [*counters, jitter]
        return Report(*fields)

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The latest holes, at most 64, oldest first."""
        return tuple(Hole(*each) for each in self._holes())

    def note(self, counter: str, value: int) -> None:
        """Set one of the counters that are a source's own: video_frames and those behind it. Below 0: two's complement."""
        self._note(REPORT_COUNTERS.index(counter), value & (1 << 64) - 1)

    def close(self) -> None:
        """Give the ring back. The frames can still be looked at through views that somebody kept."""
        self._closed = True
        self._views = None
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def connect(
    path: str | None = None,
    *,
    timeout_s: float | None = None,
    batch: int = 0,
    packets_per_second: int | None = None,
    bits_per_second: int | None = None,
    udp_checksum: bool = False,
    drop_when_not_ready: bool = False,
    rtp: Rtp | None = None,
    waiting: Callable[[str], object] | None = None,
) -> Ring:
    """Take the ring at a socket. Returns when it is this process's.

    path: the socket; None: the environment's SPILLWAY_RING. timeout_s: how long to wait for the node and for who holds the
    ring; None: as long as it takes, until a signal. batch: packets a system call, at most the stream's; 0: the stream's.
    packets_per_second, bits_per_second (of IP packets): instead of the stream's pace; both None: the stream's; 0: unpaced.
    udp_checksum: over IPv4 too; over IPv6 it is always written. drop_when_not_ready: count packets as refused and go on in
    step, where send() would raise NotReady. waiting: told once for each reason to wait; None: it is logged.
    Raises NoRing, Held, Refused, BadOffer, NotDrained, NotReady (no header in time), Misuse.
    """
    own_pace = packets_per_second is not None or bits_per_second is not None
    wire_rtp = None if rtp is None else (rtp.payload_type, rtp.sequence, rtp.ssrc, rtp.extension)
    return Ring(
        path,
        -1.0 if timeout_s is None else timeout_s,
        batch,
        own_pace,
        packets_per_second or 0,
        bits_per_second or 0,
        udp_checksum,
        drop_when_not_ready,
        wire_rtp,
        waiting or (lambda what: LOG.warning("waiting for the ring: %s", what)),
    )


__all__ = ["Facts", "Hole", "Ring", "Rtp", "connect", "tai_ns"]
