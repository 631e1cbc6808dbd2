"""What lies on disk: whole or not at all, and never a reason to stop."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.unit.agent_fakes import Orders, content

from spillway_crds.orders import Totals
from spillway_dataplane.filter.slots import RuleKey, SlotTable, assign
from spillway_dataplane.kept.artifacts import KEPT_UNUSED, ArtifactCache
from spillway_dataplane.kept.counts import CountBook
from spillway_dataplane.kept.records import InterfaceRecord, MemberRecord, Records, with_attached
from spillway_dataplane.kept.store import BYTECODE, COUNTS, ORDER, RECORDS, Store
from spillway_dataplane.kept.wire import decode_records, encode_records
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.memory import Memory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.prepare()
    return made


def restored(store: Store) -> Memory:
    memory = Memory(store)
    memory.restore()
    return memory


def test_everything_comes_back(store: Store) -> None:
    orders = Orders()
    memory = Memory(store)
    seen = orders.seen(orders.filter("dns", content()))
    memory.take_order(seen)
    memory.take_records(
        Records({"eth0": InterfaceRecord(2)}, {"abc": (MemberRecord("u", "n", "r"),)}, assign(SlotTable(), {"u": ["a"]}))
    )
    memory.take_book(CountBook("nd-1", {RuleKey("u", "a"): Totals(1, 2, 3, 4, 5, 6)}))
    memory.take_switch(True)
    memory.take_peers({"nodes": '["10.0.0.11"]'})
    again = restored(store)
    assert (again.order, again.uid, again.contents) == (seen.order, "nd-1", orders.contents)
    assert (again.records, again.book, again.switched_off) == (memory.records, memory.book, True)
    assert again.cluster_peers == memory.cluster_peers


@pytest.mark.parametrize("name", [ORDER, RECORDS, COUNTS, "peers.json", "switch.json"])
@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b"{}", b'{"order": 7, "spec": {}, "countsFor": 1, "data": 3}', b"\xff\xfe"]
)
def test_damaged_file_is_a_missing_one(store: Store, name: str, rubbish: bytes) -> None:
    store.write_bytes(name, rubbish)
    memory = restored(store)
    assert memory.order is None
    assert memory.records == Records()


def test_damaged_revision_is_a_missing_one(store: Store) -> None:
    orders = Orders()
    Memory(store).take_order(orders.seen(orders.filter("dns", content())))
    (path,) = (store.root / "revisions").iterdir()
    path.write_text(path.read_text().replace("eth0", "eth1"))
    memory = restored(store)
    assert memory.order is not None
    assert memory.contents == {}, "a content that is not the one its name was made of is never run"


def test_crash_while_writing_leaves_the_old_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every system call of a write: what is read afterwards is the old file or the new one, whole."""
    for call in ("fsync", "replace"):
        store.write_json(ORDER, {"old": 1})
        with monkeypatch.context() as patched:
            patched.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), _die)
            with pytest.raises(OSError, match="disk"):
                store.write_json(ORDER, {"new": 2})
        assert store.read_json(ORDER) == {"old": 1}


def _die(*_: object) -> None:
    raise OSError(errno.ENOSPC, "disk full")


def test_full_disk_costs_the_memory_not_the_filter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = Orders()
    memory = Memory(store)
    seen = orders.seen(orders.filter("dns", content()))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _die)
        memory.take_order(seen)
    assert memory.order == seen.order
    memory.take_order(seen)
    assert restored(store).order == seen.order, "it is written as soon as the disk takes it"


def test_nothing_is_written_twice(store: Store) -> None:
    orders = Orders()
    memory = Memory(store)
    seen = orders.seen(orders.filter("dns", content()))
    memory.take_order(seen)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}
    memory.take_order(seen)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")} == before


def test_records_keep_their_age_and_are_bounded() -> None:
    records = Records()
    for number in range(300):
        records = with_attached(records, f"eth{number}", InterfaceRecord(number))
    again = decode_records(encode_records(records))
    assert list(again.interfaces) == [f"eth{number}" for number in range(44, 300)]


def test_only_root_may_read(store: Store) -> None:
    assert store.root.stat().st_mode & 0o077 == 0


def test_bytecode_is_bounded_and_checked(store: Store) -> None:
    cache = ArtifactCache(store)
    for number in range(KEPT_UNUSED + 10):
        cache.put(Artifact(f"{number:011x}", (), {"spillway": b"\0" * 8}, "spillway"))
        os.utime(store.root / BYTECODE / f"{number:011x}.art", (number, number))
    cache.trim(frozenset({f"{0:011x}"}))
    kept = ArtifactCache(store).digests
    assert len(kept) == KEPT_UNUSED + 1
    assert f"{0:011x}" in kept, "what runs stays, however old"
    path = store.root / BYTECODE / f"{0:011x}.art"
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.get(f"{0:011x}") is None
    assert not path.exists()


def test_a_revision_that_comes_back_is_on_disk_again(store: Store) -> None:
    """Forgotten with its filter, ordered again: a restart without an API must find it."""
    orders = Orders()
    memory = Memory(store)
    seen = orders.seen(orders.filter("dns", content()))
    memory.take_order(seen)
    memory.forget_revisions(frozenset())
    memory.take_order(seen)
    assert restored(store).contents == orders.contents
