"""A folder's changes wake the reader: each kind of change, and only once it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from spillway_dataplane.kernel.inotify import FolderWatch

QUIET_S = 0.3


class Woken:
    """What a watch on a folder called back with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: SimpleQueue[frozenset[str]] = SimpleQueue()

    def names(self) -> frozenset[str]:
        return self.calls.get(timeout=10)

    def is_quiet(self) -> bool:
        try:
            self.calls.get(timeout=QUIET_S)
        except Empty:
            return True
        return False


@pytest.fixture
def woken(tmp_path):
    folder = tmp_path / "filters"
    folder.mkdir()
    (folder / "old.yaml").write_text("old")
    found = Woken(folder)
    with FolderWatch(folder, found.calls.put):
        yield found


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: (folder / "x").write_text("new"),
    "moved in": lambda folder: (folder.parent / "y").rename(folder / "x"),
    "linked": lambda folder: (folder / "x").symlink_to(folder / "old.yaml"),
    "hard link moved over it": lambda folder: (folder.parent / "y").replace(folder / "x"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_kind_of_change_says_the_name(woken, change):
    (woken.folder.parent / "y").write_text("beside the folder")
    assert woken.is_quiet()
    change(woken.folder)
    assert "x" in woken.names()


def test_removal_is_a_change(woken):
    (woken.folder / "old.yaml").unlink()
    assert woken.names() == {"old.yaml"}


def test_a_file_that_is_being_written_wakes_nobody_until_it_is_closed(woken):
    with (woken.folder / "new.yaml").open("w") as file:
        file.write("half")
        file.flush()
        assert woken.is_quiet()
        file.write(" whole")
    assert woken.names() == {"new.yaml"}


def test_many_changes_are_few_wakeups(woken):
    for number in range(200):
        (woken.folder / f"f{number}").write_text("x")
    seen, calls = frozenset(), 0
    while len(seen) < 200:
        seen |= woken.names()
        calls += 1
    assert calls < 20


def test_a_folder_that_goes_and_comes_back_is_followed(woken):
    shutil.rmtree(woken.folder)
    woken.names()
    woken.folder.mkdir()
    woken.names()
    (woken.folder / "again.yaml").write_text("x")
    while "again.yaml" not in woken.names():
        pass


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        FolderWatch(tmp_path / "nowhere", print)


def test_no_callback_after_close(tmp_path):
    found = Woken(tmp_path)
    watch = FolderWatch(tmp_path, found.calls.put)
    watch.close()
    watch.close()
    (tmp_path / "x").write_text("x")
    assert found.is_quiet()
