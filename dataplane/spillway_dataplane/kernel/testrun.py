"""Many frames through one loaded program, each once, by BPF_PROG_TEST_RUN: nothing is sent, the verdicts come back.

Used by tests, fuzzing and benches; `libbpf.test_run` is the plain call for one frame with its output.
"""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spillway_dataplane.kernel.libbpf import check, library
from spillway_dataplane.kernel.libbpf import test_run as run_one
from spillway_dataplane.kernel.mirrors import TestRunOpts, XdpMd
from spillway_dataplane.kernel.objects import Fd, RunResult


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame without FCS and the receive queue that it arrives on.

    linear_bytes: how much of it lies in the first buffer; None is as much as the kernel puts there. Needs Linux 6.18.
    """

    frame: bytes
    queue_id: int = 0
    linear_bytes: int | None = None


def run(prog: Fd, frame: bytes, *, ingress_ifindex: int = 0, queue_id: int = 0, repeat: int = 1) -> RunResult:
    """Run one frame `repeat` times. duration_ns of the result: average of one run."""
    return run_one(prog, frame, ingress_ifindex=ingress_ifindex, queue_id=queue_id, repeat=repeat)


def run_all(prog: Fd, arrivals: Iterable[Arrival], *, ingress_ifindex: int = 0) -> Iterator[int]:
    """Run each frame once, in order, and yield its XDP verdict.

    ingress_ifindex 0: the loopback device stands in, with queue 0 only; a veth has queues once XDP is attached to it.
    Raises OSError for what the kernel refuses.
    """
    call = library().bpf_prog_test_run_opts
    context = XdpMd(ingress_ifindex=ingress_ifindex)
    options = TestRunOpts(sz=ct.sizeof(TestRunOpts), ctx_in=ct.addressof(context), ctx_size_in=ct.sizeof(context), repeat=1)
    number, reference = prog.fileno(), ct.byref(options)
    for arrival in arrivals:
        size = len(arrival.frame)
        context.data_end = size if arrival.linear_bytes is None else arrival.linear_bytes
        context.rx_queue_index = arrival.queue_id
        options.data_in = ct.cast(ct.c_char_p(arrival.frame), ct.c_void_p)
        options.data_size_in = size
        options.data_size_out = 0  # the kernel leaves the size of the last frame there, and takes it for the room we have
        check(call(number, reference), "test run")
        yield options.retval
