"""What the compiler's child may not do: a seccomp filter that it puts on itself, with no capability.

bcc lists all kernel symbols when it believes to be root, 0.1 s in every compile and of no use to us; a geteuid() that fails
makes it leave that out. bpf() is refused because a compiler has no business in the kernel.
Source: include/uapi/linux/{seccomp,filter,prctl}.h; bcc 0.26, src/cc/bcc_proc.c, bcc_procutils_each_ksym.
"""

from __future__ import annotations

import ctypes as ct
import errno
import platform
import struct

_REFUSED = {"x86_64": (107, 321), "aarch64": (175, 280)}  # numbers of geteuid and bpf
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD_NUMBER = (0x20, 0, 0, 0)  # BPF_LD | BPF_W | BPF_ABS of seccomp_data.nr
_EQUALS, _RETURN = 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _SockFprog(ct.Structure):
    """struct sock_fprog, uapi/linux/filter.h."""

    _fields_ = [("length", ct.c_ushort), ("filter", ct.c_void_p)]


assert ct.sizeof(_SockFprog) == 16


def raise_fence() -> bool:
    """Refuse geteuid() and bpf() to this process and its children. False where that cannot be: compiling is then only slower."""
    numbers = _REFUSED.get(platform.machine())
    if numbers is None:
        return False
    code = ct.create_string_buffer(_filter(numbers))
    program = _SockFprog(_length(numbers), ct.addressof(code))
    libc = ct.CDLL(None)
    refused = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ct.byref(program))
    return int(refused) == 0


def _length(numbers: tuple[int, ...]) -> int:
    return len(numbers) + 3


def _filter(numbers: tuple[int, ...]) -> bytes:
    jumps = [(_EQUALS, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    end = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    return b"".join(struct.pack("=HBBI", *each) for each in (_LOAD_NUMBER, *jumps, *end))
