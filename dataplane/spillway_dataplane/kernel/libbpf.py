"""Thin calls to libbpf.so.1, one for each thing that is asked of the kernel. No policy, no paths of ours, no retry.

Refusals raise OSError with the kernel's errno (libbpf 1.x returns it negative); a program that the verifier refuses raises
VerifierRefused, which is one (objects.py). Runs with the libbpf 1.1 of Debian 12 and every newer 1.x, loaded at the first call.
"""

from __future__ import annotations

import ctypes as ct
import errno
import mmap
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from spillway_dataplane.kernel.mirrors import (
    LinkCreateOpts,
    LinkInfoHead,
    LinkUpdateOpts,
    MapCreateOpts,
    MapInfoHead,
    ProgInfoHead,
    ProgLoadOpts,
    TestRunOpts,
    XdpMd,
)
from spillway_dataplane.kernel.objects import Fd, LinkInfo, MapInfo, ProgInfo, RunResult, VerifierRefused

PROG_TYPE_XDP = 6
ATTACH_TYPE_XDP = 37  # enum bpf_attach_type, BPF_XDP: what a link wants; programs are loaded with 0, as bcc does
PERCPU_MAPS = frozenset({5, 6, 10})  # enum bpf_map_type: PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH
XDP_HAS_FRAGS = 1 << 5  # else the kernel refuses the program on a large MTU
XDP_SKB_MODE, XDP_DRV_MODE = 1 << 1, 1 << 2
LINK_REPLACE = 1 << 2  # BPF_F_REPLACE
TEST_LIVE_FRAMES = 1 << 1  # BPF_F_TEST_XDP_LIVE_FRAMES
UPDATE_ANY = 0
LOG_BYTES = 16 << 20  # the verifier keeps the beginning before Linux 6.4, and its reason comes last


@cache
def library() -> ct.CDLL:
    """Return libbpf.so.1, loaded once. Raises OSError when it is not installed."""
    return ct.CDLL("libbpf.so.1")


def check(result: int, operation: str, subject: str = "") -> int:
    """Return a call's result, or raise the OSError that it stands for."""
    if result < 0:
        raise OSError(-result, f"{operation}: {os.strerror(-result)}", subject or None)
    return result


def prog_load(code: bytes, name: str, *, flags: int = XDP_HAS_FRAGS, prog_type: int = PROG_TYPE_XDP) -> Fd:
    """Load one program, GPL. code: 8 bytes an instruction. name: at most 15 characters.

    A second try with a log is made only after a refusal: logging makes the verifier many times slower.
    Raises VerifierRefused for any refusal.
    """
    options = ProgLoadOpts(sz=ct.sizeof(ProgLoadOpts), prog_flags=flags)
    result = _load(code, name, prog_type, options)
    if result < 0:
        raise VerifierRefused(-result, name, _verifier_log(code, name, prog_type, options))
    return Fd(result)


