"""A folder becomes an order as the operator would make it, or nothing at all."""

from __future__ import annotations

import time
from pathlib import Path
from queue import Empty

import pytest

from spillway_crds.orders import Attach, NodeState, NodeStatus
from spillway_crds.resolve import Resolution
from spillway_dataplane.cli.folder import FolderSource, order_seen
from spillway_dataplane.cli.manifests import Loaded
from spillway_dataplane.source import Inbox, OrderSeen

LABELS = {"edge": "true"}


def manifest(name: str, *, edge: str = "true", mode: str = "Monitor", priority: int = 100, extra: str = "") -> str:
    return (
        f"apiVersion: spillway.dev/v1alpha1\nkind: FloodFilter\nmetadata: {{name: {name}{extra}}}\n"
        f"spec:\n  mode: {mode}\n  priority: {priority}\n  nodeSelector: {{matchLabels: {{edge: '{edge}'}}}}\n"
        "  rules:\n  - {name: r, match: {protocol: UDP}, action: Drop}\n"
    )


class Following:
    """A folder and what its source says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inbox, self.looks = folder, Inbox(), []
        self.source = FolderSource(folder, LABELS, tell_loaded=self._look, tell_status=self._report)
        self.reports: list[NodeStatus] = []

    def _look(self, loaded: Loaded, _resolution: object) -> None:
        self.looks.append(loaded)

    def _report(self, status: NodeStatus) -> None:
        self.reports.append(status)

    def order(self) -> OrderSeen:
        seen = self.inbox.get(timeout=10)
        assert isinstance(seen, OrderSeen)
        return seen

    def put(self, name: str, text: str) -> None:
        aside = self.folder / f".{name}.new"
        aside.write_text(text)
        aside.rename(self.folder / name)

    def wait_looks(self, count: int) -> None:
        end = time.monotonic() + 10
        while len(self.looks) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.looks) >= count


@pytest.fixture
def following(tmp_path):
    made = Following(tmp_path)
    yield made
    made.source.stop(1.0)


def test_filters_of_this_machine_in_deciding_order_with_their_contents(following):
    following.put("b.yaml", manifest("b", priority=10, mode="Enforce"))
    following.put("a.yaml", manifest("a") + "---\n" + manifest("elsewhere", edge="false"))
    following.source.start(following.inbox, {})
    seen = following.order()
    assert [each.name for each in seen.order.filters] == ["b", "a"]
    assert (seen.order.state, seen.order.attach) == (NodeState.ACTIVE, Attach.ALLOWED)
    assert seen.contents.keys() == {each.revision for each in seen.order.filters}
    assert [each.uid for each in seen.order.filters] == ["file:b", "file:a"]


def test_a_filter_that_an_api_server_has_seen_keeps_its_uid(following):
    following.put("a.yaml", manifest("a", extra=", uid: 7c9f6b"))
    following.source.start(following.inbox, {})
    assert [each.uid for each in following.order().order.filters] == ["7c9f6b"]


def test_an_empty_folder_is_no_filter_and_not_nothing(following):
    following.source.start(following.inbox, {})
    seen = following.order()
    assert seen.order.filters == () and seen.order.state is NodeState.IDLE


def test_a_fault_anywhere_is_no_order(following):
    following.put("a.yaml", manifest("a"))
    following.put("b.yaml", manifest("b").replace("UDP", "UPD"))
    following.source.start(following.inbox, {})
    following.wait_looks(1)
    with pytest.raises(Empty):
        following.inbox.get(timeout=0.3)
    assert following.source.errors == 1
    following.put("b.yaml", manifest("b"))
    assert [each.name for each in following.order().order.filters] == ["a", "b"]


def test_a_folder_that_goes_is_no_order_to_stop(following):
    following.put("a.yaml", manifest("a"))
    following.source.start(following.inbox, {})
    following.order()
    following.folder.rename(following.folder.with_name("away"))
    following.wait_looks(2)
    with pytest.raises(Empty):
        following.inbox.get(timeout=0.3)


def test_the_same_folder_counts_for_the_same_uid_and_revisions(following):
    following.put("a.yaml", manifest("a"))
    following.source.start(following.inbox, {})
    first = following.order()
    following.put("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    second = following.order()
    assert (first.uid, first.order, dict(first.contents)) == (second.uid, second.order, dict(second.contents))


def test_counts_belong_to_the_folder_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "filters").mkdir()
    monkeypatch.chdir(tmp_path)
    assert order_seen(Path("filters"), Loaded(), Resolution()) == order_seen(tmp_path / "filters", Loaded(), Resolution())
