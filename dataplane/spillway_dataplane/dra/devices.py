"""Which transmit queues of this node may be claimed now, as devices of the DRA API. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway_dataplane.dra.grants import Grants

UNKNOWN_NUMA_NODE = -1
TEXT_LENGTH = 64  # of a string attribute: resource.k8s.io/v1, DeviceAttributeMaxValueLength


@dataclass(frozen=True, slots=True)
class Card:
    """One interface, as far as a transmit queue's user wants to choose by it.

    native: some XDP program, whoever owns it, runs in the driver: binding a ring then resets nothing. speed_mbps 0: not known.
    zero_copy: queues of which driver and tables say that they can have it; only a frame and silence prove it, once it is bound.
    """

    name: str
    up: bool = True
    native: bool = True
    tx_queues: int = 1
    driver: str = ""
    speed_mbps: int = 0
    mtu_bytes: int = 1500
    zero_copy: frozenset[int] = frozenset()
    numa_node: int = UNKNOWN_NUMA_NODE
    mac: str = ""


@dataclass(frozen=True, slots=True)
class QueueDevice:
    """One transmit queue that may be claimed."""

    name: str
    queue: int
    card: Card


@dataclass(frozen=True, slots=True)
class Offer:
    """What this node offers: devices in order of their names, and why other granted queues of its interfaces are left out."""

    devices: tuple[QueueDevice, ...] = ()
    withheld: tuple[str, ...] = ()


def device_name(interface: str, queue: int) -> str:
    """Return a DNS label; two interfaces may come to the same one, of which only the first is then offered."""
    label = re.sub(r"[^a-z0-9-]", "-", interface.lower()).strip("-") or "x"
    return f"{label}-tx{queue}"


def named_queues(grants: Grants) -> dict[str, tuple[str, int]]:
    """Return (interface, queue) by device name, of everything granted; of two with one name the first."""
    found: dict[str, tuple[str, int]] = {}
    for interface, queue in grants.queues():
        found.setdefault(device_name(interface, queue), (interface, queue))
    return found


def plan_offer(grants: Grants, cards: Mapping[str, Card]) -> Offer:
    """Decide what to offer. An interface that this node lacks is no news: grants are the cluster's, not the node's."""
    devices, withheld = [], []
    for name, (interface, queue) in sorted(named_queues(grants).items()):
        card = cards.get(interface)
        if card is None:
            continue
        if reason := why_not(card, queue):
            withheld.append(f"{interface} queue {queue}: {reason}")
        else:
            devices.append(QueueDevice(name, queue, card))
    return Offer(tuple(devices), tuple(withheld))


def why_not(card: Card, queue: int) -> str:
    """Return why a queue cannot be bound without harm now; nothing when it can."""
    if queue >= card.tx_queues:
        return f"the interface has {card.tx_queues} transmit queues"
    if not card.up:
        return "the interface is down"
    if not card.native:
        return "no XDP program runs in its driver yet: binding a ring could make the link flap"
    return ""


def encode_device(device: QueueDevice) -> dict[str, Any]:
    """A device of a ResourceSlice. Every device has every attribute: a CEL selector on a missing one blocks scheduling."""
    card = device.card
    return {
        "name": device.name,
        "attributes": {
            "interface": {"string": card.name},
            "queue": {"int": device.queue},
            "driver": {"string": card.driver[:TEXT_LENGTH]},
            "speed": {"int": card.speed_mbps},
            "mtu": {"int": card.mtu_bytes},
            "zeroCopy": {"bool": device.queue in card.zero_copy},
            "numaNode": {"int": card.numa_node},
            "mac": {"string": card.mac[:TEXT_LENGTH]},
        },
    }
