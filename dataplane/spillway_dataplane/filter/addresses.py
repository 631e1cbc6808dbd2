"""Prefix lists as C. A prefix is a shift and a comparison; a list is tested for the packet's own family only."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from spillway_crds.filters import Prefix
from spillway_dataplane.filter.conditions import Condition

HALF_BITS = 64
HALF = (1 << HALF_BITS) - 1


def within_prefixes(field: str, prefixes: Iterable[Prefix]) -> Condition:
    """The address in `packet->field` lies in one of the prefixes. Prefixes that others cover, or that join up, are merged."""
    several = tuple(prefixes)
    v4 = tuple(collapse_addresses(each for each in several if isinstance(each, IPv4Network)))
    v6 = tuple(collapse_addresses(each for each in several if isinstance(each, IPv6Network)))
    loads = [("high", f"packet->{field}[0]")]
    if any(each.prefixlen > HALF_BITS for each in v6):
        loads.append(("low", f"packet->{field}[1]"))
    return Condition(
        tuple(loads),
        f"packet->family == 4 ? {_any(map(_test_v4, v4))} : {_any(map(_test_v6, v6))}",
        jumps=1 + len(v4) + sum(_halves(each) for each in v6),
        instructions=4 + 5 * len(v4) + sum(5 * _halves(each) for each in v6),
    )


def _any(tests: Iterable[str]) -> str:
    return "(" + (" || ".join(tests) or "0") + ")"


def _test_v4(prefix: IPv4Network) -> str:
    return _top_bits("high", int(prefix.network_address), prefix.prefixlen, 32)


def _test_v6(prefix: IPv6Network) -> str:
    address = int(prefix.network_address)
    if prefix.prefixlen <= HALF_BITS:
        return _top_bits("high", address >> HALF_BITS, prefix.prefixlen, HALF_BITS)
    low = _top_bits("low", address & HALF, prefix.prefixlen - HALF_BITS, HALF_BITS)
    return f"(high == {address >> HALF_BITS:#x}ULL && {low})"


def _top_bits(local: str, value: int, bits: int, width: int) -> str:
    if bits == 0:
        return "1"
    shifted = f"{local} >> {width - bits}" if bits < width else local
    return f"{shifted} == {value >> (width - bits):#x}ULL"


def _halves(prefix: IPv6Network) -> int:
    return 1 if prefix.prefixlen <= HALF_BITS else 2
