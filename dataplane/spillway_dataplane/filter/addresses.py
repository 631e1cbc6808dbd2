"""Prefix lists as BPF assembly. A prefix is a shift and a comparison; a list is tested for the packet's own family only.

Immediates have 32 bits and are sign-extended to 64. Addresses are therefore shifted arithmetically, and compared with what the
same shift makes of the prefix: up to 32 leading bits need no 64-bit constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from spillway_crds.filters import Prefix
from spillway_dataplane.filter.conditions import ALWAYS, NO, YES, Condition, any_of, load

V6 = ".Lv6%s_%="
HALF_BITS, IMMEDIATE_BITS = 64, 32
HALF = (1 << HALF_BITS) - 1


def within_prefixes(field: str, prefixes: Iterable[Prefix]) -> Condition:
    """The address in `field` lies in one of the prefixes. Prefixes that others cover, or that join up, are merged."""
    several = tuple(prefixes)
    v4 = [each for each in several if isinstance(each, IPv4Network)]
    v6 = [each for each in several if isinstance(each, IPv6Network)]
    if not v6:
        tests = (f"if r1 != 4 goto {NO}", *_any_v4(field, v4))
    elif not v4:
        tests = (f"if r1 == 4 goto {NO}", *_any_v6(field, v6))
    else:
        tests = (f"if r1 != 4 goto {V6}", *_any_v4(field, v4), ALWAYS, f"{V6}:", *_any_v6(field, v6))
    return Condition((load("r1", "family"), *tests, f"{YES}:"))


def _any_v4(field: str, prefixes: list[IPv4Network]) -> tuple[str, ...]:
    tests = [line for prefix in collapse_addresses(prefixes) for line in _test_v4(prefix)]
    return (load("r0", f"{field}4"), "r0 <<= 32", "r0 s>>= 32", *any_of(tests))


def _any_v6(field: str, prefixes: list[IPv6Network]) -> tuple[str, ...]:
    tests = [line for number, prefix in enumerate(collapse_addresses(prefixes)) for line in _test_v6(prefix, number)]
    return (load("r0", field, half=0), load("r3", field, half=1), *any_of(tests))


def _test_v4(prefix: IPv4Network) -> tuple[str, ...]:
    return _leading_bits("r0", int(prefix.network_address) << HALF_BITS - 32, prefix.prefixlen, sign_bits=32)


def _test_v6(prefix: IPv6Network, number: int) -> tuple[str, ...]:
    high, low = divmod(int(prefix.network_address), 1 << HALF_BITS)
    if prefix.prefixlen <= HALF_BITS:
        return _leading_bits("r0", high, prefix.prefixlen)
    other = f".Lother%s_{number}_%="
    rest = _leading_bits("r3", low, prefix.prefixlen - HALF_BITS)
    return (f"r2 = {high:#x} ll", f"if r0 != r2 goto {other}", *rest, f"{other}:")


def _leading_bits(register: str, value: int, bits: int, *, sign_bits: int = 0) -> tuple[str, ...]:
    """Compare the leading bits of a register with those of a 64-bit value. sign_bits: copies of the sign above it."""
    if bits == 0:
        return (ALWAYS,)
    shift, wanted = HALF_BITS - sign_bits - bits, value >> (HALF_BITS - bits)
    shifted = ("r1 = " + register, f"r1 s>>= {shift}") if shift else ()
    compared = "r1" if shift else register
    if bits <= IMMEDIATE_BITS:
        return (*shifted, f"if {compared} == {_signed(wanted, bits)} goto {YES}")
    return (*shifted, f"r2 = {_signed(wanted, bits) & HALF:#x} ll", f"if {compared} == r2 goto {YES}")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
