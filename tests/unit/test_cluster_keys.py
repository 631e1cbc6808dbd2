"""The laws of product keys: they follow contents, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cluster.keys import files_key, key
from tests.cluster.products import UNFINISHED, keep_newest, locked, product

TEXTS = st.lists(st.text(max_size=4), max_size=4)


@given(TEXTS, TEXTS)
def test_equal_parts_equal_keys(some: list[str], others: list[str]) -> None:
    """Two lists of parts have one key exactly when they are the same, however the parts are cut."""
    assert (key(*some) == key(*others)) == (some == others)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "code/inner").mkdir(parents=True)
    (tmp_path / "code/a.py").write_text("a")
    (tmp_path / "code/inner/b.py").write_text("b")
    (tmp_path / "single").write_text("c")
    return tmp_path


def tree_key(tree: Path) -> str:
    return files_key(tree, ["code", "single"])


@pytest.mark.parametrize(
    "leftover",
    [
        pytest.param("code/__pycache__/a.cpython-311.pyc", id="bytecode"),
        pytest.param("code/spillway.egg-info/PKG-INFO", id="installation"),
        pytest.param("elsewhere", id="a file outside"),
    ],
)
def test_leftovers_do_not_count(tree: Path, leftover: str) -> None:
    before = tree_key(tree)
    (tree / leftover).parent.mkdir(exist_ok=True)
    (tree / leftover).write_text("x")
    assert tree_key(tree) == before


def test_times_do_not_count(tree: Path) -> None:
    before = tree_key(tree)
    os.utime(tree / "code/a.py", (1, 1))
    assert tree_key(tree) == before


@pytest.mark.parametrize("change", ["content", "name", "mode", "new", "gone", "missing"])
def test_changes_count(tree: Path, change: str) -> None:
    """A file's content, its name, its executable bit, a new file, one less, and a whole path that is not there."""
    before = tree_key(tree)
    file = tree / "code/a.py"
    match change:
        case "content":
            file.write_text("A")
        case "name":
            file.rename(tree / "code/c.py")
        case "mode":
            file.chmod(0o755)
        case "new":
            (tree / "code/c.py").touch()
        case "gone":
            file.unlink()
        case "missing":
            (tree / "single").unlink()
    assert tree_key(tree) != before


def test_a_product_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(place: Path) -> None:
        made.append(place)
        place.write_text("whole")

    for _ in range(2):
        assert product(tmp_path / "products/one", make, "making").read_text() == "whole"
    assert len(made) == 1


def test_an_interrupted_build_leaves_no_product(tmp_path: Path) -> None:
    """What is half made lies beside the product's place, and the next build removes it."""
    place = tmp_path / "one"

    def fail(unfinished: Path) -> None:
        unfinished.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        product(place, fail, "making")
    assert not place.exists()
    assert place.with_name("one" + UNFINISHED).exists()
    product(place, lambda unfinished: unfinished.touch(), "making")
    assert [each.name for each in tmp_path.iterdir()] == ["one"]


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (100 - age, 100 - age))
    keep_newest(tmp_path, "?", 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_a_lock_can_be_had_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "deep/lock", "waiting"):
            pass
