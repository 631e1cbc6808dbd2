"""The one thing asked of ethtool's ioctl: a driver's name. Source: include/uapi/linux/ethtool.h, net/ethtool/ioctl.c."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from contextlib import suppress

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO = 3
_DRVINFO_BYTES = 196  # struct ethtool_drvinfo: cmd, driver[32], version[32], fw_version[32], bus_info[32], ...
_IFREQ = struct.Struct("=16sQ16x")  # struct ifreq: a name and the pointer in its union
assert _IFREQ.size == 40, "struct ifreq has 40 bytes"


def driver_of(ifname: str) -> str:
    """Return the name of an interface's driver, empty when it has none or is gone. Needs no capability."""
    info = array.array("B", struct.pack("=I", ETHTOOL_GDRVINFO).ljust(_DRVINFO_BYTES, b"\0"))
    request = _IFREQ.pack(ifname.encode(errors="surrogateescape"), info.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked, suppress(OSError):
        fcntl.ioctl(asked, SIOCETHTOOL, request)
        return bytes(info[4:36]).split(b"\0")[0].decode(errors="replace")
    return ""
