"""What holders counted, written down and added up: never falls, never grows beyond what JSON can say, whatever they write."""

from __future__ import annotations

import socket
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_dataplane.kernel.xsk import RingShape
from spillway_dataplane.stream import record as records
from spillway_dataplane.stream.client import Client, Ended
from spillway_dataplane.stream.counting import HIGHEST, Counting, counters_of, highest, jitter_of, plus
from spillway_dataplane.stream.model import JitterQuantiles, RingCounters
from spillway_dataplane.stream.record import RingRecord, boot_id, read_record, remove_record, write_record
from spillway_stream.pages import JITTER_BUCKETS, Report, bucket_of
from spillway_stream.wire import encode_hello

u64 = st.integers(0, (1 << 64) - 1)
reports = st.builds(Report, *[u64] * 22, jitter=st.just((0,) * JITTER_BUCKETS))
NAMES = [each.name for each in fields(RingCounters)]


def packets(count: int, size_bytes: int = 0) -> Report:
    return replace(Report(jitter=(0,) * JITTER_BUCKETS), packets=count, bytes=size_bytes)


@given(st.lists(reports, max_size=5))
def test_totals_never_fall_and_are_bounded(told: list[Report]) -> None:
    counting, last = Counting(), RingCounters()
    for turn, report in enumerate(told):
        counting = counting.read(report, float(turn))
        shown = counting.shown()["counters"]
        assert all(getattr(last, name) <= getattr(shown, name) <= HIGHEST for name in NAMES)
        last = shown


def test_one_holder_after_the_other() -> None:
    counting = Counting().read(packets(100), 0.0).next_holder().read(packets(7), 1.0)
    assert counting.shown()["counters"].packets == 107
    assert counting.next_holder().next_holder().shown()["counters"].packets == 107


def test_a_rate_is_of_the_last_second_or_so() -> None:
    counting = Counting().read(packets(0), 10.0).read(packets(340_000, 4_000_000), 11.0)
    assert (counting.packets_per_second, counting.bits_per_second) == (340_000, 32_000_000)
    sooner = counting.read(packets(341_000, 4_000_000), 11.2)
    assert sooner.packets_per_second == 340_000
    assert sooner.read(packets(341_000, 4_000_000), 12.0).packets_per_second == 1000


def test_the_next_holder_begins_without_the_lasts_rate() -> None:
    counting = Counting().read(packets(0), 0.0).read(packets(1000), 1.0).next_holder()
    assert counting.read(packets(0), 1.5).packets_per_second == 0


def test_who_died_over_the_report_has_no_rate() -> None:
    counting = Counting().read(packets(0), 0.0).read(packets(1000), 1.0)
    assert counting.silent(2.0).packets_per_second == 1000
    assert counting.silent(4.5).packets_per_second == 0
    assert counting.silent(4.5).shown()["counters"].packets == 1000


def test_jitter_as_quantiles() -> None:
    buckets = [0] * JITTER_BUCKETS
    buckets[bucket_of(1600)], buckets[bucket_of(4900)], buckets[bucket_of(90_000)] = 980, 15, 5
    quantiles = jitter_of(replace(packets(0), jitter=tuple(buckets)))
    assert (1600 <= quantiles.p50_ns < 1800, 4900 <= quantiles.p99_ns < 5600) == (True, True)
    assert quantiles.max_ns >= 90_000
    assert jitter_of(packets(0)) == JitterQuantiles()


@given(reports)
def test_every_counter_is_bounded(report: Report) -> None:
    assert all(0 <= getattr(counters_of(report), name) <= HIGHEST for name in NAMES)


def test_sums_and_highest_are_by_field() -> None:
    one, other = RingCounters(packets=1, late=5), RingCounters(packets=3, late=2)
    assert plus(one, other) == RingCounters(packets=4, late=7)
    assert highest(one, other) == RingCounters(packets=3, late=5)


# ---- the record -----------------------------------------------------------------------------------------------------------

SHAPE = RingShape(frames=512, frame_bytes=2048, tx_slots=256, completion_slots=512)
RECORD = RingRecord("", 3, 77, 4242, SHAPE, "no zero copy", RingCounters(packets=9), RingCounters(packets=4))


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = replace(RECORD, boot_id=boot_id())
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert (tmp_path / records.RECORD).stat().st_mode & 0o777 == 0o600
    remove_record(tmp_path)
    assert read_record(tmp_path) is None
    remove_record(tmp_path)


def test_a_record_of_another_boot_is_none(tmp_path: Path) -> None:
    write_record(tmp_path, replace(RECORD, boot_id="another"))
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("raw", ["", "[]", "7", "{}", '{"boot_id": "x"}', '{"before": {}, "seen": {"no": 1}, "shape": {}}'])
def test_a_damaged_record_is_none(tmp_path: Path, raw: str) -> None:
    (tmp_path / records.RECORD).write_text(raw)
    assert read_record(tmp_path) is None


def test_a_record_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / f"{records.RECORD}.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        write_record(tmp_path, RECORD)


# ---- one connection -------------------------------------------------------------------------------------------------------


def test_who_does_not_read_is_let_go() -> None:
    """A full buffer ends the connection; nothing waits for it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client = Client(ours, 0.0)
    began = time.monotonic()
    with pytest.raises(Ended):
        for _ in range(100_000):
            client.wait("x" * 500)
    assert time.monotonic() - began < 5
    client.refuse(11, "and a refusal that cannot be sent is no error")
    theirs.close()


def test_a_greeting_once_and_then_silence() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client = Client(ours, 0.0)
    assert client.receive() is None
    theirs.send(encode_hello())
    hello = client.receive()
    assert hello is not None and (hello.resuming, hello.descriptors) == (False, ())
    assert client.receive() is None
    theirs.send(encode_hello())
    with pytest.raises(Ended, match="more than a greeting"):
        client.receive()
    client.close()
    theirs.close()
