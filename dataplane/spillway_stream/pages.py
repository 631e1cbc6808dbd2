"""The ring protocol's two shared pages as bytes: what the node says to a ring's holder, and what the holder reports.

Pure: bytes in, values out. All integers little-endian. docs/ring-protocol.md says it in words.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

from spillway_stream.wire import WireError, clipped, text

# ---- the header page: the node writes, the holder maps it read-only -------------------------------------------------------


PAGE_BYTES = 4096
PAGE_MAGIC = int.from_bytes(b"SPWP", "little")
PAGE_LAYOUT = 1
PAGE = struct.Struct("<IIQIIIHHB3xI128s128s")
PAGE_SEQUENCE_AT = 8  # u64: odd while the page is written, even and higher afterwards
PAGE_BODY_AT = 16
HEADER_ROOM = 128
assert PAGE.size == 296


class LinkState(IntEnum):
    """What the node knows of the way to the destination. Only in READY is the page's header good."""

    STARTING = 0
    READY = 1
    UNRESOLVED = 2  # no MAC address for the next hop yet
    NO_ROUTE = 3
    LINK_DOWN = 4
    GONE = 5  # the interface or the claim


@dataclass(frozen=True, slots=True)
class Page:
    """The header that a frame begins with, Ethernet to UDP, and whether it may be sent.

    mtu: the most bytes of an IP packet, header included. ip_offset, udp_offset: where those headers begin. family: 4 or 6; 0
    when there is no header. In the header the IPv4 total length, identification and UDP length (IPv6: payload and UDP length)
    are 0; the IPv4 checksum is right for exactly that; the UDP checksum is 0.
    pseudo_sum: ones' complement sum, folded to 16 bits, of the UDP pseudo header (addresses, protocol; length 0) and both
    ports, as big-endian words (RFC 768, RFC 8200 section 8.1): the start of a UDP checksum; twice the UDP length and the
    payload are added to it. reason: for a person, when the state is not READY.
    """

    state: LinkState
    mtu: int = 0
    header: bytes = b""
    ip_offset: int = 0
    udp_offset: int = 0
    family: int = 0
    pseudo_sum: int = 0
    reason: str = ""


def encode_page(page: Page, sequence: int) -> bytes:
    """The page's first PAGE.size bytes. A writer stores an odd sequence, then the body from PAGE_BODY_AT on, then an even one."""
    return PAGE.pack(
        PAGE_MAGIC, PAGE_LAYOUT, sequence, page.state, page.mtu, len(page.header), page.ip_offset, page.udp_offset,
        page.family, page.pseudo_sum, clipped(page.reason, 127), page.header,
    )  # fmt: skip


def decode_page(raw: bytes) -> tuple[int, Page]:
    """Returns (sequence, page). Raises WireError on another magic, layout, state or header length."""
    if len(raw) < PAGE.size:
        raise WireError("page length", len(raw))
    magic, layout, sequence, state, mtu, length, ip_at, udp_at, family, pseudo, reason, header = PAGE.unpack_from(raw)
    if (magic, layout) != (PAGE_MAGIC, PAGE_LAYOUT):
        raise WireError("page magic and layout", (magic, layout))
    if length > HEADER_ROOM or state not in set(LinkState):
        raise WireError("page header length and state", (length, state))
    return sequence, Page(LinkState(state), mtu, header[:length], ip_at, udp_at, family, pseudo, text(reason))


# ---- the report page: the holder writes; the node reads it with pread, bounds and believes nothing ------------------------


REPORT_BYTES = 4096
REPORT_MAGIC = int.from_bytes(b"SPWT", "little")
REPORT_LAYOUT = 1
REPORT_HEAD = struct.Struct("<IIQ")  # magic, layout, sequence (odd while written)
REPORT_COUNTERS_AT = REPORT_HEAD.size
REPORT_JITTER_AT = 512
EXACT_BUCKETS, SUB_BUCKETS, HIGHEST_BIT = 8, 8, 35  # values of 2^36 ns (69 s) and more go to the last bucket
JITTER_BUCKETS = EXACT_BUCKETS + (HIGHEST_BIT - 2) * SUB_BUCKETS
assert REPORT_JITTER_AT + 8 * JITTER_BUCKETS <= REPORT_BYTES


