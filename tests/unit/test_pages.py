"""What the pages and examples say can be done: links lead somewhere, manifests are valid, commands are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart_values import defaults
from tests.pages import REPOSITORY, anchors, fences, links, pages, words

from spillway_crds.filters import FilterContent, Fragments, Mode, Rule, RuleAction
from spillway_crds.schema.crds import KINDS
from spillway_crds.streams_wire import PARAMETERS_KIND, decode_parameters
from spillway_dataplane.cli.main import COMMANDS
from spillway_dataplane.cli.manifests import load, load_text

EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.yaml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
MAKE, SPILLWAY = re.compile(r"\bmake ([a-z0-9-]+)"), re.compile(r"^(?:\S*/)?spillway ([a-z]+)")


def short(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


each_page = pytest.mark.parametrize("page", pages(), ids=short)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


SNIPPETS = [pytest.param(text, id=f"{short(page)}:{line}") for page in pages() for line, text in fences(page, "yaml")]


@pytest.mark.parametrize("text", SNIPPETS)
def test_manifests_in_pages_are_valid(text: str) -> None:
    """Objects of ours, parameters of a ring within others, and values of the chart; what is none of these is YAML at least."""
    documents = [each for each in yaml.safe_load_all(text) if each]
    if any("kind" in each for each in documents):
        assert [str(each) for each in load_text("page", text) if hasattr(each, "problem")] == []
        for parameters in ring_parameters(documents):
            decode_parameters(parameters)
    elif documents[0].keys() <= defaults().keys():
        assert list(unknown(documents[0], defaults())) == []


def ring_parameters(inside: Any) -> Iterator[dict[str, Any]]:
    if isinstance(inside, dict):
        if inside.get("kind") == PARAMETERS_KIND:
            yield inside
        inside = list(inside.values())
    if isinstance(inside, list):
        for each in inside:
            yield from ring_parameters(each)


def unknown(given: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """Values that the chart has not; what is {} by default holds Kubernetes' own keys."""
    for key, value in given.items():
        if key not in known:
            yield key
        elif isinstance(value, dict) and known[key]:
            yield from unknown(value, known[key])


@each_page
def test_commands_in_pages_are_there(page: Path) -> None:
    said = [*words(page), *(line for _, text in fences(page, "console") for line in text.splitlines())]
    assert {name for line in said for name in MAKE.findall(line)} <= TARGETS
    assert {name for line in said for name in SPILLWAY.findall(line)} <= set(COMMANDS)


TABLES = [
    pytest.param(*found, id=f"{short(page)}: {found[0]}{found[1]}")
    for page in pages()
    for _, text in fences(page, "console")
    for found in re.findall(r"^\$ kubectl get (\w+)(.*)\n(NAME .*)$", text, re.MULTILINE)
]


@pytest.mark.parametrize(("short_name", "options", "header"), TABLES)
def test_tables_in_pages_have_the_columns_that_are_printed(short_name: str, options: str, header: str) -> None:
    (kind,) = (each for each in KINDS if each.short == short_name)
    printed = [each.name.upper() for each in kind.columns if not each.wide or "wide" in options]
    assert header.split() == ["NAME", *printed]


def test_every_command_has_its_section() -> None:
    said = " ".join(re.findall(r"^## (.+)$", (REPOSITORY / "docs" / "cli.md").read_text(), re.MULTILINE))
    assert [name for name in COMMANDS if f"`spillway {name}" not in said] == []


@pytest.mark.parametrize("file", EXAMPLES, ids=short)
def test_examples_are_valid_and_drop_nothing_yet(file: Path) -> None:
    loaded = load([str(file)])
    assert (loaded.faults, loaded.unreadable) == ((), ())
    assert loaded.filters or loaded.streams
    assert {each.spec.mode for each in loaded.filters} <= {Mode.MONITOR}


@pytest.mark.parametrize("file", [each for each in EXAMPLES if load([str(each)]).filters], ids=short)
def test_examples_drop_later_fragments_too(file: Path) -> None:
    """A rule with ports, flags or types never sees them, so a flood of large packets needs a second rule."""
    for each in load([str(file)]).filters:
        needing = {rule.match.protocol for rule in each.spec.content.rules if reads_upper_header(rule)}
        assert needing <= tails(each.spec.content)


def reads_upper_header(rule: Rule) -> bool:
    match = rule.match
    fields = (match.source_ports, match.destination_ports, match.tcp_flags, match.icmp_types)
    return rule.action is RuleAction.DROP and any(fields)


def tails(content: FilterContent) -> set[int | None]:
    later = (rule for rule in content.rules if rule.match.fragments is Fragments.LATER and rule.action is RuleAction.DROP)
    return {rule.match.protocol for rule in later}
