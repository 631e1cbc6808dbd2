"""Work by key. Law: any number of bells while a key's work runs give exactly one more run, which starts after the last of them.

Knows nothing of Kubernetes. One event loop, no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)
NEVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key rests after its n-th failure in a row: doubled each time, capped, half of it by chance."""

    first_s: float = 0.2
    most_s: float = 8.0  # for so long at most an order waits when the API server is back

    def delay_s(self, failures: int) -> float:
        """Seconds to rest after `failures` failures in a row, 1 or more."""
        full_s = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return full_s * random.uniform(0.5, 1.0)


@dataclass(slots=True)
class _Key:
    """What is known of one key. due_s: when it may start; NEVER_S while nobody rang. rest_s: not before this."""

    due_s: float = NEVER_S
    rest_s: float = 0.0
    failures: int = 0
    running: bool = False


class WorkQueue:
    """Runs `work(key)` for keys that were rung: one run at a time for a key, at most `concurrency` in all.

    min_interval_s: least time between two starts of one key; other keys do not wait for it.
    done: told (queue, succeeded) after each run.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[str], Awaitable[None]],
        *,
        concurrency: int = 1,
        min_interval_s: float = 0.0,
        backoff: Backoff = Backoff(),
        done: Callable[[str, bool], None] = lambda name, succeeded: None,
    ) -> None:
        self.name = name
        self._work, self._backoff, self._done = work, backoff, done
        self._min_interval_s = min_interval_s
        self._slots = asyncio.Semaphore(concurrency)
        self._keys: dict[str, _Key] = {}
        self._heap: list[tuple[float, int, str]] = []  # an entry whose time is not its key's due time is stale
        self._tickets = itertools.count()
        self._bell = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        """Keys that wait or run."""
        return sum(key.running or key.due_s < NEVER_S for key in self._keys.values())

    def ring(self, name: str, *, after_s: float = 0.0) -> None:
        """Ask for a run that starts after this call, at the earliest in `after_s`. Of two bells the earlier wins."""
        key = self._keys.setdefault(name, _Key())
        due_s = max(asyncio.get_running_loop().time() + after_s, key.rest_s)
        if due_s < key.due_s:
            key.due_s = due_s
            self._offer(name, key)

    def _offer(self, name: str, key: _Key) -> None:
        if not key.running:  # else the end of its run offers it
            heapq.heappush(self._heap, (key.due_s, next(self._tickets), name))
            self._bell.set()

    async def run(self) -> None:
        """Serve until cancelled. What is under way then is finished first: no write is left in the air."""
        try:
            while True:
                await self._slots.acquire()  # the slot first: the longer a key waits, the more bells it takes in
                self._start(await self._next())
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _next(self) -> str:
        loop = asyncio.get_running_loop()
        while True:
            self._bell.clear()
            while self._heap and self._is_stale(self._heap[0]):
                heapq.heappop(self._heap)
            if self._heap and self._heap[0][0] <= loop.time():
                return heapq.heappop(self._heap)[2]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._heap[0][0] if self._heap else None):
                    await self._bell.wait()

    def _is_stale(self, entry: tuple[float, int, str]) -> bool:
        due_s, _, name = entry
        key = self._keys.get(name)
        return key is None or key.running or key.due_s != due_s

    def _start(self, name: str) -> None:
        key = self._keys[name]
        key.running, key.due_s = True, NEVER_S
        key.rest_s = asyncio.get_running_loop().time() + self._min_interval_s
        task = asyncio.create_task(self._run_one(name, key), name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_one(self, name: str, key: _Key) -> None:
        try:
            await self._work(name)
        except Exception as error:  # whatever it was, the key comes back and the others go on
            self._rest(name, key, error)
            self._done(self.name, False)
        else:
            key.failures = 0
            self._done(self.name, True)
        finally:
            self._finish(name, key)

    def _rest(self, name: str, key: _Key, error: Exception) -> None:
        key.failures += 1
        delay_s = self._backoff.delay_s(key.failures)
        log.warning("%s %s failed (%d in a row), again in %.1f s: %r", self.name, name, key.failures, delay_s, error)
        now = asyncio.get_running_loop().time()
        key.rest_s = max(key.rest_s, now + delay_s)  # a new bell does not cut the rest short
        key.due_s = now

    def _finish(self, name: str, key: _Key) -> None:
        key.running = False
        self._slots.release()
        if key.due_s < NEVER_S:
            key.due_s = max(key.due_s, key.rest_s)
            self._offer(name, key)
        elif key.rest_s <= asyncio.get_running_loop().time():
            del self._keys[name]
