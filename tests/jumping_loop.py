"""An event loop for tests in which nothing takes time but sleeping, and sleeping takes none of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer as soon as nothing else is to be done."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def play(script: Coroutine[Any, Any, None]) -> None:
    """Run a script to its end."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(script)


@contextlib.asynccontextmanager
async def beside(serving: Coroutine[Any, Any, None]) -> Any:
    """Run something for as long as the block lasts, then cancel it and wait for its end."""
    task = asyncio.create_task(serving)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