@dataclass(frozen=True, slots=True)
class Report:
    """What a holder says of itself, since it took the ring. The u64 counters stand in this order from REPORT_COUNTERS_AT on.

    bytes: whole frames, without FCS. late: packets handed over more than 1 ms behind the schedule, late_outside_holes those of
    them that no hole explains. holes: times the core was away for more than 200 us while the pacer spun. starved: reserve()
    found fewer free frames than asked. ring_empty, invalid: the kernel's tx_ring_empty_descs and tx_invalid_descs.
    refused: packets left out because of the link's state. headers: times the header changed. resumed: times the
    socket was connected again. steal_ns: of the whole machine (/proc/stat). written_ns: CLOCK_TAI when this was written.
    video_frames, vrx_peak, cinst_peak: of a video source (ST 2110-21), in frames and packets. clock: what it found, a ClockCode.
    ptp: the number of the PTP clock that it read, and one. clock_to_tai_ns, clock_to_utc_ns: what that clock, or without one
    CLOCK_TAI, is ahead of CLOCK_TAI and CLOCK_REALTIME, two's complement. core: the number of a source's core, and one.
    core_by: a CoreChoice. A writer that does not know the last ones leaves 0.
    """

    packets: int = 0
    bytes: int = 0
    batches: int = 0
    kicks: int = 0
    completed: int = 0
    starved: int = 0
    ring_empty: int = 0
    invalid: int = 0
    refused: int = 0
    late: int = 0
    late_outside_holes: int = 0
    latest_ns: int = 0
    holes: int = 0
    hole_ns: int = 0
    longest_hole_ns: int = 0
    steal_ns: int = 0
    headers: int = 0
    resumed: int = 0
    written_ns: int = 0
    video_frames: int = 0
    vrx_peak: int = 0
    cinst_peak: int = 0
    clock: int = 0
    ptp: int = 0
    clock_to_tai_ns: int = 0
    clock_to_utc_ns: int = 0
    core: int = 0
    core_by: int = 0
    jitter: tuple[int, ...] = ()


REPORT_COUNTERS = tuple(each.name for each in fields(Report) if each.name != "jitter")
COUNTERS = struct.Struct(f"<{len(REPORT_COUNTERS)}Q")
JITTER = struct.Struct(f"<{JITTER_BUCKETS}Q")
assert REPORT_COUNTERS_AT + COUNTERS.size <= REPORT_JITTER_AT


def decode_report(raw: bytes) -> Report | None:
    """None if the page is short, foreign or being written: read again later. Every u64 in it may be a lie."""
    if len(raw) < REPORT_BYTES:
        return None
    magic, layout, sequence = REPORT_HEAD.unpack_from(raw)
    if (magic, layout) != (REPORT_MAGIC, REPORT_LAYOUT) or sequence % 2:
        return None
    return Report(*[*COUNTERS.unpack_from(raw, REPORT_COUNTERS_AT), JITTER.unpack_from(raw, REPORT_JITTER_AT)])


def bucket_of(value_ns: int) -> int:
    """The histogram's bucket of a deviation: 8 exact ones, then 8 for each power of two (at most 12.5 % wide)."""
    if value_ns < EXACT_BUCKETS:
        return max(value_ns, 0)
    top = min(value_ns.bit_length() - 1, HIGHEST_BIT)
    part = SUB_BUCKETS - 1 if value_ns >> HIGHEST_BIT > 1 else (value_ns >> (top - 3)) & 7
    return EXACT_BUCKETS + (top - 3) * SUB_BUCKETS + part


def bucket_floor_ns(bucket: int) -> int:
    """The smallest value of a bucket; bucket_floor_ns(bucket + 1) - 1 is the largest."""
    if bucket < EXACT_BUCKETS:
        return bucket
    power, part = divmod(bucket - EXACT_BUCKETS, SUB_BUCKETS)
    return (SUB_BUCKETS + part) << power


def quantile_ns(jitter: Sequence[int], share: float) -> int:
    """The upper end of the bucket that holds the given share (0..1) of all values; 0 when there are none."""
    wanted, seen = share * sum(jitter), 0
    for bucket, count in enumerate(jitter):
        seen += count
        if count and seen >= wanted:
            return bucket_floor_ns(bucket + 1) - 1
    return 0
