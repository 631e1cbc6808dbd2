"""The two pages that a ring's holder shares with its node: ours to write, and theirs to write. Layouts: spillway_stream.pages."""

from __future__ import annotations

import mmap
import os
import threading

from spillway_dataplane.kernel.memfd import seal_writes, sealed_memory
from spillway_dataplane.way.plan import Way
from spillway_dataplane.way.state import RingState
from spillway_stream.pages import (
    PAGE,
    PAGE_BODY_AT,
    PAGE_BYTES,
    PAGE_SEQUENCE_AT,
    REPORT_BYTES,
    LinkState,
    Page,
    Report,
    decode_report,
    encode_page,
)

LINK_STATES = {
    RingState.STARTING: LinkState.STARTING,
    RingState.READY: LinkState.READY,
    RingState.UNRESOLVED: LinkState.UNRESOLVED,
    RingState.NO_ROUTE: LinkState.NO_ROUTE,
    RingState.LINK_DOWN: LinkState.LINK_DOWN,
    RingState.GONE: LinkState.GONE,
}


def page_of(way: Way) -> Page:
    """Write a way as the holder reads it."""
    state = LINK_STATES[way.state]
    if way.header is None:
        return Page(state, way.mtu_bytes, reason=way.reason)
    header = way.header
    return Page(
        state=state,
        mtu=way.mtu_bytes,
        header=header.octets,
        ip_offset=header.ip_offset,
        udp_offset=header.udp_offset,
        family=header.family,
        pseudo_sum=header.pseudo_sum,
        reason=way.reason,
    )


class HeaderPage:
    """The page that says what a frame begins with. Its memory can be written through this object only, whoever maps it."""

    def __init__(self) -> None:
        self.fd = sealed_memory("spillway-page", PAGE_BYTES, more_seals=True)
        try:
            self._memory = mmap.mmap(self.fd, PAGE_BYTES)
            seal_writes(self.fd)
        except BaseException:
            os.close(self.fd)
            raise
        self._sequence = 0
        self._fence = threading.Lock()
        self._page = Page(LinkState.STARTING)
        self._store(self._page)

    def write(self, page: Page) -> bool:
        """Show a page; returns whether it is another than before. One writer at a time."""
        if page == self._page:
            return False
        self._page = page
        self._store(page)
        return True

    def _store(self, page: Page) -> None:
        """A reader that sees the same even number before and after has read one page, never parts of two."""
        self._sequence += 2
        whole = encode_page(page, self._sequence)
        self._store_sequence(self._sequence - 1)
        self._memory[PAGE_BODY_AT : PAGE.size] = whole[PAGE_BODY_AT:]
        self._order()
        self._memory[:PAGE_SEQUENCE_AT] = whole[:PAGE_SEQUENCE_AT]
        self._store_sequence(self._sequence)

    def _store_sequence(self, number: int) -> None:
        self._memory[PAGE_SEQUENCE_AT:PAGE_BODY_AT] = number.to_bytes(8, "little")  # eight aligned bytes: one store
        self._order()

    def _order(self) -> None:
        """Keep stores apart where the processor would not (arm64): what a lock gives back is seen before what follows."""
        for _ in range(2):
            with self._fence:
                pass

    def close(self) -> None:
        """Let the memory go; holders keep what they mapped."""
        self._memory.close()
        os.close(self.fd)


class ReportPage:
    """The page that a holder writes and nobody believes. Read with pread: nothing that it does to it can hurt the reader.

    Every holder has one of its own: it shares the descriptor's flags with us, and with O_APPEND set nobody could clear it.
    """

    def __init__(self) -> None:
        self.fd = sealed_memory("spillway-report", REPORT_BYTES)

    def read(self) -> Report | None:
        """Return what stands there, None where it is no report."""
        return decode_report(os.pread(self.fd, REPORT_BYTES, 0))

    def renew(self) -> None:
        """Begin anew for the next holder. Raises OSError, and then the old one stays."""
        last, self.fd = self.fd, sealed_memory("spillway-report", REPORT_BYTES)
        os.close(last)

    def close(self) -> None:
        """Let the memory go."""
        os.close(self.fd)
