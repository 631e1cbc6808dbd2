"""Row drop-e2e: what dropping one packet costs the receiving side, from the wire of a veth to the verdict.

A flood of 4,096 distinct packets comes as live frames (BPF_F_TEST_XDP_LIVE_FRAMES); the CPU time that the receiver's NAPI thread
used (its schedstat) is divided by the packets it took. Both run on one core, before everybody else: what a packet's cache lines
cost that another core has just written depends on where the two cores are, and a bare drop, which never touches the packet, does
not pay it. What it makes of the figures is shown beside them (docs/adr/0011).
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spillway_crds.failsafe import PeerEntry, Peers, flows
from spillway_crds.filters import FilterContent, LengthRange, Match, PortRange, Rule, RuleAction, XdpMode
from spillway_dataplane.filter.generate import generate
from spillway_dataplane.filter.program import MODE_ENFORCE, FilterUnit, ProgramSpec, Switches
from spillway_dataplane.kernel import libbpf
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.compiler_child import HEADERS
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.kernel.objects import Fd
from tests.bench.rows import Row, Samples, ratio, side_by_side
from tests.kernel.namespaces import inside, own_namespaces
from tests.kernel.netpair import NetnsPair, make_pair, run
from tests.traffic.frames import ETH_IPV4, UDP, ethernet, ipv4

FRAMES_A_FLOOD, FLOODS_A_ROUND = 20_000, 9  # so short that some meet no moment in which the host has the core slow
ROUNDS = 15
VARIANTS = 4096
PORTS = (53, 123, 161, 389, 1900, 3283, 5353, 11211, 19, 111)  # one rule for each; 53 and 123 could be failsafe
TARGET = "203.0.113.1"
DROP = struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = XDP_DROP; exit
READ = b"".join(
    struct.pack("<BBhi", *each)
    for each in (
        (0x61, 0x12, 0, 0),  # r2 = context->data
        (0x61, 0x13, 4, 0),  # r3 = context->data_end
        (0xBF, 0x24, 0, 0),
        (0x07, 0x04, 0, 34),
        (0xB7, 0, 0, 2),  # XDP_PASS
        (0x2D, 0x34, 3, 0),  # if the frame ends before: exit
        (0x61, 0x22, 26, 0),  # the source address
        (0x15, 0x02, 1, 0),  # if it is 0.0.0.0: exit
        (0xB7, 0, 0, 1),  # XDP_DROP
        (0x95, 0, 0, 0),
    )
)
GOAL_BARE, GOAL_NFT = 1.2, 4.0
SETTLE_S = 0.03  # until what was sent is taken
RECEIVER_CPU, OTHER_CPU = 1, 0
RECEIVER_FIRST, SENDER_NEXT = 50, 40  # real-time priorities: nobody else's work is in the figures


def drop_end_to_end() -> Row:
    """Measure all candidates in one pair of namespaces."""
    with own_namespaces(), TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        pair = make_pair(Path(directory))
        with Flooder(pair) as flooder:
            measures = {name: flooder.measure(candidate) for name, candidate in candidates(pair).items()}
            measures |= {
                f"{name}, another core sends": flooder.measure(candidate, sender_cpu=OTHER_CPU)
                for name, candidate in programs(pair).items()
            }
            found = side_by_side(measures, ROUNDS)
    return row_of(found)


def row_of(found: Mapping[str, Samples]) -> Row:
    ours = found["spillway"]
    more, nft = ratio(ours, found["bare drop"]), ratio(found["nftables raw"], ours)
    return Row(
        id="drop-e2e",
        what="CPU time of the receiving side for one dropped packet, ten rules, failsafe in force, 4,096 distinct packets",
        unit="ns/packet",
        ours=ours,
        peers={name: samples for name, samples in found.items() if name != "spillway"},
        goal=f"<= {GOAL_BARE} x bare ({more:.2f}), nftables >= {GOAL_NFT} x ours ({nft:.2f})",
        met=more <= GOAL_BARE and nft >= GOAL_NFT,
    )


# ---- candidates: each puts one way of dropping in place -----------------------------------------------------------------


Candidate = Callable[[], AbstractContextManager[None]]


def candidates(pair: NetnsPair) -> dict[str, Candidate]:
    return {**programs(pair), "nftables raw": lambda: nftables(pair), "xdp-filter": lambda: xdp_filter(pair)}


def programs(pair: NetnsPair) -> dict[str, Candidate]:
    """Ours, one that only drops, and one that looks at the source address and drops."""
    artifact = compile_source(generate(ten_rules()))
    return {
        "spillway": lambda: spillway(pair, artifact),
        "bare drop": lambda: drop_by(pair, DROP),
        "drop that reads": lambda: drop_by(pair, READ),
    }


@contextmanager
def spillway(pair: NetnsPair, artifact: Artifact) -> Iterator[None]:
    datapath = Datapath(pair.bpffs / "spillway")
    datapath.prepare(pair.ifname)
    datapath.write_peers(
        (PeerEntry(ip_network("192.0.2.53/32"), Peers.RESOLVERS), PeerEntry(ip_network("10.0.0.0/8"), Peers.ADMINS))
    )
    datapath.write_switches(pair.ifname, Switches(modes=(MODE_ENFORCE,)))
    datapath.attach(pair.ifname, artifact, XdpMode.NATIVE)
    try:
        yield
    finally:
        datapath.purge()


def ten_rules() -> ProgramSpec:
    rules = tuple(
        Rule(f"port-{port}", Match(UDP, destinations=(ip_network("203.0.113.0/24"),), source_ports=(PortRange(port, port),),
             ip_length_bytes=LengthRange(min=40)), RuleAction.DROP)
        for port in PORTS
    )  # fmt: skip
    unit = FilterUnit("amplification", "uid", FilterContent(rules), mode_slot=0, rule_slots=tuple(range(len(rules))))
    return ProgramSpec((unit,), flows())


@contextmanager
def drop_by(pair: NetnsPair, code: bytes) -> Iterator[None]:
    with libbpf.prog_load(code, "bare_drop") as program, libbpf.link_create(program, pair.ifindex, libbpf.XDP_DRV_MODE):
        yield


@contextmanager
def nftables(pair: NetnsPair) -> Iterator[None]:
    lines = "\n".join(f"ip daddr 203.0.113.0/24 udp sport {port} meta length >= 40 counter drop" for port in PORTS)
    table = f"table ip bench {{ chain raw {{ type filter hook prerouting priority raw;\n{lines}\n }}\n}}"
    subprocess.run(["ethtool", "-K", pair.ifname, "gro", "on"], check=True)  # or a veth takes no live frames without XDP
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    try:
        yield
    finally:
        run("nft", "delete", "table", "ip", "bench")
        run("ethtool", "-K", pair.ifname, "gro", "off")


@contextmanager
def xdp_filter(pair: NetnsPair) -> Iterator[None]:
    run("xdp-filter", "load", "-m", "native", "-f", "all", "-p", "allow", pair.ifname)
    try:
        for port in PORTS:
            run("xdp-filter", "port", str(port), "-m", "src", "-p", "udp")
        yield
    finally:
        run("xdp-filter", "unload", pair.ifname)


# ---- the flood ----------------------------------------------------------------------------------------------------------


class Flooder:
    """The generator on the peer's side and the receiver's NAPI threads on this one. Use in a `with` block."""

    def __init__(self, pair: NetnsPair) -> None:
        self.pair = pair
        self.frame = flood_frame(pair)

    def __enter__(self) -> Flooder:
        self._bcc, self._program = load_generator()
        fill_variants(Fd(self._bcc["variants"].map_fd))
        with inside(self.pair.peer_net):  # a program that is attached nowhere costs 25 ms a call for live frames
            self._link = libbpf.link_create(self._program, self._peer_ifindex(), libbpf.XDP_DRV_MODE)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()
        self._bcc.cleanup()

    def measure(self, candidate: Candidate, sender_cpu: int = RECEIVER_CPU) -> Callable[[], float]:
        """Return what measures one round of a candidate: its cheapest flood, which the host disturbed least."""

        def one_round() -> float:
            with candidate():
                threads = napi_threads(self.pair.ifname)
                return min(self._cost(threads, sender_cpu) for _ in range(FLOODS_A_ROUND))

        return one_round

    def _cost(self, threads: list[int], sender_cpu: int) -> float:
        """Nanoseconds of the NAPI threads for each packet of one flood that they took."""
        spent, taken = cpu_ns(threads), xdp_packets(self.pair.ifname)
        self._flood(sender_cpu)
        time.sleep(SETTLE_S)
        return (cpu_ns(threads) - spent) / max(1, xdp_packets(self.pair.ifname) - taken)

    def _flood(self, cpu: int) -> None:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(SENDER_NEXT))
        try:
            with inside(self.pair.peer_net):
                libbpf.test_run(self._program, self.frame, ingress_ifindex=self._peer_ifindex(), repeat=FRAMES_A_FLOOD,
                                flags=libbpf.TEST_LIVE_FRAMES)  # fmt: skip
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            os.sched_setaffinity(0, before)

    def _peer_ifindex(self) -> int:
        return int(Path(f"/sys/class/net/{self.pair.peer}/ifindex").read_text())


def load_generator() -> tuple[Any, Fd]:
    """Compile and load generator.c. bcc owns the descriptors; it changes the working directory while it compiles."""
    os.environ["BCC_KERNEL_SOURCE"] = str(HEADERS)
    from bcc import BPF  # noqa: PLC0415  # after the environment is set

    directory = Path.cwd()
    module = BPF(text=Path(__file__).with_name("generator.c").read_text())
    os.chdir(directory)
    return module, Fd(module.load_func(b"generate", BPF.XDP).fd)


def flood_frame(pair: NetnsPair) -> bytes:
    """64 bytes of UDP payload from 198.18.0.0, identification 0xFFFF; what varies is written by the generator."""
    datagram = struct.pack("!HHHH", 0, 4444, 8 + 64, 0) + bytes(64)
    packet = ipv4("198.18.0.0", TARGET, UDP, datagram, ident=0xFFFF)
    return ethernet(pair.mac.hex(":"), pair.peer_mac.hex(":"), ETH_IPV4, packet)


def fill_variants(table: Fd) -> None:
    """Variant n comes from 198.18.n and one of the ports, in turn; its identification is the complement of the address."""
    for n in range(VARIANTS):
        value = struct.pack("!HHHH", n, 0xFFFF - n, PORTS[n % len(PORTS)], 0)
        libbpf.map_update(table, struct.pack("=I", n), value)


def napi_threads(ifname: str) -> list[int]:
    """Put the interface's NAPI into threads on the receiver's core; return their pids (of this pid namespace)."""
    Path(f"/sys/class/net/{ifname}/threaded").write_text("1")
    time.sleep(0.05)
    found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _comm(p).startswith(f"napi/{ifname}-")]
    for pid in found:
        os.sched_setaffinity(pid, {RECEIVER_CPU})
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(RECEIVER_FIRST))
    return found


def _comm(process: Path) -> str:
    try:
        return (process / "comm").read_text()
    except OSError:
        return ""


def cpu_ns(pids: list[int]) -> int:
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)


def xdp_packets(ifname: str) -> int:
    """Packets that the veth's receive queues took, with and without a program."""
    return sum(int(n) for n in re.findall(r"rx_queue_\d+_xdp_packets: (\d+)", run("ethtool", "-S", ifname)))
