"""What modules say of themselves is what the import contracts hold them to."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("operator/spillway_operator", "dataplane/spillway_dataplane", "dataplane/spillway_stream")
TOOL = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
CONTRACTS = TOOL["importlinter"]["contracts"]


def modules() -> Iterator[tuple[str, str]]:
    """Names and docstrings."""
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            parts = file.relative_to((REPOSITORY / package).parent).with_suffix("").parts
            yield ".".join(parts), ast.get_docstring(ast.parse(file.read_text())) or ""


def test_every_module_that_says_it_is_pure_is_held_to_it() -> None:
    (held,) = (each["source_modules"] for each in CONTRACTS if each["name"] == "Planning and reporting are pure")
    pure = {name for name, law in modules() if re.search(r"\bPure\b", law)}
    assert len(pure) > 40
    assert {name for name in pure if not any(f"{name}.".startswith(f"{each}.") for each in held)} == set()


def test_no_contract_names_a_module_twice_or_one_that_is_not_there() -> None:
    known = {name.removesuffix(".__init__") for name, _ in modules()}
    for contract in CONTRACTS:
        named = [each for each in contract.get("source_modules", ()) if not each.startswith("spillway_crds")]
        assert len(named) == len(set(named)), contract["name"]
        assert set(named) <= known, contract["name"]


def test_every_room_is_packaged() -> None:
    """An editable install finds a room that the images would lack."""
    homes = [REPOSITORY / each for each in TOOL["setuptools"]["package-dir"].values()]
    found = {".".join(file.parent.relative_to(home.parent).parts) for home in homes for file in home.rglob("*.py")}
    assert found == set(TOOL["setuptools"]["packages"])


@pytest.mark.parametrize("package", PACKAGES[:2])
def test_the_map_shows_every_room(package: str) -> None:
    rooms = {file.parent.relative_to(REPOSITORY) for file in (REPOSITORY / package).glob("*/__init__.py")}
    text = (REPOSITORY / "docs" / "code.md").read_text()
    assert {room for room in rooms if f"[{room.name}](../{room})" not in text} == set()
