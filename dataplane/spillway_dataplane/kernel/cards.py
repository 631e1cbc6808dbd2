"""A card as its driver shows it, and whether one of its queues may be given away in zero copy. Reads only.

`zero_copy_refusal` before a bind, `received_packets` over time: tables have been seen to say what the card does not do.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spillway_crds.errors import KernelError, Transient
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel import netlink
from spillway_dataplane.kernel.ethtool import features, private_flags, statistics
from spillway_dataplane.kernel.netdev import offers_zero_copy, queue_received
from spillway_dataplane.kernel.steering import ntuple_rules, rss_contexts, rss_table, rx_rings
from spillway_dataplane.node.cards import ObservedCard, RssTable, zero_copy_refusals

SYS_NET = Path("/sys/class/net")
_RECEIVED = (  # what drivers call the packets that came to one RX queue
    r"rx[-_]?(?:queue_)?{queue}[_.](?:xsk_|rx_)?packets",  # igb, igc, ixgbe, ice, i40e, iavf, mlx4, mlx5, virtio_net, sfc
    r"\[{queue}\]: rx_[umb]cast_packets",  # bnxt_en
    r"queue_{queue}_rx_cnt",  # ena
    r"rx_packets\[{queue}\]",  # gve
    r"{queue}: rcv_pkts",  # qede
    r"rvec_{queue}_rx_pkts",  # nfp
    r"q{queue}_rx_pkt_n",  # stmmac
    r"q{queue}_rx_packets",  # macb
)


def observe_card(ifname: str) -> ObservedCard:
    """Look at how a card chooses receive queues.

    Raises Transient when there is no such interface, KernelError when the driver refuses to show a table that it has.
    """
    device = netlink.interface(ifname)
    if device is None:
        raise Transient(operation=f"look at {ifname}", detail="there is no such interface now")
    try:
        rules = ntuple_rules(ifname)
        return ObservedCard(
            name=ifname,
            driver=device.driver,
            rx_rings=rx_rings(ifname) or device.rx_queues,
            offers_zero_copy=offers_zero_copy(device.ifindex),
            native_program=device.attached.program_id if device.attached and device.attached.mode is XdpMode.NATIVE else None,
            tables=_tables(ifname, {rule.context for rule in rules if rule.context is not None}),
            rules=rules,
            arfs_queues=_arfs_queues(ifname),
            own_steering=_own_steering(ifname, device.driver),
        )
    except OSError as error:
        raise KernelError(errno=error.errno or 0, operation="ask the driver how it steers packets", ifname=ifname) from error


def zero_copy_refusal(ifname: str, queue: int) -> str | None:
    """Return why a ring on this queue may not be in zero copy, for people; None when nothing speaks against it.

    Asked before a bind, and again while it lasts: administrators and drivers change tables. Raises as `observe_card` does.
    """
    return "; ".join(zero_copy_refusals(queue, observe_card(ifname))) or None


def received_packets(ifname: str, queue: int) -> int | None:
    """Return how many packets one RX queue has received; None where neither driver nor kernel has a counter that we know."""
    with suppress(OSError):  # the interface has just gone
        counted = packets_of_queue(queue, statistics(ifname))
        return queue_received(_ifindex(ifname), queue) if counted is None else counted
    return None


def packets_of_queue(queue: int, counters: Mapping[str, int]) -> int | None:
    """Add up what a driver's own counters say came to one RX queue; None when none of them says that. Pure."""
    wanted = re.compile("|".join(_RECEIVED).replace("{queue}", str(queue)))
    found = [count for name, count in counters.items() if wanted.fullmatch(name)]
    return sum(found) if found else None


def _ifindex(ifname: str) -> int:
    with suppress(OSError):
        return socket.if_nametoindex(ifname)
    return 0


def _tables(ifname: str, named: set[int]) -> tuple[RssTable, ...] | None:
    own = rss_table(ifname)
    return None if own is None else (own, *rss_contexts(ifname, named))


def _arfs_queues(ifname: str) -> frozenset[int]:
    """RX queues whose flow table is not empty while the card has n-tuple filters on: the kernel then steers flows by itself."""
    if not features(ifname).get("rx-ntuple-filter"):
        return frozenset()
    found = set()
    for queue in (SYS_NET / ifname / "queues").glob("rx-*"):
        with suppress(OSError):
            if int((queue / "rps_flow_cnt").read_text()):
                found.add(int(queue.name.removeprefix("rx-")))
    return frozenset(found)


def _own_steering(ifname: str, driver: str) -> str:
    """Intel's ATR sends a flow's answers to the queue that sent last, past the table. Source: the drivers' documentation."""
    if driver == "ixgbe" and not features(ifname).get("rx-ntuple-filter"):
        return f"ixgbe steers answers to the queue that sends (ATR); `ethtool -K {ifname} ntuple on` ends that"
    if driver == "i40e" and private_flags(ifname).get("flow-director-atr"):
        command = f"ethtool --set-priv-flags {ifname} flow-director-atr off"
        return f"i40e steers answers to the queue that sends (ATR); `{command}` ends that"
    return ""
