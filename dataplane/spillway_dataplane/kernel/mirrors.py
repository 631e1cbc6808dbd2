"""Mirrors of the structs that libbpf and the kernel read and write. Each names its original; sizes are asserted at import.

A kernel newer than a mirror fills the part it knows of, an older one leaves the rest zero: both are the bpf() call's own law.
"""

from __future__ import annotations

import ctypes as ct

U32, U64 = ct.c_uint32, ct.c_uint64


class ProgLoadOpts(ct.Structure):
    """struct bpf_prog_load_opts, bpf/bpf.h of libbpf 1.1."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("attempts", ct.c_int),
        ("expected_attach_type", U32),
        ("prog_btf_fd", U32),
        ("prog_flags", U32),
        ("prog_ifindex", U32),
        ("kern_version", U32),
        ("attach_btf_id", U32),
        ("attach_prog_fd", U32),
        ("attach_btf_obj_fd", U32),
        ("fd_array", ct.c_void_p),
        ("func_info", ct.c_void_p),
        ("func_info_cnt", U32),
        ("func_info_rec_size", U32),
        ("line_info", ct.c_void_p),
        ("line_info_cnt", U32),
        ("line_info_rec_size", U32),
        ("log_level", U32),
        ("log_size", U32),
        ("log_buf", ct.c_void_p),
    ]


class MapCreateOpts(ct.Structure):
    """struct bpf_map_create_opts, bpf/bpf.h of libbpf 1.1."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("btf_fd", U32),
        ("btf_key_type_id", U32),
        ("btf_value_type_id", U32),
        ("btf_vmlinux_value_type_id", U32),
        ("inner_map_fd", U32),
        ("map_flags", U32),
        ("map_extra", U64),
        ("numa_node", U32),
        ("map_ifindex", U32),
    ]


class LinkCreateOpts(ct.Structure):
    """struct bpf_link_create_opts, bpf/bpf.h of libbpf 1.1; the union at its end is not used for XDP."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("flags", U32),
        ("iter_info", ct.c_void_p),
        ("iter_info_len", U32),
        ("target_btf_id", U32),
        ("union", U64 * 4),
    ]


class LinkUpdateOpts(ct.Structure):
    """struct bpf_link_update_opts, bpf/bpf.h of libbpf 1.1."""

    _fields_ = [("sz", ct.c_size_t), ("flags", U32), ("old_prog_fd", U32)]


class TestRunOpts(ct.Structure):
    """struct bpf_test_run_opts, bpf/bpf.h of libbpf 1.1."""

    __test__ = False  # pytest takes a class of this name for a test
    _fields_ = [
        ("sz", ct.c_size_t),
        ("data_in", ct.c_void_p),
        ("data_out", ct.c_void_p),
        ("data_size_in", U32),
        ("data_size_out", U32),
        ("ctx_in", ct.c_void_p),
        ("ctx_out", ct.c_void_p),
        ("ctx_size_in", U32),
        ("ctx_size_out", U32),
        ("retval", U32),
        ("repeat", ct.c_int),
        ("duration", U32),
        ("flags", U32),
        ("cpu", U32),
        ("batch_size", U32),
    ]


class XdpMd(ct.Structure):
    """struct xdp_md, uapi/linux/bpf.h. data, data_end: offsets into the frame; egress_ifindex has to be 0."""

    _fields_ = [
        ("data", U32),
        ("data_end", U32),
        ("data_meta", U32),
        ("ingress_ifindex", U32),
        ("rx_queue_index", U32),
        ("egress_ifindex", U32),
    ]


class ProgInfoHead(ct.Structure):
    """The first 80 bytes of struct bpf_prog_info, uapi/linux/bpf.h: the kernel fills as much as it is given."""

    _fields_ = [
        ("type", U32),
        ("id", U32),
        ("tag", ct.c_uint8 * 8),
        ("jited_prog_len", U32),
        ("xlated_prog_len", U32),
        ("jited_prog_insns", U64),
        ("xlated_prog_insns", U64),
        ("load_time", U64),
        ("created_by_uid", U32),
        ("nr_map_ids", U32),
        ("map_ids", U64),
        ("name", ct.c_char * 16),
    ]


class MapInfoHead(ct.Structure):
    """The first 40 bytes of struct bpf_map_info, uapi/linux/bpf.h."""

    _fields_ = [
        ("type", U32),
        ("id", U32),
        ("key_size", U32),
        ("value_size", U32),
        ("max_entries", U32),
        ("map_flags", U32),
        ("name", ct.c_char * 16),
    ]


class LinkInfoHead(ct.Structure):
    """The first 24 bytes of struct bpf_link_info, uapi/linux/bpf.h; xdp_ifindex is the union's member for XDP."""

    _fields_ = [("type", U32), ("id", U32), ("prog_id", U32), ("pad", U32), ("xdp_ifindex", U32), ("rest", U32)]


SIZES = {
    ProgLoadOpts: 104,
    MapCreateOpts: 48,
    LinkCreateOpts: 64,
    LinkUpdateOpts: 16,
    TestRunOpts: 80,
    XdpMd: 24,
    ProgInfoHead: 80,
    MapInfoHead: 40,
    LinkInfoHead: 24,
}
for mirror, size_bytes in SIZES.items():
    assert ct.sizeof(mirror) == size_bytes, f"{mirror.__name__} has {ct.sizeof(mirror)} bytes, its original {size_bytes}"
