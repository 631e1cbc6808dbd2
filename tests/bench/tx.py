"""Rows tx-c, tx-python, tx-syscalls and tx-pacing: packets of 1,400 bytes into a veth whose far end drops them by XDP.

Sender and receiving side share one core, as a veth without threads has it. The peers are measured in the same run, by turns: the
plainest AF_XDP loop on libxdp's own functions, and sendmmsg. Pacers have one more beside them that sends nothing: what is late
with that one is what the host does to the core.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spillway_crds.streams import Flow
from spillway_dataplane.kernel import libbpf
from spillway_stream.pages import bucket_floor_ns
from tests.bench.drop import DROP
from tests.bench.rows import ROUNDS, Measure, Row, Samples, ratio, side_by_side
from tests.kernel.namespaces import inside, own_namespaces
from tests.kernel.netpair import NetnsPair, ip, make_pair
from tests.kernel.ring_server import RingNode, header_page, ring_node

SECONDS, BATCH, RATE_ROUNDS = 1.0, 64, 15
SPURT_S, SPURTS_A_ROUND = 0.1, 5  # so short that some meet no moment in which the host has the core slow
BLOCK = 256  # packets that Python writes with one call of numpy, which costs the same for few and many
CPU = 0
GOAL_BARE, GOAL_SENDMMSG = 0.97, 2.1
GOAL_PYTHON, GOAL_PYTHON_KPPS, BARE_KPPS = 0.80, 340.0, 503.0
GOAL_CALLS = 1 / 32
PACE_PPS, PACE_BATCH, PACE_SLICE_S, PACE_SLICES = 340_000, 4, 10.0, 6
GOAL_LATE, GOAL_JITTER = 1e-5, 1.1
SOURCES = Path("dataplane/spillway_stream/core")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender says of one run."""

    packets: int
    seconds: float
    calls: int
    late: int = 0
    late_outside: int = 0
    holes: int = 0
    jitter: tuple[int, ...] = ()

    @property
    def kpps(self) -> float:
        return self.packets / self.seconds / 1000


def tx_c() -> Row:
    found = rates("ring", "bare", "sendmmsg", "sendmmsg-warm")
    bare, udp, warm = (ratio(found["ring"], found[name]) for name in ("bare", "sendmmsg", "sendmmsg-warm"))
    most = ratio(found["bare"], found["sendmmsg"])
    return Row(
        id="tx-c",
        what=f"packets of 1,400 bytes a second through the ring library in C, one core, all {BATCH} a call",
        unit="kpps",
        ours=found["ring"],
        peers={
            "bare AF_XDP": found["bare"],
            "sendmmsg": found["sendmmsg"],
            f"sendmmsg, always the same {BATCH} buffers": found["sendmmsg-warm"],
        },
        goal=f">= {GOAL_BARE} x bare ({bare:.3f}), >= {GOAL_SENDMMSG} x sendmmsg ({udp:.2f}, bare {most:.2f}; warm {warm:.2f})",
        met=bare >= GOAL_BARE and udp >= GOAL_SENDMMSG,
    )


def tx_python() -> Row:
    found = rates("python", "bare", "python small")
    bare = ratio(found["python"], found["bare"])
    absolute = found["python"].median >= GOAL_PYTHON_KPPS or found["bare"].median < BARE_KPPS
    return Row(
        id="tx-python",
        what="packets of 1,400 bytes a second from Python, headers and payload of each written with numpy, "
        f"{BLOCK} at a time; one core, all {BATCH} a call",
        unit="kpps",
        ours=found["python"],
        peers={"bare AF_XDP in C": found["bare"], f"ours, written {BATCH} at a time": found["python small"]},
        goal=f">= {GOAL_PYTHON} x bare ({bare:.3f}); >= {GOAL_PYTHON_KPPS:g} where bare reaches {BARE_KPPS:g}",
        met=bare >= GOAL_PYTHON and absolute,
    )


def tx_syscalls() -> Row:
    with bench_lab() as lab:
        runs = [lab.run("ring", SECONDS, BATCH) for _ in range(ROUNDS)]
    found = Samples(tuple(run.calls / run.packets for run in runs))
    return Row(
        id="tx-syscalls",
        what="system calls for one packet, unpaced, batches of 64",
        unit="calls/packet",
        ours=found,
        goal=f"<= 1/32 = {GOAL_CALLS:.5f}",
        met=max(found.figures) <= GOAL_CALLS,
    )


def tx_pacing() -> Row:
    """A minute of each, in slices by turns: a bad ten seconds of the host meet all of them alike."""
    names = ("ring", "bare", "sendmmsg", "nothing")
    with bench_lab() as lab:
        slices: dict[str, list[Sent]] = {name: [] for name in names}
        for number in range(PACE_SLICES):
            for name in names if number % 2 == 0 else names[::-1]:
                slices[name].append(lab.run(name, PACE_SLICE_S, PACE_BATCH, PACE_PPS))
    total = {name: whole(runs) for name, runs in slices.items()}
    p99 = {name: Samples(tuple(p99_us(run.jitter) for run in runs)) for name, runs in slices.items()}
    share, more, host = (total[name].late_outside / total[name].packets for name in ("ring", "bare", "nothing"))
    worse = ratio(p99["ring"], p99["bare"])
    told = "; ".join(f"{name} {run.late} late, {run.late_outside} outside {run.holes} holes" for name, run in total.items())
    return Row(
        id="tx-pacing",
        what=f"p99 of how far from its due time a packet is handed over, 340 kpps for 60 s in batches of 4 ({told})",
        unit="us",
        ours=p99["ring"],
        peers={"bare AF_XDP pacer": p99["bare"], "sendmmsg pacer": p99["sendmmsg"], "the core alone": p99["nothing"]},
        goal=f"outside holes <= 1 in 100,000 late ({share:.1e}, bare {more:.1e}, the core alone {host:.1e}); "
        f"p99 <= {GOAL_JITTER} x bare ({worse:.2f})",
        met=share <= GOAL_LATE and share <= more + GOAL_LATE and worse <= GOAL_JITTER,
    )


