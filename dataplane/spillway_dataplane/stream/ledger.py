"""What is counted of a ring and written down, so that neither a holder's end nor a restart of the node's driver loses it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from spillway_dataplane.stream.binding import Bound
from spillway_dataplane.stream.counting import Counting
from spillway_dataplane.stream.pages import ReportPage
from spillway_dataplane.stream.record import RingRecord, boot_id, read_record, remove_record, write_record

RECORD_EVERY_S = 10.0


class Ledger:
    """The counts of one ring and its record. The ring's lock guards it; report: what its holders write."""

    def __init__(self, directory: Path, report: ReportPage) -> None:
        self._directory, self._report = directory, report
        self.record = read_record(directory)
        self.counting = self.recorded()
        self._recorded_s = 0.0

    def recorded(self) -> Counting:
        """Return the counts as they were written down last."""
        return Counting(self.record.before, self.record.seen) if self.record is not None else Counting()

    def begin(self, bound: Bound, counting: Counting) -> None:
        """Go on with these counts on a socket that was opened or adopted."""
        self.counting = counting
        self.write(bound)

    def next_holder(self, bound: Bound, now_s: float) -> None:
        """Keep for good what the last holder counted, and begin a report for the next. now_s: monotonic. Raises OSError."""
        self._read_report(now_s)
        self._report.renew()
        self.counting = self.counting.next_holder()
        self.write(bound)

    def lose(self) -> None:
        """The socket is of no use any more: no application can bring it back, but what was counted stays."""
        self.counting = self.counting.next_holder()
        if self.record is not None:
            self.record = replace(self.record, cookie=0, umem_inode=0, **self.counting.kept())
            self._save()

    def sample(self, bound: Bound | None, now_s: float) -> None:
        """Read the report; write down what changed, not too often. now_s: monotonic."""
        self._read_report(now_s)
        if bound is None or now_s - self._recorded_s < RECORD_EVERY_S or self.counting.kept() == self.recorded().kept():
            return
        self._recorded_s = now_s
        self.write(bound)

    def _read_report(self, now_s: float) -> None:
        report = self._report.read()
        self.counting = self.counting.read(report, now_s) if report else self.counting.silent(now_s)

    def write(self, bound: Bound) -> None:
        """Write down the socket and its counts."""
        xsk = bound.xsk
        self.record = RingRecord(
            boot_id=boot_id(),
            ifindex=bound.ifindex,
            cookie=xsk.cookie,
            umem_inode=xsk.umem_inode,
            shape=xsk.shape,
            note=bound.note,
            **self.counting.kept(),
        )
        self._save()

    def _save(self) -> None:
        assert self.record is not None
        with suppress(OSError):  # a full disk must not stop a stream; without the file a restart cannot adopt it
            write_record(self._directory, self.record)

    def remove(self) -> None:
        """Forget the ring."""
        remove_record(self._directory)
