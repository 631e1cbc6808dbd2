"""Row change-node: how long after the agent received a change the kernel runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from spillway_crds.filters import FilterContent, Mode
from tests.bench.rows import ROUNDS, Row, Samples
from tests.kernel.agent_process import AgentProcess, agent, drop_udp
from tests.kernel.namespaces import own_namespaces
from tests.kernel.netpair import make_pair

GOAL_DATA_MS, GOAL_RULE_MS = 50.0, 400.0


def change_node() -> Row:
    """Measure mode flips (data in a map) and new rules (a program never compiled before) on one agent process."""
    with own_namespaces(), TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        pair = make_pair(Path(directory))
        with agent(pair, Path(directory) / "state") as node:
            node.run(drop_udp(7000))
            rule = rounds(lambda number: changed_rule(node, number))
            data = rounds(lambda number: changed_mode(node, number))
    return Row(
        id="change-node",
        what="from the agent's receipt of an order to its report of what the kernel runs: new rule; `data`: Monitor <-> Enforce",
        unit="ms",
        ours=rule,
        peers={"data": data},
        goal=f"rule <= {GOAL_RULE_MS:g}, data <= {GOAL_DATA_MS:g}",
        met=rule.median <= GOAL_RULE_MS and data.median <= GOAL_DATA_MS,
    )


def rounds(one_round: Callable[[int], float]) -> Samples:
    return Samples(tuple(one_round(number) for number in range(2 * ROUNDS)))


def changed_rule(node: AgentProcess, number: int) -> float:
    return timed(node, drop_udp(7100 + number), Mode.ENFORCE)


def changed_mode(node: AgentProcess, number: int) -> float:
    last = drop_udp(7100 + 2 * ROUNDS - 1)
    return timed(node, last, Mode.MONITOR if number % 2 == 0 else Mode.ENFORCE)


def timed(node: AgentProcess, content: FilterContent, mode: Mode) -> float:
    """Milliseconds until the agent has said that the kernel runs it."""
    start = time.monotonic()
    node.run(content, mode)
    return (time.monotonic() - start) * 1000
