"""A ring beside what else a node does: programs on the same queue, the streams container's few rights, kernels before 6.4."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.artifacts import DROP, verdict
from tests.kernel.netpair import NetnsPair, open_descriptors
from tests.kernel.ring_client import HeldRing, hold
from tests.kernel.ring_lab import keeping, make_order, numbered, numbers, until

from spillway_crds.errors import KernelError, NotSupported
from spillway_dataplane.kernel import libbpf, xsk
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.way.state import RingState
from spillway_stream.pages import LinkState

THE_THREE = "-all,+net_raw,+net_admin,+ipc_lock"


def ready(directory: Path) -> HeldRing:
    held = hold(directory)
    held.until(LinkState.READY)
    return held


# ---- programs -------------------------------------------------------------------------------------------------------------


def test_a_filter_and_a_ring_share_a_queue(keeper: RingKeeper, node: NetnsPair, tmp_path: Path) -> None:
    """Attached, swapped and detached in mid-stream: what the ring sends all arrives, what comes is dropped by the program."""
    order = make_order(tmp_path)
    keeper.open(order)
    held = ready(order.directory)
    flood = [node.mac + node.peer_mac + b"\x08\x00" + bytes(60)] * 50
    with node.peer_listen() as far, node.listen() as near:
        held.send(numbered(held, 0, 100))
        with (
            libbpf.prog_load(verdict(DROP), "one") as one,
            libbpf.prog_load(verdict(DROP), "two") as two,
            libbpf.link_create(one, node.ifindex, libbpf.XDP_DRV_MODE) as link,
        ):
            held.send(numbered(held, 100, 100))
            node.send(flood, queue_id=1)
            libbpf.link_update(link, two, one)
            held.send(numbered(held, 200, 100))
            node.send(flood, queue_id=1)
            assert flood[0] not in near.frames(1, timeout_s=0.2)
        held.send(numbered(held, 300, 100))
        node.send(flood, queue_id=1)
        assert near.frames(150, timeout_s=0.5).count(flood[0]) == 50
        assert numbers(far.frames(400)) == list(range(400))
    assert until(keeper).state is RingState.READY


# ---- rights ---------------------------------------------------------------------------------------------------------------

DRIVER = """
import sys, time
from pathlib import Path
from tests.kernel.ring_lab import make_order
from tests.kernel.ring_client import hold
from spillway_crds.errors import SpillwayError
from spillway_crds.streams import BindMode
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_stream.pages import LinkState
keeper = RingKeeper(patience_s=0.5)
order = make_order(Path(sys.argv[1]), mode=BindMode.PREFER)
try:
    keeper.open(order)
    held = hold(order.directory)
    held.until(LinkState.READY)
    held.send([held.packet(b"x" * 40)] * 10)
    held.close()
    keeper.close(order.key)
    print("sent")
except SpillwayError as error:
    print(type(error).__name__, error)
keeper.stop()
"""


def run_with(capabilities: str, tmp_path: Path) -> str:
    command = [
        *("setpriv", "--no-new-privs", f"--inh-caps={capabilities}", f"--bounding-set={capabilities}"),
        *(sys.executable, "-W", "error", "-c", DRIVER, str(tmp_path)),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        pytest.param(THE_THREE, "sent", id="the three are enough"),
        pytest.param("-all,+net_admin,+ipc_lock", "KernelError socket(AF_XDP) on spw0: EPERM", id="no socket without NET_RAW"),
        pytest.param(
            "-all,+net_raw,+net_admin", "KernelError setsockopt XDP_UMEM_REG on spw0: ENOBUFS", id="no memory without IPC_LOCK"
        ),
    ],
)
def test_what_the_streams_container_may_and_what_it_says(node: NetnsPair, tmp_path: Path, capabilities: str, said: str) -> None:
    assert run_with(capabilities, tmp_path).startswith(said)


# ---- kernels --------------------------------------------------------------------------------------------------------------


def test_a_kernel_that_maps_no_bound_rings(keeper: RingKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 6.4 answers EBUSY, which is played here: no newer kernel does."""
    before = open_descriptors()

    def refuse(descriptor: int, *arguments: Any, offset: int = 0, **more: Any) -> mmap.mmap:
        if offset:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return mmap.mmap(descriptor, *arguments, **more)

    monkeypatch.setattr(xsk, "mmap", _Mapping(refuse))
    with pytest.raises(NotSupported, match=r"maps no rings of a bound socket .EBUSY., 6.4 and later do"):
        keeper.open(make_order(tmp_path))
    assert open_descriptors() == before


class _Mapping:
    """The module mmap with another constructor."""

    def __init__(self, constructor: Any) -> None:
        self.mmap = constructor

    def __getattr__(self, name: str) -> Any:
        return getattr(mmap, name)


def test_a_node_that_gives_no_thread(node: NetnsPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    with keeping() as keeper:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _no_thread)
            with pytest.raises(KernelError, match="make the socket of studio/cam: EAGAIN"):
                keeper.open(make_order(tmp_path))
        assert keeper.statuses() == ()
        assert keeper.open(make_order(tmp_path)).frames == 512
    assert open_descriptors() == before


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# ---- many rings -----------------------------------------------------------------------------------------------------------


def test_rings_come_and_go_on_all_queues_at_once(keeper: RingKeeper, tmp_path: Path) -> None:
    """Orders from several threads, as kubelet's calls come."""
    failures: list[BaseException] = []

    def churn(queue: int) -> None:
        order = make_order(tmp_path, queue, name=f"cam{queue}")
        try:
            for _ in range(5):
                keeper.open(order)
                hold(order.directory).close()
                keeper.close(order.key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(queue,)) for queue in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert keeper.statuses() == ()


def test_changes_are_told_once_and_counts_are_none(keeper: RingKeeper, tmp_path: Path, node: NetnsPair) -> None:
    order = make_order(tmp_path)
    told: list[RingState] = []
    keeper.on_change = lambda: told.append(keeper.statuses()[0].state)
    keeper.open(order)
    held = ready(order.directory)
    until(keeper, completed=False, holder=f"process {os.getpid()} of uid 0")
    time.sleep(1.2)
    before = len(told)
    for number in range(5):
        held.report(packets=number * 1000)
        time.sleep(0.3)
    assert len(told) == before
    node.peer_run("ip", "link", "set", "spw1", "down")
    until(keeper, state=RingState.LINK_DOWN)
    deadline = time.monotonic() + 3
    while told[-1] is not RingState.LINK_DOWN:
        assert time.monotonic() < deadline
        time.sleep(0.02)
