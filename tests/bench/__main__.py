"""`python -m tests.bench [--only id,id]`: measure, print the table, write build/bench.json. Exit 1 if a goal was missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import agent, claims, drop, ready, tx, video
from tests.bench.rows import Row, write_json

ROWS: dict[str, Callable[[], Row]] = {
    "drop-e2e": drop.drop_end_to_end,
    "change-node": agent.change_node,
    "agent-memory": ready.agent_memory,
    "apply-ready": ready.apply_ready,
    "claim-first-packet": claims.claim_first_packet,
    "tx-c": tx.tx_c,
    "tx-python": tx.tx_python,
    "tx-syscalls": tx.tx_syscalls,
    "tx-pacing": tx.tx_pacing,
    "tx-video": video.tx_video,
}
ON_A_CLUSTER = {"agent-memory", "apply-ready", "claim-first-packet"}
RESULT = Path("build/bench.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(ROWS), help="ids, separated by commas: " + ", ".join(ROWS))
    chosen = parser.parse_args().only.split(",")
    if unknown := [each for each in chosen if each not in ROWS]:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    rows = [measured(each) for each in chosen]
    write_json(rows, RESULT)
    Console().print(table_of(rows))
    return 0 if all(row.met for row in rows) else 1


def measured(name: str) -> Row:
    if name not in ON_A_CLUSTER:
        ready.take_down()
    print(f"measuring {name} ...", flush=True)
    return ROWS[name]()


def table_of(rows: list[Row]) -> Table:
    table = Table(title="medians (spread)")
    for head in ("id", "ours", "unit", "peers", "goal", "met"):
        table.add_column(head, overflow="fold")
    for row in rows:
        peers = "\n".join(f"{name} {each.median:.4g} ({each.spread})" for name, each in row.peers.items())
        table.add_row(
            row.id, f"{row.ours.median:.4g}\n({row.ours.spread})", row.unit, peers, row.goal, "yes" if row.met else "NO"
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
