"""One policy in the kernel beside the plain matcher: the same frames through both, then every verdict and counter compared."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from spillway_crds.failsafe import FLOW_NAMES, PeerEntry
from spillway_dataplane.filter.generate import generate
from spillway_dataplane.filter.matcher import Matcher
from spillway_dataplane.filter.packet import NotForRules, parse_frame
from spillway_dataplane.filter.program import Counts, InterfaceCounts, ProgramSpec, Switches
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.libbpf import map_info, map_lookup, map_update
from spillway_dataplane.kernel.maps import (
    create,
    encode_switches,
    peer_entries,
    peer_gate,
    read_counts,
    sum_cpus,
    value_bytes,
    value_stride,
    write_entries,
)
from spillway_dataplane.kernel.objects import Fd
from spillway_dataplane.kernel.programs import Loaded, loaded
from spillway_dataplane.kernel.testrun import Arrival, run_all
from tests.fuzz_frames import FrameMaker, pools_of
from tests.fuzz_policies import QUEUES, Case

MAX_SINGLE_BYTES = 1526  # bpf/read.h
WINDOW_NS = 900_000_000  # a batch that takes longer may see a second window of a ceiling


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch. counts: by slot, only those that are not zero."""

    verdicts: tuple[int, ...]
    counts: dict[int, Counts]
    interface: InterfaceCounts


class Disagreement(AssertionError):
    """Kernel and matcher differ over a batch."""


class Lab:
    """A loaded policy. ifindex: a device with QUEUES receive queues that have XDP, or 0 for queue 0 of the loopback."""

    def __init__(self, spec: ProgramSpec, program: Loaded, ifindex: int) -> None:
        self.spec = spec
        self.program = program
        self.ifindex = ifindex
        self.slots = tuple(slot for unit in spec.filters for slot in unit.rule_slots)

    def run_kernel(self, switches: Switches, peers: tuple[PeerEntry, ...], arrivals: Sequence[Arrival]) -> Outcome:
        """Start from zero and run a batch."""
        maps = self.program.maps
        map_update(maps["switches"], bytes(4), encode_switches(switches, map_info(maps["switches"]).value_size))
        hosts, prefixes = peer_entries(peers)
        write_entries(maps["peer_gate"], peer_gate(hosts))
        write_entries(maps["peer_hosts"], hosts)
        write_entries(maps["peer_prefixes"], prefixes)
        self._clear()
        verdicts = tuple(run_all(self.program.main, arrivals, ingress_ifindex=self.ifindex))
        counts = read_counts(maps["counters"], self.slots)
        return Outcome(verdicts, {slot: each for slot, each in counts.items() if each != Counts()}, self._interface_counts())

    def run_matcher(self, switches: Switches, peers: tuple[PeerEntry, ...], arrivals: Sequence[Arrival]) -> Outcome:
        """Run the same batch through the law."""
        matcher = Matcher(self.spec, switches, peers)
        verdicts = tuple(int(matcher.run(each.frame, each.queue_id)) for each in arrivals)
        return Outcome(verdicts, dict(matcher.counts), matcher.interface_counts())

    def compare(self, switches: Switches, peers: tuple[PeerEntry, ...], arrivals: Sequence[Arrival]) -> None:
        """Raise Disagreement, naming the first frame that alone shows it, unless both agree in everything."""
        started = time.monotonic_ns()
        kernel = self.run_kernel(switches, peers, arrivals)
        if time.monotonic_ns() - started > WINDOW_NS and any(flow.ceiling_pps for flow in self.spec.flows):
            return
        law = self.run_matcher(switches, peers, arrivals)
        if kernel != law:
            raise Disagreement(self._explain(switches, peers, arrivals, kernel, law))

    def _explain(
        self, switches: Switches, peers: tuple[PeerEntry, ...], arrivals: Sequence[Arrival], kernel: Outcome, law: Outcome
    ) -> str:
        for arrival in arrivals:
            alone, wanted = self.run_kernel(switches, peers, [arrival]), self.run_matcher(switches, peers, [arrival])
            if alone != wanted:
                return f"{arrival}\nkernel: {alone}\nlaw:    {wanted}\nframe: {arrival.frame.hex()}"
        return f"only together\nkernel: {replace(kernel, verdicts=())}\nlaw:    {replace(law, verdicts=())}"

    def _interface_counts(self) -> InterfaceCounts:
        stats = [_read(self.program.maps["stats"], index, 1)[0] for index in range(2 + len(FLOW_NAMES))]
        return InterfaceCounts(stats[0], stats[1], tuple(stats[2:]))

    def _clear(self) -> None:
        for slot in self.slots:
            _zero(self.program.maps["counters"], slot)
        for index in range(2 + len(FLOW_NAMES)):
            _zero(self.program.maps["stats"], index)
        for index in range(len(FLOW_NAMES)):
            _zero(self.program.maps["ceilings"], index)


def _read(counter: Fd, index: int, fields: int) -> tuple[int, ...]:
    info = map_info(counter)
    raw = map_lookup(counter, struct.pack("=I", index), value_bytes(info))
    assert raw is not None
    return sum_cpus(raw, value_stride(info), fields)


def _zero(target: Fd, index: int) -> None:
    map_update(target, struct.pack("=I", index), bytes(value_bytes(map_info(target))))


@contextmanager
def lab(spec: ProgramSpec, ifindex: int = 0) -> Iterator[Lab]:
    """Compile a policy, get it past the verifier and hold it for as long as the block runs."""
    with loaded_lab(spec, compile_source(generate(spec)), ifindex) as ready:
        yield ready


@contextmanager
def loaded_lab(spec: ProgramSpec, artifact: Artifact, ifindex: int = 0) -> Iterator[Lab]:
    """The same for a policy that is compiled already."""
    with loaded(artifact, create) as program:
        yield Lab(spec, program, ifindex)


def arrivals_for(case: Case, count: int, *, queues: int = QUEUES, seed: int = 0) -> tuple[Arrival, ...]:
    """Return random frames that come near the policy, on random queues, a third of them in several buffers."""
    maker = FrameMaker(pools_of(case.spec, case.peers), case.seed + seed)
    return tuple(_arrival(maker, queues) for _ in range(count))


def _arrival(maker: FrameMaker, queues: int) -> Arrival:
    frame, linear = maker.frame(), None
    if len(frame) > 20 and maker.random.random() < 0.3:
        linear = _first_buffer(frame, maker.random.randint(14, min(len(frame), 3000)))
    return Arrival(frame, maker.random.randrange(queues), linear)


def _first_buffer(frame: bytes, wanted: int) -> int | None:
    """Only padding alone in a second buffer, behind a short first one, is what no driver does (bpf/read.h, frame_holds)."""
    packet = parse_frame(frame)
    if isinstance(packet, NotForRules) or wanted > MAX_SINGLE_BYTES:
        return wanted
    return wanted if wanted < 14 + packet.ip_bytes else None


def run_case(case: Case, count: int, ifindex: int) -> int:
    """Compare over `count` frames, shared among the case's switches. Returns how many frames ran."""
    share = -(-count // len(case.switches))
    with lab(case.spec, ifindex) as ready:
        for number, switches in enumerate(case.switches):
            queues = QUEUES if ifindex else 1
            ready.compare(switches, case.peers, arrivals_for(case, share, queues=queues, seed=number))
    return share * len(case.switches)
