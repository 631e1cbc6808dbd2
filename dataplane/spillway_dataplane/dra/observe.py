"""One look at the cards whose queues are granted. Reads only, in the calling thread's network namespace."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from spillway_crds.errors import SpillwayError
from spillway_crds.filters import XdpMode
from spillway_dataplane.dra.devices import UNKNOWN_NUMA_NODE, Card
from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.cards import observe_card
from spillway_dataplane.kernel.netdev import offers_zero_copy
from spillway_dataplane.node.cards import zero_copy_refusals
from spillway_dataplane.node.observed import ObservedInterface

LOG = logging.getLogger(__name__)
SYS_NET = Path("/sys/class/net")


def observe_cards(names: Iterable[str]) -> dict[str, Card]:
    """Return the cards that are there, by name. Raises OSError when netlink does not answer."""
    found = ((name, netlink.interface(name)) for name in sorted(set(names)))
    return {name: _card(seen) for name, seen in found if seen is not None}


def _card(seen: ObservedInterface) -> Card:
    home = SYS_NET / seen.name
    return Card(
        name=seen.name,
        up=seen.up,
        native=seen.attached is not None and seen.attached.mode is XdpMode.NATIVE,
        tx_queues=len(list((home / "queues").glob("tx-*"))),
        driver=seen.driver,
        speed_mbps=max(0, _number(home / "speed", 0)),
        mtu_bytes=seen.mtu,
        zero_copy=_zero_copy_queues(seen),
        numa_node=_number(home / "device" / "numa_node", UNKNOWN_NUMA_NODE),
        mac=_text(home / "address"),
    )


def _zero_copy_queues(seen: ObservedInterface) -> frozenset[int]:
    """Return the queues that a ring may get in zero copy as far as can be seen beforehand; none where the driver does not say."""
    if not offers_zero_copy(seen.ifindex):
        return frozenset()
    try:
        card = observe_card(seen.name)
    except SpillwayError as error:
        LOG.warning("zero copy on %s is not offered: %s", seen.name, error)
        return frozenset()
    return frozenset(queue for queue in range(card.rx_rings) if not zero_copy_refusals(queue, card))


def _number(path: Path, otherwise: int) -> int:
    with suppress(ValueError):
        return int(_text(path))
    return otherwise


def _text(path: Path) -> str:
    with suppress(OSError):  # a card without carrier refuses to say its speed
        return path.read_text().strip()
    return ""
