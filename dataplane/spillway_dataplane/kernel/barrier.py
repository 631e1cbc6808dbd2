"""Wait until no CPU runs any more what was replaced."""

from __future__ import annotations

import ctypes as ct
import platform
import time

MEMBARRIER_CMD_GLOBAL = 1  # synchronize_rcu() by another name: kernel/sched/membarrier.c
_NUMBERS = {"x86_64": 324}
_GENERIC_NUMBER = 283  # include/uapi/asm-generic/unistd.h: arm64, riscv64, loongarch64
FALLBACK_S = 0.1  # a grace period takes some 20 ms


def wait_for_running_programs() -> None:
    """Return when every packet that entered a replaced program has left it.

    A link's update returns while another CPU may still be inside the old program, about to make a tail call; emptying its
    program array then would let that packet through.
    """
    number = _NUMBERS.get(platform.machine(), _GENERIC_NUMBER)
    if ct.CDLL(None).syscall(number, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0:  # refused where CPUs run without a tick
        time.sleep(FALLBACK_S)
