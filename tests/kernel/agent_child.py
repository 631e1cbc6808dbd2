"""An agent in a process of its own, with its standard streams as the source: orders come in as lines of JSON, reports go out so.

Everything else is real: the conductor, the disk, the compiler, the kernel, netlink, signals, the lock.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spillway_crds.decode import decode_filter_content
from spillway_crds.filters import FilterContent
from spillway_crds.orders import NodeStatus
from spillway_crds.orders_wire import decode_order, encode_status
from spillway_dataplane.__main__ import network_changes
from spillway_dataplane.agent import Agent
from spillway_dataplane.kernel.artifact import Artifact
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, OrderSeen, PeersSeen, SwitchSeen
from spillway_dataplane.wakes import Wakes

READ_OF_NOTHING = struct.pack("<BBhi", 0xBF, 0x50, 0, 0)  # r0 = r5, which nobody has written


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


def compile_or_spoil(source: str) -> Artifact:
    """Compile; a program that names what a test says comes out with a first instruction that the real verifier refuses."""
    made, marker = compile_source(source), os.environ.get("SPOIL_PROGRAMS_THAT_NAME")
    if marker is None or marker not in source:
        return made
    return replace(made, programs={**made.programs, made.main: READ_OF_NOTHING + made.programs[made.main]})


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(state=Path(sys.argv[1]), bpffs=Path(sys.argv[2]))
    agent = Agent(
        settings,
        kernel=Datapath(settings.pins),
        compile_source=compile_or_spoil,
        make_source=StreamSource,
        watch=network_changes,
    )
    Wakes(agent.store, agent.inbox).install()
    agent.run()


if __name__ == "__main__":
    main()
