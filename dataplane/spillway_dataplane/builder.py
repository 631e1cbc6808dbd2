"""The compiler beside the agent's loop: one thread, one program at a time. The loop never waits for it, so relief never does.

A program is compiled and shown to the verifier before anything is changed. When it cannot be had, the filters at fault are found,
so that the next plan can go on without them.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from spillway_crds.errors import KernelError, SpillwayError, Transient
from spillway_dataplane.filter.program import ProgramSpec
from spillway_dataplane.kept.artifacts import ArtifactCache
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.node.findings import Finding, Reason, from_error
from spillway_dataplane.planning.culprits import find_culprits
from spillway_dataplane.planning.drafts import ages, blame, digest_of, source_of
from spillway_dataplane.planning.wishes import Seat
from spillway_dataplane.ports import Kernel
from spillway_dataplane.source import Built, Inbox

LOG = logging.getLogger(__name__)
Compile = Callable[[str], Artifact]
NOT_THE_PROGRAM = frozenset({errno.EPERM, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS})


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """A program to have ready. good: uids of the members that run in just this revision."""

    ifname: str
    digest: str
    spec: ProgramSpec
    members: tuple[Seat, ...] = ()
    good: frozenset[str] = frozenset()


class Builder:
    """Takes orders, answers with Built in the inbox. building: digests that are under way; touched by the loop's thread only."""

    def __init__(self, kernel: Kernel, cache: ArtifactCache, compile_source: Compile, inbox: Inbox) -> None:
        self._kernel, self._cache, self._compile, self._inbox = kernel, cache, compile_source, inbox
        self._orders: SimpleQueue[BuildOrder | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spillway-builder", daemon=True)
        self.building: set[str] = set()

    def start(self) -> None:
        """Begin to take orders."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more; what is being compiled is of no use to anybody."""
        self._orders.put(None)

    def request(self, order: BuildOrder) -> None:
        """Have a program built, once."""
        if order.digest not in self.building:
            self.building.add(order.digest)
            self._orders.put(order)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            started = time.monotonic()
            try:
                built = self._answer(order)
            except Exception as error:  # a mistake of ours must not end the thread: the old programs run on, and it is told
                LOG.exception("building the program of %s failed", order.ifname)
                failed = Finding(Reason.TRANSIENT, f"building the program failed: {error!r}", order.ifname)
                built = Built(order.ifname, order.digest, failed=failed)
            seconds = time.monotonic() - started
            self._inbox.put(Built(built.ifname, built.digest, seconds, built.refused, built.failed))

    def _answer(self, order: BuildOrder) -> Built:
        error = self.attempt(order.spec)
        if error is None:
            return Built(order.ifname, order.digest)
        if not is_about_program(error):
            return Built(order.ifname, order.digest, failed=from_error(error, ifname=order.ifname))
        LOG.warning("the program of %s cannot be had: %s", order.ifname, error)
        guilty = find_culprits(order.spec, order.good, ages(order.members), error, self.attempt)
        if not guilty:
            return Built(order.ifname, order.digest, failed=from_error(error, ifname=order.ifname))
        return Built(order.ifname, order.digest, refused=blame(order.ifname, order.members, guilty))

    def attempt(self, spec: ProgramSpec) -> SpillwayError | None:
        """Compile one program, show it to the verifier and keep it; return what stood in the way, or None."""
        try:
            digest = digest_of(spec)
            if digest in self._cache.digests and self._cache.get(digest) is not None:
                return None
            artifact = self._compile(source_of(spec))
            self._kernel.load_check(artifact)
            self._cache.put(artifact)
        except SpillwayError as error:
            return error
        except OSError as error:
            return Transient(operation="keep bytecode", detail=str(error))
        return None


def is_about_program(error: SpillwayError) -> bool:
    """Whether another program could fare better: not if a permission, memory or disk is missing."""
    if isinstance(error, KernelError):
        return error.errno not in NOT_THE_PROGRAM
    return not isinstance(error, Transient)
