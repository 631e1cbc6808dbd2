"""What filters on this node, as `spillway status` reads it, four lines of JSON a second. Run inside a node.

python -m tests.demo.node_counters STATE BPFFS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from spillway_crds.errors import SpillwayError
from spillway_dataplane.cli.status import look
from spillway_dataplane.kept.store import Store
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import PINS

PAUSE_S = 0.25


def main(state: str, bpffs: str) -> None:
    datapath, store = Datapath(Path(bpffs) / PINS), Store(Path(state))
    while True:
        try:
            totals = [each.totals for each in look(datapath, store).filters]
        except SpillwayError:
            totals = []  # in the middle of an attach
        dropped, would_drop = sum(t.dropped_packets for t in totals), sum(t.would_drop_packets for t in totals)
        print(json.dumps({"at": time.monotonic(), "dropped": dropped, "would_drop": would_drop}), flush=True)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
