"""Where filters meet: on which nodes and interfaces two of them may, or must, share a program. Pure, and knows no node."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from fnmatch import fnmatchcase

from spillway_crds.filters import FilterContent, FloodFilter, NodeSelector

WILDCARDS = "*?["


class Meeting(IntEnum):
    """How sure it is that two filters share a program; ordered."""

    NEVER = 0
    PERHAPS = 1
    SURE = 2


def meeting(first: FloodFilter, second: FloodFilter) -> Meeting:
    """Whether two filters share a program on some node, as far as the manifests say."""
    nodes = _nodes(first.spec.node_selector, second.spec.node_selector)
    return min(nodes, interfaces_meeting(first.spec.content, second.spec.content))


def _nodes(first: NodeSelector, second: NodeSelector) -> Meeting:
    ours, theirs = dict(first.match_labels), dict(second.match_labels)
    if any(ours[key] != theirs[key] for key in ours.keys() & theirs.keys()):
        return Meeting.NEVER
    everywhere = NodeSelector()
    return Meeting.SURE if first == second or everywhere in (first, second) else Meeting.PERHAPS


def interfaces_meeting(first: FilterContent, second: FilterContent) -> Meeting:
    """Whether two filters of one node share an interface."""
    if not first.interfaces and not second.interfaces:
        return Meeting.SURE  # both: the default routes' devices
    if not first.interfaces or not second.interfaces:
        return Meeting.PERHAPS  # a default route may or may not go out there
    return max(_patterns(ours, theirs) for ours in first.interfaces for theirs in second.interfaces)


def _patterns(first: str, second: str) -> Meeting:
    if not is_glob(first) and not is_glob(second):
        return Meeting.SURE if first == second else Meeting.NEVER
    if not is_glob(first) or not is_glob(second):
        name, glob = (second, first) if is_glob(first) else (first, second)
        return Meeting.PERHAPS if fnmatchcase(name, glob) else Meeting.NEVER  # a glob means physical devices only
    if first == second:
        return Meeting.SURE
    heads = _literal_head(first), _literal_head(second)
    return Meeting.PERHAPS if heads[0].startswith(heads[1]) or heads[1].startswith(heads[0]) else Meeting.NEVER


def is_glob(pattern: str) -> bool:
    """Whether an interface is named by a pattern."""
    return any(sign in pattern for sign in WILDCARDS)


def _literal_head(glob: str) -> str:
    return glob[: min(glob.find(sign) for sign in WILDCARDS if sign in glob)]


def satisfying_labels(selector: NodeSelector) -> dict[str, str]:
    """Labels of a node that a selector selects, as few as that takes."""
    labels = dict(selector.match_labels)
    for each in selector.match_expressions:
        if each.operator in ("In", "Exists"):
            labels.setdefault(each.key, each.values[0] if each.values else "")
    return labels


def patterns_of(filters: Iterable[FloodFilter]) -> tuple[str, ...]:
    """Every interface name or glob that filters write, in their order; an empty text is the default routes' devices."""
    found = dict.fromkeys(pattern for each in filters for pattern in each.spec.content.interfaces or ("",))
    return tuple(found)


def at_pattern(filters: Iterable[FloodFilter], pattern: str) -> tuple[FloodFilter, ...]:
    """The filters that apply where `pattern` does, in deciding order: (priority, name)."""
    chosen = (each for each in filters if _covers(each.spec.content.interfaces, pattern))
    return tuple(sorted(chosen, key=lambda each: (each.spec.content.priority, each.name)))


def _covers(interfaces: tuple[str, ...], pattern: str) -> bool:
    if not interfaces or not pattern:
        return not interfaces and not pattern
    if is_glob(pattern):
        return pattern in interfaces
    return any(fnmatchcase(pattern, each) if is_glob(each) else pattern == each for each in interfaces)