def _load(code: bytes, name: str, prog_type: int, options: ProgLoadOpts) -> int:
    count = ct.c_size_t(len(code) // 8)
    return int(library().bpf_prog_load(prog_type, name.encode(), b"GPL", ct.c_char_p(code), count, ct.byref(options)))


def _verifier_log(code: bytes, name: str, prog_type: int, options: ProgLoadOpts) -> str:
    with mmap.mmap(-1, LOG_BYTES) as pages:  # only what the verifier writes becomes memory
        anchor = ct.c_char.from_buffer(pages)
        options.log_level, options.log_size, options.log_buf = 1, LOG_BYTES, ct.addressof(anchor)
        number = _load(code, name, prog_type, options)
        text = pages[: pages.find(b"\0")].decode(errors="replace")
        del anchor  # an exported buffer cannot be closed
    if number >= 0:
        os.close(number)
    return text


def map_create(kind: int, name: str, *, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> Fd:
    """Create one map. name: at most 15 characters."""
    options = MapCreateOpts(sz=ct.sizeof(MapCreateOpts), map_flags=flags)
    result = library().bpf_map_create(kind, name.encode(), key_size, value_size, max_entries, ct.byref(options))
    return Fd(check(result, "create map", name))


def obj_pin(obj: Fd, path: Path) -> None:
    """Pin a map, program or link; EEXIST when something is there."""
    check(library().bpf_obj_pin(obj.fileno(), os.fsencode(path)), "pin", str(path))


def obj_get(path: Path) -> Fd:
    """Open what is pinned; ENOENT when nothing is."""
    return Fd(check(library().bpf_obj_get(os.fsencode(path)), "open pin", str(path)))


def link_create(prog: Fd, ifindex: int, flags: int) -> Fd:
    """Attach a program to an XDP hook. flags: XDP_DRV_MODE or XDP_SKB_MODE. EBUSY or EEXIST: the hook is taken."""
    options = LinkCreateOpts(sz=ct.sizeof(LinkCreateOpts), flags=flags)
    return Fd(check(library().bpf_link_create(prog.fileno(), ifindex, ATTACH_TYPE_XDP, ct.byref(options)), "create link"))


def link_update(link: Fd, new: Fd, old: Fd) -> None:
    """Swap a link's program in one step. EPERM: `old` is not what runs. ENOLINK: the link is detached."""
    options = LinkUpdateOpts(sz=ct.sizeof(LinkUpdateOpts), flags=LINK_REPLACE, old_prog_fd=old.fileno())
    check(library().bpf_link_update(link.fileno(), new.fileno(), ct.byref(options)), "update link")


def link_detach(link: Fd) -> None:
    """Detach a link from its hook; it stays as an object with ifindex 0."""
    check(library().bpf_link_detach(link.fileno()), "detach link")


def prog_by_id(prog_id: int) -> Fd:
    """Open a program by its id: needs CAP_SYS_ADMIN, so EPERM is the ordinary answer to an agent."""
    return Fd(check(library().bpf_prog_get_fd_by_id(prog_id), "open program", str(prog_id)))


def prog_info(prog: Fd) -> ProgInfo:
    """Read a program's identity."""
    info = ProgInfoHead()
    _fill(prog, info)
    return ProgInfo(info.id, info.type, bytes(info.tag).hex(), info.name.decode(errors="replace"))


def link_info(link: Fd) -> LinkInfo:
    """Read a link's identity and what it holds. ifindex means something for a link of XDP only."""
    info = LinkInfoHead()
    _fill(link, info)
    return LinkInfo(info.id, info.type, info.prog_id, info.xdp_ifindex)


def map_info(obj: Fd) -> MapInfo:
    """Read a map's shape."""
    info = MapInfoHead()
    _fill(obj, info)
    name = info.name.decode(errors="replace")
    return MapInfo(info.id, info.type, info.key_size, info.value_size, info.max_entries, info.map_flags, name)


def _fill(obj: Fd, info: ct.Structure) -> None:
    length = ct.c_uint32(ct.sizeof(info))
    check(library().bpf_obj_get_info_by_fd(obj.fileno(), ct.byref(info), ct.byref(length)), "read info")


def map_lookup(obj: Fd, key: bytes, size: int) -> bytes | None:
    """Read one value of `size` bytes, None when there is none. A per-CPU map gives round_up(value, 8) x possible_cpus()."""
    value = ct.create_string_buffer(size)
    result = library().bpf_map_lookup_elem(obj.fileno(), key, value)
    if result == -errno.ENOENT:
        return None
    check(result, "look up")
    return value.raw


def map_update(obj: Fd, key: bytes, value: bytes, flags: int = UPDATE_ANY) -> None:
    """Write one value; a per-CPU map wants round_up(value, 8) x possible_cpus() bytes."""
    check(library().bpf_map_update_elem(obj.fileno(), key, value, ct.c_uint64(flags)), "update")


def map_delete(obj: Fd, key: bytes) -> bool:
    """Delete one entry; False when there was none."""
    result = library().bpf_map_delete_elem(obj.fileno(), key)
    if result == -errno.ENOENT:
        return False
    check(result, "delete")
    return True


def map_keys(obj: Fd, key_size: int) -> Iterator[bytes]:
    """Walk the keys. Entries that come or go meanwhile may be missed or seen twice: collect before deleting."""
    key: bytes | None = None
    following = ct.create_string_buffer(key_size)
    while (result := library().bpf_map_get_next_key(obj.fileno(), key, following)) != -errno.ENOENT:
        check(result, "next key")
        key = following.raw
        yield key


@cache
def possible_cpus() -> int:
    """How many values a per-CPU map holds for each key; fixed from boot."""
    return check(library().libbpf_num_possible_cpus(), "count CPUs")


def test_run(
    prog: Fd,
    frame: bytes,
    *,
    ingress_ifindex: int = 0,
    queue_id: int = 0,
    repeat: int = 1,
    flags: int = 0,
    batch_size: int = 0,
) -> RunResult:
    """Run a loaded XDP program over one frame, in the kernel (BPF_PROG_TEST_RUN).

    ingress_ifindex 0: the loopback device stands in and queue_id must be 0; otherwise the device must have that queue.
    flags: TEST_LIVE_FRAMES makes the kernel carry out the verdict and gives no output.
    """
    live = bool(flags & TEST_LIVE_FRAMES)
    out = ct.create_string_buffer(0 if live else len(frame) + 256)
    context = XdpMd(data_end=len(frame), ingress_ifindex=ingress_ifindex, rx_queue_index=queue_id)
    options = TestRunOpts(
        sz=ct.sizeof(TestRunOpts),
        data_in=ct.cast(ct.c_char_p(frame), ct.c_void_p),
        data_size_in=len(frame),
        ctx_in=ct.cast(ct.byref(context), ct.c_void_p),
        ctx_size_in=ct.sizeof(context),
        repeat=repeat,
        flags=flags,
        batch_size=batch_size,
    )
    if not live:
        options.data_out, options.data_size_out = ct.cast(out, ct.c_void_p), len(out)
    check(library().bpf_prog_test_run_opts(prog.fileno(), ct.byref(options)), "test run")
    return RunResult(options.retval, b"" if live else out.raw[: options.data_size_out], options.duration)
