"""Run an operation in a child that dies by SIGKILL just before one chosen step that changes anything in the kernel."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from spillway_dataplane.kernel import barrier, libbpf

STEPS = (
    libbpf.prog_load,
    libbpf.map_create,
    libbpf.map_update,
    libbpf.map_delete,
    libbpf.obj_pin,
    libbpf.link_create,
    libbpf.link_update,
    libbpf.link_detach,
    barrier.wait_for_running_programs,
)
PATH_STEPS = ("mkdir", "rename", "unlink", "rmdir")


class Countdown:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def before(self, step: Callable[..., object]) -> Callable[..., object]:
        def stepped(*args: object, **options: object) -> object:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
            return step(*args, **options)

        return stepped


def crash_before(step: int, operation: Callable[[], object]) -> bool:
    """Let a child die before step number `step` of the operation, the first being 0. False: it has fewer, and was done.

    An operation that raises fails the test through the child's exit status.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            arm(Countdown(step))
            operation()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the operation itself failed"
    return False


def arm(countdown: Countdown) -> None:
    """Put the countdown before every step, in each module that has imported it."""
    armed = {step: countdown.before(step) for step in STEPS}
    modules = [module for name, module in sys.modules.items() if name.startswith("spillway_dataplane.kernel.")]
    for module in modules:
        for name, value in list(vars(module).items()):
            if callable(value) and value in armed:
                setattr(module, name, armed[value])
    for name in PATH_STEPS:
        setattr(Path, name, countdown.before(getattr(Path, name)))
