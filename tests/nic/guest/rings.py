"""Orders for rings on a guest's card, and waiting for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from spillway_crds.streams import BindMode, Flow, RingParameters, RingSize
from spillway_dataplane.stream.keeper import RingKeeper
from spillway_dataplane.stream.model import RingOrder, RingStatus
from tests.nic.guest.cable import FAR_ADDRESS, Cable

FLOW = Flow(destination=ip_address(FAR_ADDRESS), destination_port=5004)
RINGS = Path("/run/rings")


def order(cable: Cable, queue: int, mode: BindMode, name: str = "cam", frame_bytes: int = 2048) -> RingOrder:
    directory = RINGS / name
    directory.mkdir(parents=True, exist_ok=True)
    parameters = RingParameters(FLOW, mode, ring=RingSize(256, frame_bytes, batch=32))
    return RingOrder(f"{name}/ring", directory, cable.ifname, queue, parameters, f"studio/{name}")


def until(keeper: RingKeeper, wanted: Callable[[RingStatus], bool]) -> RingStatus:
    """The one ring's status, once it is as wanted."""
    wait_for(lambda: wanted(keeper.statuses()[0]), keeper.statuses)
    return keeper.statuses()[0]


def wait_for(probe: Callable[[], bool], said: Callable[[], object] = lambda: "") -> None:
    ends = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < ends, said()
        time.sleep(0.2)
