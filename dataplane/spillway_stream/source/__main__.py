"""`python -m spillway_stream.source`: read SPILLWAY_SOURCE, take the ring, send. The package's docstring has all about it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from spillway_stream.cores import CoreChoice
from spillway_stream.errors import RingError
from spillway_stream.ring import Ring, connect
from spillway_stream.source import metrics
from spillway_stream.source.core import Tell, check_core, on_a_core, surroundings
from spillway_stream.source.ending import explain
from spillway_stream.source.faults import InvalidIntent, SourceError, Transient
from spillway_stream.source.figures import Figures
from spillway_stream.source.refused import await_another, note_refused
from spillway_stream.source.replay import CaptureSender
from spillway_stream.source.spec import PcapSpec, SourceSpec, VideoSpec, decode
from spillway_stream.source.studio import picture_of, profile_of
from spillway_stream.source.video import VideoSender

LOG = logging.getLogger("spillway_stream.source")


class Stopped(BaseException):
    """Told to stop: not an error, and nothing may catch it on the way. by: the signal."""

    def __init__(self, by: int) -> None:
        super().__init__(by)
        self.by = by


def main() -> int:
    """The process: 0 at the file's end, 128 and the signal when told to stop before it, else the fault's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        send(decode(os.environ.get("SPILLWAY_SOURCE", ""), os.environ.get("SPILLWAY_RING", "")))
    except Stopped as stopped:
        LOG.info("told to stop")
        return 128 + stopped.by
    except SourceError as fault:
        return explain(fault)
    except RingError as error:
        return explain(Transient(str(error)))
    return 0


def send(spec: SourceSpec) -> None:
    """Send until the end, but not a file that was refused before. Raises what `run` raises."""
    file = await_another(spec)
    try:
        run(spec)
    except InvalidIntent as fault:
        note_refused(fault, file)
        raise


def run(spec: SourceSpec) -> None:
    """Send until the end. Raises SourceError, RingError, Stopped."""
    check_core(spec.cpu)
    if isinstance(spec.content, VideoSpec):  # what can be refused is refused before a ring is taken from its present holder
        profile_of(spec.pacing)
        picture_of(spec.content)
    with ExitStack() as held:
        rings = tuple(held.enter_context(_ring(path, spec)) for path in spec.rings)
        figures = Figures(spec.stream)
        held.enter_context(_metrics(spec.metrics_port, figures, rings))
        held.enter_context(on_a_core(spec.cpu, surroundings(os.environ), _teller(rings, figures)))
        _send(spec, rings, figures)
        for ring in rings:
            ring.drain()


def _teller(rings: tuple[Ring, ...], figures: Figures) -> Tell:
    def tell(core: int, choice: CoreChoice) -> None:
        figures.core = core
        for ring in rings:
            ring.note("core", core + 1)
            ring.note("core_by", choice)

    return tell


def _send(spec: SourceSpec, rings: tuple[Ring, ...], figures: Figures) -> None:
    match spec.content:
        case VideoSpec() as video:
            VideoSender(spec, video, rings, figures).run()
        case PcapSpec() as pcap:
            CaptureSender(spec, pcap, rings[0], figures).run()


def _ring(path: str, spec: SourceSpec) -> Ring:
    """Video keeps its time when the link is down, and loses what it would have sent; a capture waits. Both pace themselves."""
    video = isinstance(spec.content, VideoSpec)
    return connect(
        path,
        packets_per_second=spec.pacing.packets_per_second or 0,
        bits_per_second=spec.pacing.bits_per_second,
        drop_when_not_ready=video,
    )


@contextmanager
def _metrics(port: int, figures: Figures, rings: tuple[Ring, ...]) -> Iterator[None]:
    def look() -> Figures:
        figures.reports = [ring.stats for ring in rings]
        return figures

    server = metrics.serve(port, look) if port else None
    try:
        yield
    finally:
        if server:
            server.shutdown()


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


if __name__ == "__main__":
    sys.exit(main())