def p99_us(jitter: Sequence[int]) -> float:
    """Microseconds, by where in its bucket it lies: the buckets alone are 12.5 % wide."""
    wanted = 0.99 * sum(jitter)
    for bucket, count in enumerate(jitter):
        if count and wanted <= count:
            floor, end = bucket_floor_ns(bucket), bucket_floor_ns(bucket + 1)
            return (floor + (end - floor) * wanted / count) / 1000
        wanted -= count
    return 0.0


def whole(runs: list[Sent]) -> Sent:
    """Several runs as one."""
    jitter = tuple(sum(counts) for counts in zip(*(run.jitter for run in runs), strict=True))
    packets, calls, late, outside, holes = (
        sum(getattr(run, name) for run in runs) for name in ("packets", "calls", "late", "late_outside", "holes")
    )
    return Sent(packets, sum(run.seconds for run in runs), calls, late, outside, holes, jitter)


# ---- the lab ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lab:
    """A pair whose far end drops everything, a ring on queue 1, the programs."""

    node: RingNode
    program: Path

    def run(self, mode: str, seconds: float, batch: int, pps: int = 0) -> Sent:
        """One sender for so long, alone on its core."""
        udp = "10.77.0.1:10.77.0.2"
        places = {
            "ring": self.node.path,
            "bare": f"{self.node.pair.ifname}:0",
            "sendmmsg": udp,
            "sendmmsg-warm": udp,
            "nothing": "-",
        }
        if mode.startswith("python"):
            block = BLOCK if mode == "python" else batch
            command = [sys.executable, "-m", "tests.bench.tx_python", self.node.path, str(seconds), str(batch), str(block)]
        else:
            command = [str(self.program), mode, places[mode], str(seconds), str(batch), str(pps)]
        # Little else runs on their core, as by the static CPU manager. Not by real-time priority: the kernel takes a core
        # away from who spins with it, 50 ms of each second.
        alone = ["nice", "-n", "-20", "taskset", "-c", str(CPU)]
        done = subprocess.run([*alone, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return Sent(**{**said, "jitter": tuple(said.get("jitter", ()))})


def rates(*names: str) -> dict[str, Samples]:
    """Thousand packets a second of each, by turns."""
    with bench_lab() as lab:
        return side_by_side({name: rate_of(lab, name) for name in names}, RATE_ROUNDS)


def rate_of(lab: Lab, name: str) -> Measure:
    """A round's best spurt, which the host disturbed least."""
    return lambda: max(lab.run(name, SPURT_S, BATCH).kpps for _ in range(SPURTS_A_ROUND))


@contextmanager
def bench_lab() -> Iterator[Lab]:
    with own_namespaces(), TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        pair = make_pair(Path(directory))
        prepare(pair)
        flow = Flow(ip_address("10.77.0.2"), 5004, ip_address("10.77.0.1"), 5004)
        with (
            dropping_peer(pair),
            ring_node(pair, Path(directory), header_page(pair, flow), queue=1, frames=8192, batch=256) as node,
        ):
            gc.collect()
            yield Lab(node, sender())


def prepare(pair: NetnsPair) -> None:
    """An address and a neighbour for sendmmsg, on a wire that is quiet otherwise."""
    ip(f"address add 10.77.0.1/24 dev {pair.ifname}")
    ip(f"neighbour replace 10.77.0.2 dev {pair.ifname} lladdr {pair.peer_mac.hex(':')} nud permanent")


@contextmanager
def dropping_peer(pair: NetnsPair) -> Iterator[None]:
    with inside(pair.peer_net):
        program = libbpf.prog_load(DROP, "bench_drop")
        link = libbpf.link_create(program, peer_index(pair), libbpf.XDP_DRV_MODE)
    with program, link:
        yield


def peer_index(pair: NetnsPair) -> int:
    return int(Path(f"/sys/class/net/{pair.peer}/ifindex").read_text())


@cache
def sender() -> Path:
    """Compile tx.c with the library's own files, once."""
    program = Path("build/tx")
    program.parent.mkdir(exist_ok=True)
    core = [str(each) for each in SOURCES.glob("*.c") if not each.name.startswith("py")]
    flags = ["-std=c11", "-O3", "-D_GNU_SOURCE", "-pthread", f"-I{SOURCES}"]
    subprocess.run(["gcc", *flags, "tests/bench/tx.c", *core, "-lxdp", "-lbpf", "-lm", "-o", str(program)], check=True)
    return program
