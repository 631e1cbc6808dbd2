"""Prefix lists as BPF assembly. A prefix is a shift and a comparison; a list is tested for the packet's own family only.

Immediates have 32 bits and are sign-extended to 64. Addresses are therefore shifted arithmetically, and compared with what the
same shift makes of the prefix: up to 32 leading bits need no 64-bit constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from spillway_crds.filters import Prefix
from spillway_dataplane.filter.conditions import NO, Condition, load

YES, V6 = ".Lyes%s_%=", ".Lv6%s_%="
ALWAYS = f"goto {YES}"
HALF_BITS, IMMEDIATE_BITS = 64, 32
HALF = (1 << HALF_BITS) - 1


def within_prefixes(field: str, prefixes: Iterable[Prefix]) -> Condition:
    """The address in `field` lies in one of the prefixes. Prefixes that others cover, or that join up, are merged."""
    several = tuple(prefixes)
    v4 = tuple(collapse_addresses(each for each in several if isinstance(each, IPv4Network)))
    v6 = tuple(collapse_addresses(each for each in several if isinstance(each, IPv6Network)))
    tests_v4 = [line for prefix in v4 for line in _test_v4(prefix)]
    tests_v6 = [line for number, prefix in enumerate(v6) for line in _test_v6(prefix, number)]
    return Condition(
        (
            load("r1", "family"),
            f"if r1 != 4 goto {V6}",
            load("r0", f"{field}4"),
            "r0 <<= 32",
            "r0 s>>= 32",
            *_list(tests_v4),
            f"{V6}:",
            load("r0", field, half=0),
            load("r3", field, half=1),
            *_list(tests_v6),
            f"{YES}:",
        )
    )


def _list(tests: list[str]) -> tuple[str, ...]:
    """What follows the prefix of length 0 could not be reached, and the verifier refuses it."""
    return tuple(tests) if tests[-1:] == [ALWAYS] else (*tests, f"goto {NO}")


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
