"""What a ring's container is told of its card: its PTP clock, which cores are near it and which it keeps busy. Pure.

All of it is advice, read when the claim is prepared: a card whose interrupts are moved later changes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spillway_dataplane.dra.claims import RingRecord


@dataclass(frozen=True, slots=True)
class PtpClock:
    """One entry of /sys/class/ptp. name: the driver's word for it, as `mlx5_ptp`, a MAC address, or `KVM virtual PTP`.

    hardware: a piece of hardware stands behind it; a virtual machine's clock that shows the host's time has none.
    """

    index: int
    major: int
    minor: int
    name: str = ""
    hardware: bool = False

    @property
    def path(self) -> str:
        """Its device file, in the container too."""
        return f"/dev/ptp{self.index}"

    def __str__(self) -> str:
        """As people are told of it."""
        return f"{self.path} ({self.name})" if self.name else self.path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of one ring. ptp: the clock to give, None where nobody asked or there is none. numa_cpus: cores of the card's NUMA node.

    interrupt_cpus: cores that take the card's interrupts. Both are empty where that is not known.
    """

    ptp: PtpClock | None = None
    numa_cpus: frozenset[int] = frozenset()
    interrupt_cpus: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Near:
    """Who looks. surroundings: of one ring. ptp_clocks: all of the node."""

    surroundings: Callable[[RingRecord], Surroundings]
    ptp_clocks: Callable[[], tuple[PtpClock, ...]]


NOTHING_NEAR = Near(lambda ring: Surroundings(), lambda: ())


def choose_ptp(own_index: int | None, clocks: Iterable[PtpClock]) -> PtpClock | None:
    """Return the clock that a stream of an interface follows, None where nobody can say which.

    own_index: of the interface's own clock. Without one, the node's: the only one there is, or the only one of hardware; with
    two cards' clocks on a node, one of them may follow another grandmaster, or none.
    """
    known = {each.index: each for each in clocks}
    if own_index in known:
        return known[own_index]
    of_hardware = [each for each in known.values() if each.hardware]
    left = of_hardware or list(known.values())
    return left[0] if len(left) == 1 else None


def read_cpus(text: str) -> frozenset[int]:
    """Read the kernel's list of CPUs, as `0-3,8`. Raises ValueError for what is none. Source: lib/bitmap-str.c."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def write_cpus(cpus: Iterable[int]) -> str:
    """Write a list of CPUs, in order; equal sets give equal text."""
    return ",".join(map(str, sorted(cpus)))
