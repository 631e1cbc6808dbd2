"""An agent in a process of its own, with its standard streams as the source: orders come in as lines of JSON, reports go out so.

Everything else is real: the conductor, the disk, the compiler, the kernel, netlink, signals, the lock.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spillway_crds.decode import decode_filter_content
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeStatus
from spillway_crds.orders_wire import decode_order, encode_status
from spillway_dataplane.__main__ import network_changes
from spillway_dataplane.agent import Agent
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, OrderSeen, PeersSeen, SwitchSeen
from spillway_dataplane.wakes import Wakes


class StreamSource:
    """Reads standard input for as long as the process lives; an agent that waits for the lock reads nothing."""

    connected, errors = True, 0

    def start(self, inbox: Inbox, known: Mapping[str, FilterContent]) -> None:
        say({"event": "started", "known": sorted(known)})
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()

    def _read(self, inbox: Inbox) -> None:
        for line in sys.stdin:
            inbox.put(wakeup(json.loads(line)))

    def report(self, status: NodeStatus) -> None:
        say({"event": "status", "status": encode_status(status)})

    def stop(self, timeout_s: float) -> None:
        say({"event": "stopped"})


def say(value: Mapping[str, object]) -> None:
    print(json.dumps(value), flush=True)


def wakeup(raw: Mapping[str, Any]) -> OrderSeen | PeersSeen | SwitchSeen:
    if "off" in raw:
        return SwitchSeen(raw["off"])
    if "peers" in raw:
        return PeersSeen(raw["peers"])
    contents = {name: decode_filter_content(each) for name, each in raw["contents"].items()}
    return OrderSeen(decode_order(raw["spec"]), raw["uid"], contents)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(state=Path(sys.argv[1]), bpffs=Path(sys.argv[2]))
    agent = Agent(
        settings,
        kernel=Datapath(settings.pins),
        compile_source=compile_source,
        make_source=StreamSource,
        watch=network_changes,
    )
    Wakes(agent.store, agent.inbox).install()
    agent.run()


if __name__ == "__main__":
    main()
