"""From the errno of a refused attach to who has to act."""

from __future__ import annotations

import errno

import pytest

from spillway_crds.errors import Conflict, KernelError, NotSupported, SpillwayError, Transient
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.explain import attach_error, kernel_error
from spillway_dataplane.kernel.objects import VerifierRefused
from spillway_dataplane.node.observed import ObservedInterface, ObservedXdp

CARD = ObservedInterface("eth0", 2, driver="igb", mtu=9000, rx_queues=4)
TAKEN = ObservedInterface("eth0", 2, attached=ObservedXdp(31, XdpMode.GENERIC, "xdp_other"))


@pytest.mark.parametrize(
    ("number", "mode", "device", "kind", "words"),
    [
        pytest.param(errno.EBUSY, XdpMode.NATIVE, TAKEN, Conflict, ("31", "xdp_other", "Generic"), id="taken"),
        pytest.param(errno.EEXIST, XdpMode.NATIVE, CARD, Conflict, ("upper device",), id="taken-unseen"),
        pytest.param(errno.EOPNOTSUPP, XdpMode.NATIVE, CARD, NotSupported, ("igb", "no native XDP"), id="no-native"),
        pytest.param(errno.ERANGE, XdpMode.NATIVE, CARD, NotSupported, ("igb", "MTU 9000"), id="mtu"),
        pytest.param(errno.EINVAL, XdpMode.NATIVE, CARD, NotSupported, ("igb", "MTU 9000", "LRO"), id="driver-refuses"),
        pytest.param(errno.ENOSPC, XdpMode.NATIVE, CARD, NotSupported, ("4 RX queues",), id="queues"),
        pytest.param(errno.EOPNOTSUPP, XdpMode.GENERIC, CARD, KernelError, ("mode Generic",), id="generic"),
        pytest.param(errno.ENODEV, XdpMode.NATIVE, CARD, Transient, ("gone",), id="gone"),
        pytest.param(errno.EPERM, XdpMode.NATIVE, CARD, KernelError, ("CAP_NET_ADMIN", "seccomp"), id="not-permitted"),
        pytest.param(errno.ENOMEM, XdpMode.NATIVE, CARD, KernelError, ("ENOMEM",), id="memory"),
    ],
)
def test_a_refused_attach(
    number: int, mode: XdpMode, device: ObservedInterface, kind: type[SpillwayError], words: tuple[str, ...]
) -> None:
    error = attach_error(OSError(number, "refused"), mode, device)
    assert type(error) is kind
    assert all(word in str(error) for word in words), str(error)


def test_the_verifier_has_the_last_word() -> None:
    log = "\n".join(f"line {number}" for number in range(100))
    error = kernel_error(VerifierRefused(errno.EACCES, "spw_x", log), "load program", "")
    assert (error.errno, error.detail.splitlines()[0], error.detail.splitlines()[-1]) == (errno.EACCES, "line 92", "line 99")


def test_a_verifier_that_says_nothing_is_a_permission() -> None:
    assert "CAP_PERFMON" in kernel_error(VerifierRefused(errno.EPERM, "spw_x", ""), "load program", "").detail
