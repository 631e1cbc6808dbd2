"""The card's PTP hardware clock: found, given, read and judged as a source's pod would, and no holder of it can set it.

What a clock says that follows a grandmaster is not shown here: nobody steers this one but the check.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from spillway_dataplane.dra.near import observe_ptp
from spillway_dataplane.dra.surroundings import PtpClock, choose_ptp
from spillway_dataplane.kernel.ethtool import ptp_index
from spillway_stream.clocks import word_of
from spillway_stream.source.clock import ClockFinding, Clocks, judge
from spillway_stream.source.ptp import clock_id
from tests.nic.guest.cable import Cable, set_up_card

SECOND_NS = 10**9
TAI_AHEAD_NS = 37 * SECOND_NS
PTP_EXTTS_REQUEST = 0x40103D02  # _IOW('=', 2, struct ptp_extts_request): index, flags, two reserved words
CHECKED_SINCE = (6, 15)  # the kernel looks whether the descriptor is writable; earlier stable kernels have it too


@pytest.fixture
def clock(cable: Cable) -> PtpClock:
    """What a claim on this card would be given."""
    found = choose_ptp(ptp_index(cable.ifname), observe_ptp())
    assert found is not None
    return found


def found_at(device: Path) -> ClockFinding:
    """What is found of one clock, which is let go again."""
    with closing(Clocks([device])) as clocks:
        return judge("PTP", clocks.read())


def reason(device: Path) -> str:
    word = word_of(found_at(device).code)
    assert word is not None
    return word.reason


@contextmanager
def opened(clock: PtpClock, flags: int) -> Iterator[int]:
    fd = os.open(clock.path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def set_clock(clock: PtpClock, time_ns: int) -> None:
    """As ptp4l does, on the host."""
    with opened(clock, os.O_RDWR) as fd:
        time.clock_settime_ns(clock_id(fd), time_ns)


def test_its_device_file_is_what_sysfs_says(clock: PtpClock) -> None:
    """The container gets its file by these numbers alone."""
    found = Path(clock.path).stat()
    assert stat.S_ISCHR(found.st_mode)
    assert (os.major(found.st_rdev), os.minor(found.st_rdev)) == (clock.major, clock.minor)
    assert clock.hardware and clock.name


def test_it_is_believed_while_it_counts_tai(clock: PtpClock) -> None:
    device = Path(clock.path)
    set_clock(clock, time.time_ns())
    assert reason(device) == "PtpCountsUtc"
    set_clock(clock, 5 * SECOND_NS)
    assert reason(device) == "PtpNotSet"
    set_clock(clock, time.time_ns() + TAI_AHEAD_NS)
    found = found_at(device)
    assert (reason(device), found.ptp) == ("PtpClock", clock.index + 1)
    assert abs(found.to_utc_ns - TAI_AHEAD_NS) < SECOND_NS, "an emulated clock loses a little"


def test_it_goes_on(clock: PtpClock) -> None:
    with opened(clock, os.O_RDONLY) as fd:
        first, begun = time.clock_gettime_ns(clock_id(fd)), time.monotonic_ns()
        time.sleep(1)
        passed = (time.clock_gettime_ns(clock_id(fd)) - first) / (time.monotonic_ns() - begun)
    assert 0.5 < passed < 2, "as fast as time itself, for an emulator"


def test_who_reads_it_cannot_set_it(clock: PtpClock) -> None:
    """Root, with every capability, and still not through a descriptor that is for reading."""
    with opened(clock, os.O_RDONLY) as fd:
        with pytest.raises(OSError, match="denied") as refused:
            time.clock_settime_ns(clock_id(fd), 0)
        assert refused.value.errno == errno.EACCES
        if kernel() >= CHECKED_SINCE:
            with pytest.raises(OSError, match="denied"):
                fcntl.ioctl(fd, PTP_EXTTS_REQUEST, struct.pack("=4I", 0, 1, 0, 0))


def kernel() -> tuple[int, ...]:
    return tuple(map(int, os.uname().release.split(".")[:2]))


def test_a_clock_whose_card_leaves_is_missed_and_found_again(clock: PtpClock, cable: Cable) -> None:
    """The driver lets the card go and takes it back, as a reset by the administrator does: the source lives on."""
    set_clock(clock, time.time_ns() + TAI_AHEAD_NS)
    clocks = Clocks([Path(clock.path)])
    assert clocks.read().ptp is not None
    device = Path(f"/sys/class/net/{cable.ifname}/device").resolve()
    (device / "driver/unbind").write_text(device.name)
    try:
        assert clocks.read().ptp is None
        assert observe_ptp() == ()
    finally:
        Path(f"/sys/bus/pci/drivers/{cable.driver}/bind").write_text(device.name)
        set_up_card(cable.ifname)
        cable.wait_for_carrier()
    deadline = time.monotonic() + 60
    while clocks.read().ptp is None:
        assert time.monotonic() < deadline, (clock, observe_ptp())
        time.sleep(0.5)
    clocks.close()
