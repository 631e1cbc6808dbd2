"""Something long done beside something else, which ends at once with it when that fails or is stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")
AGAIN_S = 0.05


@contextmanager
def beside(work: Callable[[], Made]) -> Iterator[Future[Made]]:
    """Do `work` in a thread of its own while the block runs; what comes of it is in the future.

    If the block does not end well, the programs that the thread runs are killed until it gives up: a signal that stops this
    process by its pid does not reach them.
    """
    threads: list[int] = []

    def named_work() -> Made:
        threads.append(threading.get_native_id())
        return work()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(named_work)
        try:
            yield done
        except BaseException:
            give_up(done, threads)
            raise


def give_up(work: Future[Made], threads: list[int]) -> None:
    while not work.cancel() and not work.done():
        for pid in [pid for thread in threads for pid in children(thread)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(AGAIN_S)


def children(thread: int) -> list[int]:
    """Processes that a thread of this process started. None where the kernel does not tell."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{thread}/children").read_text().split()]
    except OSError:
        return []
