"""How a card chooses receive queues, read from its driver: RSS tables and contexts, n-tuple rules. Changes nothing.

Structs: include/uapi/linux/ethtool.h; what drivers may leave out: net/ethtool/ioctl.c.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from contextlib import suppress

from spillway_dataplane.kernel.ethtool import ask
from spillway_dataplane.node.cards import RssTable, SteeringRule

ETHTOOL_GRXRINGS, ETHTOOL_GRXCLSRLCNT, ETHTOOL_GRXCLSRULE, ETHTOOL_GRXCLSRLALL, ETHTOOL_GRSSH = 0x2D, 0x2E, 0x2F, 0x30, 0x46

_RXFH = struct.Struct("=IIII8s")  # struct ethtool_rxfh: cmd, rss_context, indir_size, key_size, function and reserved
_RULE_BYTES = 168  # struct ethtool_rx_flow_spec: flow_type, two unions with extensions, ring_cookie, location
_RXNFC = struct.Struct(f"=IIQ{_RULE_BYTES}sI")  # struct ethtool_rxnfc: cmd, flow_type, data, fs, rule_cnt or rss_context
_COOKIE_AT, _LOCATION_AT = 152, 160  # in the flow spec
assert (_RXFH.size, _RXNFC.size) == (24, 188)

FLOW_RSS = 0x20000000  # in flow_type: the rule spreads over an RSS context
RX_CLS_FLOW_DISC, RX_CLS_FLOW_WAKE = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE
RING_MASK, VF_MASK = 0xFFFFFFFF, 0xFF00000000
MORE_RULES = 16  # room for rules that somebody adds between two questions

CONTEXTS_ASKED = range(1, 64)
"""Nothing before Linux 6.12 lists contexts, and the lowest free number is taken first. One without a rule receives nothing,
so those above are asked for where a rule names them."""


def rx_rings(ifname: str) -> int | None:
    """Return how many RX rings the driver says it has, None if it does not say."""
    with suppress(OSError):
        return int(_RXNFC.unpack_from(ask(ifname, struct.pack("=I", ETHTOOL_GRXRINGS), _RXNFC.size + 4))[2])
    return None


def rss_table(ifname: str, context: int = 0) -> RssTable | None:
    """Return one indirection table, or None when the driver shows none.

    Raises OSError for everything else; ENOENT and EINVAL are what drivers say of a context that is not there.
    """
    question = _RXFH.pack(ETHTOOL_GRSSH, context, 0, 0, bytes(8))
    try:
        _, _, entries, key_bytes, _ = _RXFH.unpack(ask(ifname, question, _RXFH.size))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise
    if not entries:
        return None
    whole = _RXFH.size + 4 * entries + key_bytes
    answer = ask(ifname, _RXFH.pack(ETHTOOL_GRSSH, context, entries, key_bytes, bytes(8)), whole)
    return RssTable(context, struct.unpack_from(f"={entries}I", answer, _RXFH.size))


def rss_contexts(ifname: str, named: Iterable[int]) -> tuple[RssTable, ...]:
    """Return the tables of all contexts but the card's own. named: contexts that rules lead to."""
    found = []
    for context in sorted({*CONTEXTS_ASKED, *named}):
        try:
            table = rss_table(ifname, context)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL, errno.ENODATA):
                continue
            raise
        if table is None:
            break  # the driver knows no contexts at all
        found.append(table)
    return tuple(found)


def ntuple_rules(ifname: str) -> tuple[SteeringRule, ...]:
    """Return the card's n-tuple rules; none where the driver has none to show. Raises OSError if it refuses to show them."""
    try:
        count = _rule_count(ifname)
        locations = _rule_locations(ifname, count + MORE_RULES) if count else ()
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise
    return tuple(filter(None, (_rule(ifname, location) for location in locations)))


def _rule_count(ifname: str) -> int:
    answer = ask(ifname, struct.pack("=I", ETHTOOL_GRXCLSRLCNT), _RXNFC.size + 4)
    return int(_RXNFC.unpack_from(answer)[4])


def _rule_locations(ifname: str, room: int) -> tuple[int, ...]:
    answer = ask(ifname, _RXNFC.pack(ETHTOOL_GRXCLSRLALL, 0, 0, b"", room), _RXNFC.size + 4 * room)
    return struct.unpack_from(f"={_RXNFC.unpack_from(answer)[4]}I", answer, _RXNFC.size)


def _rule(ifname: str, location: int) -> SteeringRule | None:
    """Return one rule, or None when it has just been deleted."""
    spec = bytes(_LOCATION_AT) + struct.pack("=I", location)
    try:
        answer = ask(ifname, _RXNFC.pack(ETHTOOL_GRXCLSRULE, 0, 0, spec, 0), _RXNFC.size + 4)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise
    return rule_of(answer, location)


def rule_of(answer: bytes, location: int) -> SteeringRule:
    """Read ETHTOOL_GRXCLSRULE's answer. Bits 32 to 39 of the cookie choose a virtual function; 0 is the card's own."""
    *_, spec, context = _RXNFC.unpack_from(answer)
    flow_type, cookie = struct.unpack_from("=I", spec)[0], struct.unpack_from("=Q", spec, _COOKIE_AT)[0]
    elsewhere = cookie in (RX_CLS_FLOW_DISC, RX_CLS_FLOW_WAKE) or bool(cookie & VF_MASK)
    return SteeringRule(location, None if elsewhere else cookie & RING_MASK, context if flow_type & FLOW_RSS else None)
