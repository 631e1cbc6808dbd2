"""Verified bytecode on disk, by the digest of its source. Bounded: what runs, and the latest others."""

from __future__ import annotations

import logging

from spillway_dataplane.kept.store import BYTECODE, Store
from spillway_dataplane.kernel.artifact import Artifact, CorruptArtifact

LOG = logging.getLogger(__name__)
KEPT_UNUSED = 20
SUFFIX = ".art"


class ArtifactCache:
    """Used by the builder's thread and the agent's: a file is written whole or not at all, and the set only names files."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests = {name.removesuffix(SUFFIX) for name in store.names(BYTECODE) if name.endswith(SUFFIX)}

    @property
    def digests(self) -> frozenset[str]:
        """What is there to be loaded without compiling."""
        return frozenset(self._digests)

    def get(self, digest: str) -> Artifact | None:
        """Return an artifact, or None when it is not there or damaged: then it has to be compiled again."""
        raw = self._store.read_bytes(_path(digest))
        try:
            artifact = Artifact.from_bytes(raw) if raw is not None else None
        except CorruptArtifact:
            LOG.warning("bytecode %s is damaged and is compiled again", digest)
            artifact = None
        if artifact is None:
            self.discard(digest)
        else:
            self._store.touch(_path(digest))
        return artifact

    def put(self, artifact: Artifact) -> None:
        """Keep what the verifier has accepted. Raises OSError when the disk does not take it."""
        self._store.write_bytes(_path(artifact.digest), artifact.to_bytes())
        self._digests.add(artifact.digest)

    def discard(self, digest: str) -> None:
        """Forget one: damaged, or refused by this kernel."""
        self._digests.discard(digest)
        self._store.remove([_path(digest)])

    def trim(self, in_use: frozenset[str]) -> None:
        """Keep those in use and the latest others."""
        unused = [name.removesuffix(SUFFIX) for name in self._store.names(BYTECODE) if name.removesuffix(SUFFIX) not in in_use]
        for digest in unused[:-KEPT_UNUSED]:
            self.discard(digest)


def _path(digest: str) -> str:
    return f"{BYTECODE}/{digest}{SUFFIX}"
