"""Who may make a link flap now. Pure: the same input gives the same answer, whatever order it comes in.

Laws: never more nodes at a time than allowed; a turn ends when the node says that it is done; a node silent for too long is
failed and named; once too many have failed, nobody gets a turn that has none; a node that answers again is no longer failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnNode:
    """One node as turn-taking sees it.

    waiting: it reports interfaces that wait. granted_for_s: how long it has had its turn; None without one.
    done: it has carried out the order that gave the turn. open: its order says Allowed, as last seen, whoever wrote that.
    failed: it fell silent in an earlier turn. answered: it has reported since. reachable: its Node is not known to be away.
    rank: lower goes first. tries: turns that it has failed.
    """

    name: str
    waiting: bool = False
    granted_for_s: float | None = None
    done: bool = False
    open: bool = False
    failed: bool = False
    answered: bool = False
    reachable: bool = True
    rank: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """at_once: nodes that may have a turn at the same time. turn_s: how long a turn may take."""

    at_once: int
    turn_s: float
    max_failed: int


@dataclass(frozen=True, slots=True)
class Turns:
    """granted, failed: names, sorted. stopped: so many failed that nobody else gets a turn."""

    granted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    stopped: bool = False


def plan_turns(nodes: Iterable[TurnNode], limits: TurnLimits) -> Turns:
    """Return who has a turn now, and who has failed."""
    known = tuple(nodes)
    failed = {each.name for each in known if _has_failed(each, limits)}
    granted = {each.name for each in known if each.granted_for_s is not None and not each.done and each.name not in failed}
    stopped = len(failed) >= limits.max_failed
    taken = granted | {each.name for each in known if each.open}  # a turn that was taken back is over once the order says so
    room = 0 if stopped else max(0, limits.at_once - len(taken))
    waiting = sorted((each for each in known if _may_start(each, taken | failed)), key=_queue_order)
    granted |= {each.name for each in waiting[:room]}
    return Turns(tuple(sorted(granted)), tuple(sorted(failed)), stopped)


def _has_failed(node: TurnNode, limits: TurnLimits) -> bool:
    if node.granted_for_s is not None:
        return not node.done and node.granted_for_s >= limits.turn_s
    return node.failed and not node.answered


def _may_start(node: TurnNode, excluded: set[str]) -> bool:
    return node.waiting and node.reachable and node.name not in excluded and node.granted_for_s is None


def _queue_order(node: TurnNode) -> tuple[int, int, str]:
    return node.tries, node.rank, node.name
