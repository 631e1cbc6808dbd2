"""Questions to a driver by ethtool's ioctl. None needs a capability, none changes anything.

The ioctl answers with an errno where the `ethtool` program has text, and its structs are the same on every kernel.
Source: include/uapi/linux/ethtool.h, net/ethtool/ioctl.c.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct
from contextlib import suppress

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO, ETHTOOL_GSTRINGS, ETHTOOL_GSTATS, ETHTOOL_GPFLAGS = 0x03, 0x1B, 0x1D, 0x27
ETHTOOL_GSSET_INFO, ETHTOOL_GFEATURES, ETHTOOL_GET_TS_INFO = 0x37, 0x3A, 0x41
ETH_SS_STATS, ETH_SS_PRIV_FLAGS, ETH_SS_FEATURES = 1, 2, 4
ETH_GSTRING_LEN = 32
ROOM = 4  # for how many times as many names as there are now: the kernel writes what there is, whatever size it was told
_DRVINFO_BYTES = 196  # struct ethtool_drvinfo: cmd, driver[32], version[32], fw_version[32], bus_info[32], ...
_TS_INFO = struct.Struct("=IIi8I")  # struct ethtool_ts_info: cmd, so_timestamping, phc_index, ...
assert _TS_INFO.size == 44, "struct ethtool_ts_info has 44 bytes"
_IFREQ = struct.Struct("=16sQ16x")  # struct ifreq: a name and the pointer in its union
assert _IFREQ.size == 40, "struct ifreq has 40 bytes"


def ask(ifname: str, command: bytes, answer_bytes: int) -> bytes:
    """Ask an interface's driver and return the struct as the kernel left it, in the calling thread's network namespace.

    command: how the struct begins. answer_bytes: its whole size, with all that the kernel may write.
    Raises OSError: EOPNOTSUPP if the driver has no answer to this, ENODEV if there is no such interface.
    """
    asked_of = ifname.encode(errors="surrogateescape")
    memory = array.array("B", command.ljust(answer_bytes, b"\0"))
    request = _IFREQ.pack(asked_of, memory.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
        fcntl.ioctl(opened, SIOCETHTOOL, request)
    return memory.tobytes()


def driver_of(ifname: str) -> str:
    """Return the name of an interface's driver, empty when it has none or is gone."""
    with suppress(OSError):
        info = ask(ifname, struct.pack("=I", ETHTOOL_GDRVINFO), _DRVINFO_BYTES)
        return info[4:36].split(b"\0")[0].decode(errors="replace")
    return ""


def ptp_index(ifname: str) -> int | None:
    """Return the number of an interface's PTP hardware clock, as in /dev/ptp0; None when it has none. A VLAN says its card's.

    Raises OSError: ENODEV if there is no such interface.
    """
    try:
        index: int = _TS_INFO.unpack(ask(ifname, struct.pack("=I", ETHTOOL_GET_TS_INFO), _TS_INFO.size))[2]
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise
    return index if index >= 0 else None


def statistics(ifname: str) -> dict[str, int]:
    """Return the driver's own counters, which are its names and its meaning; empty when it has none."""
    names = _strings(ifname, ETH_SS_STATS)
    if not names:
        return {}
    answer = ask(ifname, struct.pack("=II", ETHTOOL_GSTATS, len(names)), 8 + 8 * len(names) * ROOM)
    return dict(zip(names, struct.unpack_from(f"={len(names)}Q", answer, 8), strict=True))


def private_flags(ifname: str) -> dict[str, bool]:
    """Return the switches that only this driver has."""
    names = _strings(ifname, ETH_SS_PRIV_FLAGS)
    if not names:
        return {}
    (_, flags) = struct.unpack("=II", ask(ifname, struct.pack("=I", ETHTOOL_GPFLAGS), 8))
    return {name: bool(flags >> bit & 1) for bit, name in enumerate(names)}


def features(ifname: str) -> dict[str, bool]:
    """Return which features are on, by the kernel's names: `rx-ntuple-filter`, `rx-lro`."""
    names = _strings(ifname, ETH_SS_FEATURES)
    blocks = -(-len(names) // 32)
    answer = ask(ifname, struct.pack("=II", ETHTOOL_GFEATURES, blocks), 8 + 16 * blocks)
    active = [
        struct.unpack_from("=4I", answer, 8 + 16 * block)[2] for block in range(blocks)
    ]  # available, requested, active, fixed
    return {name: bool(active[bit // 32] >> bit % 32 & 1) for bit, name in enumerate(names)}


def _strings(ifname: str, kind: int) -> tuple[str, ...]:
    """Return one of a driver's sets of names, ETH_SS_*; empty when it has none of that kind."""
    try:
        _, _, mask, count = struct.unpack("=IIQI", ask(ifname, struct.pack("=IIQ", ETHTOOL_GSSET_INFO, 0, 1 << kind), 20))
        if not mask or not count:
            return ()
        answer = ask(ifname, struct.pack("=III", ETHTOOL_GSTRINGS, kind, count), 12 + ETH_GSTRING_LEN * count * ROOM)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise
    found = min(count, struct.unpack_from("=3I", answer)[2])
    pieces = (answer[12 + ETH_GSTRING_LEN * at :][:ETH_GSTRING_LEN] for at in range(found))
    return tuple(piece.split(b"\0")[0].decode(errors="replace") for piece in pieces)
