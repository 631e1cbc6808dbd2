"""One look at what is near a card: PTP clocks, cores, interrupts. From sysfs and /proc alone: the container has no /dev.

/sys/class/ptp is the same in every network namespace, /sys/class/net is the one of the pod, which is the host's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from spillway_crds.streams import ClockSource
from spillway_dataplane.dra.claims import RingRecord
from spillway_dataplane.dra.surroundings import PtpClock, Surroundings, choose_ptp, read_cpus
from spillway_dataplane.kernel.ethtool import ptp_index

LOG = logging.getLogger(__name__)
SYS, PROC = Path("/sys"), Path("/proc")


def observe_surroundings(ring: RingRecord) -> Surroundings:
    """Look at what one ring's container is to be told of. What cannot be read is left out: no pod fails for it."""
    wants_ptp = ring.parameters.clock is ClockSource.PTP
    ptp = choose_ptp(_own_index(ring.interface), observe_ptp()) if wants_ptp else None
    if wants_ptp:
        LOG.info("%s queue %d: %s", ring.interface, ring.queue, ptp or "there is no PTP clock to give")
    return Surroundings(ptp, numa_cpus(ring.interface), interrupt_cpus(ring.interface))


def observe_ptp(sys: Path = SYS) -> tuple[PtpClock, ...]:
    """Return every PTP clock of this machine, in order of their numbers. Source: drivers/ptp/ptp_sysfs.c."""
    found = (_ptp_clock(each) for each in (sys / "class/ptp").glob("ptp[0-9]*"))
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.index))


def _ptp_clock(home: Path) -> PtpClock | None:
    with suppress(OSError, ValueError):
        major, minor = map(int, (home / "dev").read_text().split(":"))
        name = (home / "clock_name").read_text().strip()
        return PtpClock(int(home.name.removeprefix("ptp")), major, minor, name, (home / "device").exists())
    return None  # its card has just gone


def _own_index(interface: str) -> int | None:
    with suppress(OSError):
        return ptp_index(interface)
    return None


def numa_cpus(interface: str, sys: Path = SYS) -> frozenset[int]:
    """Return the cores of a card's NUMA node; none for a device that is on no node, or where there is one node only."""
    with suppress(OSError, ValueError):
        node = int((sys / "class/net" / interface / "device/numa_node").read_text())
        if node >= 0:
            return read_cpus((sys / f"devices/system/node/node{node}/cpulist").read_text())
    return frozenset()


def interrupt_cpus(interface: str, sys: Path = SYS, proc: Path = PROC) -> frozenset[int]:
    """Return the cores that a card's interrupts go to now, which is where its NAPI runs."""
    found: set[int] = set()
    for number in _interrupts(sys / "class/net" / interface / "device"):
        with suppress(OSError, ValueError):
            found |= read_cpus((proc / "irq" / number / "effective_affinity_list").read_text())
    return frozenset(found)


def _interrupts(device: Path) -> Iterator[str]:
    """Their numbers. A virtio card's are its parent's on the bus."""
    for home in (device, device.resolve().parent):
        if (home / "msi_irqs").is_dir():
            yield from (each.name for each in (home / "msi_irqs").iterdir())
            return
