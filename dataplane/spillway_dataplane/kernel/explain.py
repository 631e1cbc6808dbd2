"""From an errno to an error that says who has to act. Only errno decides, and what the kernel shows elsewhere; never a text."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from spillway_crds.errors import Conflict, KernelError, NotSupported, SpillwayError, Transient
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.objects import VerifierRefused
from spillway_dataplane.node.observed import ObservedInterface

VERIFIER_LINES = 8
REFUSED = frozenset({errno.EPERM, errno.EACCES})
TAKEN = frozenset({errno.EBUSY, errno.EEXIST})
GONE = frozenset({errno.ENODEV, errno.ENXIO})
PERMISSIONS = (
    "needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; with them, look at the container's seccomp profile (bpf() has"
    " to be allowed) and at its AppArmor profile (the BPF filesystem must be mounted outside /sys, or the profile be unconfined)"
)


@contextmanager
def explained(operation: str, ifname: str = "") -> Iterator[None]:
    """Turn every OSError of the block into a KernelError with the same errno; errors of ours pass."""
    try:
        yield
    except SpillwayError:
        raise
    except OSError as error:
        raise kernel_error(error, operation, ifname) from error


def kernel_error(error: OSError, operation: str, ifname: str) -> KernelError:
    """Return the KernelError for a refusal, with the verifier's last lines, or what permission may be missing."""
    number = error.errno or errno.EIO
    if isinstance(error, VerifierRefused) and error.log.strip():
        detail = "\n".join(error.log.strip().splitlines()[-VERIFIER_LINES:])
    else:
        detail = PERMISSIONS if number in REFUSED else error.strerror or ""
    return KernelError(errno=number, operation=operation, ifname=ifname, detail=detail)


def attach_error(error: OSError, mode: XdpMode, device: ObservedInterface) -> SpillwayError:
    """Say why an XDP hook did not take our program. device: as netlink showed it after the refusal."""
    number = error.errno
    if number in TAKEN:
        return Conflict(subject=device.name, owner=owner_of(device))
    if number in GONE:
        return Transient(operation=f"attach to {device.name}", detail="the interface has just gone")
    if mode is XdpMode.NATIVE and (detail := _driver_refusal(number, device)):
        return NotSupported(subject=device.name, detail=detail)
    return kernel_error(error, f"attach in mode {mode}", device.name)


def owner_of(device: ObservedInterface) -> str:
    """Name who holds an interface's XDP hook, as far as the kernel lets us see."""
    if device.attached is None:
        return "another XDP program holds the hook, or an upper device (bond, team) has one"
    name = f" ({device.attached.name})" if device.attached.name else ""
    return f"XDP program {device.attached.program_id}{name} holds the hook in mode {device.attached.mode}"


def _driver_refusal(number: int | None, device: ObservedInterface) -> str:
    driver, mtu = device.driver or device.kind or "unknown", device.mtu
    if number == errno.EOPNOTSUPP:
        return f"driver {driver} has no native XDP, or not with these features; xdpMode Generic or Auto works on any driver"
    if number == errno.ERANGE:
        return f"driver {driver} takes no native XDP at MTU {mtu}, nor at its peer's; lower the MTU, or xdpMode Generic"
    if number == errno.ENOSPC:
        return f"driver {driver} has too few queues for native XDP: {device.rx_queues} RX queues, a veth's peer may send on more"
    if number == errno.EINVAL:
        return (
            f"driver {driver} refuses native XDP as it is set up (MTU {mtu}, {device.rx_queues} RX queues): too large an MTU,"
            " LRO, or too many queues; the kernel log has its reason"
        )
    return ""
