"""Sends a capture: whole frames as they are, at the capture's own pace times a factor or at a given rate, none left out."""

from __future__ import annotations

import logging
import os
import time
from array import array
from itertools import pairwise
from pathlib import Path

from spillway_stream._ring import send_capture
from spillway_stream.errors import NotReady
from spillway_stream.pages import LinkState
from spillway_stream.pcap.capture import LONGEST_NS, Capture, CaptureError, read_capture
from spillway_stream.ring import Facts, Ring
from spillway_stream.source.faults import InvalidIntent, NotSupported
from spillway_stream.source.figures import Figures
from spillway_stream.source.files import map_file, open_file
from spillway_stream.source.spec import PcapSpec, SourceSpec, Volume
from spillway_stream.wire import FRAME_BYTES

LOG = logging.getLogger("spillway_stream.source")
FIELD = "source.pcap.file"
LINK_BYTES = (
    18  # beside what the MTU counts: Ethernet and a VLAN tag; links drop what is longer, and say nothing (net/core/dev.c)
)
CHUNK = 8192  # frames between two looks at what else has to be done
AHEAD_NS = 10_000_000
RETRY_S = 0.1
DAY_NS = 86400 * 10**9


class CaptureSender:
    """Holds the ring as long as it runs."""

    def __init__(self, spec: SourceSpec, pcap: PcapSpec, ring: Ring, figures: Figures) -> None:
        self._ring, self._figures, self._loop = ring, figures, pcap.loop
        self._bytes = _mapped(spec.files / pcap.file, pcap.volume)
        try:
            self._capture = read_capture(self._bytes)
        except CaptureError as error:
            raise InvalidIntent(FIELD, f"{pcap.file}: {error}") from error
        check_lengths(pcap.file, self._capture, ring.facts)
        paced = spec.pacing.packets_per_second or spec.pacing.bits_per_second
        self._due_ns = None if paced else scaled(pcap, self._capture.due_ns)
        self._period_ns = int(self._capture.period_ns / pcap.speed)
        LOG.info("%d frames, %.3f s at the capture's own pace", len(self._capture), self._capture.period_ns / 1e9)

    def run(self) -> None:
        """Send the capture once, or round after round until something ends the process."""
        begin_ns = time.monotonic_ns() + AHEAD_NS
        while True:
            begin_ns = self._round(begin_ns) + self._period_ns
            self._figures.rounds += 1
            if not self._loop:
                return

    def _round(self, begin_ns: int) -> int:
        """One round; returns its beginning, moved on by the time in which the link took nothing."""
        first, total = 0, len(self._capture)
        while first < total:
            n = min(CHUNK, total - first)
            try:
                self._send(first, n, begin_ns)
                first += n
                self._figures.ready = True
            except NotReady as error:
                first += error.sent
                begin_ns += self._wait(error)
        return begin_ns

    def _send(self, first: int, n: int, begin_ns: int) -> None:
        capture = self._capture
        batch = self._ring.facts.batch
        send_capture(self._ring, self._bytes, capture.at, capture.lengths, self._due_ns, first, n, begin_ns, batch)

    def _wait(self, error: NotReady) -> int:
        """Wait until the link takes frames again; how long it did not. Raises the error if this ring never will."""
        LOG.warning("waiting: %s", error)
        begun_ns = time.monotonic_ns()
        while (state := self._ring.facts.state) is not LinkState.READY:
            if state is LinkState.GONE:
                raise error
            time.sleep(RETRY_S)
        return time.monotonic_ns() - begun_ns


def scaled(pcap: PcapSpec, due_ns: array[int]) -> array[int]:
    """Due times at the wanted speed: twice the speed is half the time.

    Raises InvalidIntent for a gap that nobody waits for, as files have that were merged, or begun before the clock was set.
    """
    speed = pcap.speed
    gap_ns, number = max(((after - before, number) for number, (before, after) in enumerate(pairwise(due_ns))), default=(0, 0))
    days = gap_ns * speed.denominator // speed.numerator // DAY_NS
    if days or due_ns[-1] >= LONGEST_NS:
        late = f"frame {number + 2} would leave {days} days after the one before"
        raise InvalidIntent(FIELD, f"{pcap.file}: {late}: give pacing.packetsPerSecond, or another speed")
    return due_ns if speed == 1 else array("Q", (each * speed.denominator // speed.numerator for each in due_ns))


def check_lengths(file: str, capture: Capture, facts: Facts) -> None:
    """Raises NotSupported, naming the longest frame, if the ring or the interface cannot take it."""
    number = capture.longest
    size = capture.lengths[number]
    longest = f"{FIELD}: {file}: frame {number + 1} has {size} bytes"
    if size > facts.frame_bytes:
        raise NotSupported(f"{longest}, the ring's frames take {facts.frame_bytes}: {_larger(size)}")
    if size > facts.mtu + LINK_BYTES:
        taken = f"{facts.interface} takes {facts.mtu + LINK_BYTES} with its MTU of {facts.mtu}"
        raise NotSupported(f"{longest}, {taken}: it needs an MTU of {size - LINK_BYTES}")


def _larger(size: int) -> str:
    """What to do about a frame that is longer than the ring's."""
    enough = next((each for each in FRAME_BYTES if each >= size), None)
    return f"ring.frameBytes can be {enough}" if enough else f"no ring's take more than {FRAME_BYTES[-1]}"


def _mapped(path: Path, volume: Volume) -> memoryview:
    fd = open_file(path, FIELD, volume)
    try:
        if not os.fstat(fd).st_size:
            raise InvalidIntent(FIELD, f"{path.name} is empty")
        return memoryview(map_file(fd, path, FIELD))
    finally:
        os.close(fd)
