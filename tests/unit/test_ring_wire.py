"""The ring protocol's bytes: what is encoded is decoded, nonsense is refused, and the C headers say the same as Python."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import spillway_stream
from spillway_crds.streams_wire import decode_stream
from spillway_dataplane.kernel import if_xdp
from spillway_stream import errors, pages, wire
from spillway_stream.pages import LinkState, Page, Report

CORE = Path(spillway_stream.__file__).parent / "core"
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15).filter(
    lambda name: len(name.encode()) < 16
)
OFFERS = st.builds(
    wire.RingOffer, *[U32] * 7, st.sampled_from(wire.Bind), U32, U32, U64, U64, U64, interface=NAMES, stream=NAMES
)  # fmt: skip
PAGES = st.builds(
    Page, st.sampled_from(LinkState), U32, st.binary(max_size=128), st.integers(0, 65535), st.integers(0, 65535),
    st.sampled_from([0, 4, 6]), U32, NAMES,
)  # fmt: skip


@given(OFFERS)
def test_an_offer_comes_back(offer: wire.RingOffer) -> None:
    kind, body = wire.open_message(wire.encode_ring(offer))
    assert (kind, wire.decode_ring(body)) == (wire.MessageType.RING, offer)


@given(PAGES, st.integers(0, 2**63))
def test_a_page_comes_back(page: Page, sequence: int) -> None:
    assert pages.decode_page(pages.encode_page(page, sequence)) == (sequence, page)


@given(st.binary(max_size=400))
def test_nonsense_is_refused_or_read_and_never_crashes(raw: bytes) -> None:
    for decode in (wire.decode_hello, wire.decode_refused, wire.decode_ring, pages.decode_page, wire.open_message):
        try:
            decode(raw)
        except wire.WireError:
            continue
    assert pages.decode_report(raw) is None


def test_hello_says_whether_it_resumes() -> None:
    for resuming in (False, True):
        _, body = wire.open_message(wire.encode_hello(resuming=resuming))
        assert bool(wire.decode_hello(body) & wire.HelloFlag.RESUMING) == resuming


@given(st.text(max_size=2000), U32)
def test_texts_are_cut_between_characters(text: str, number: int) -> None:
    _, body = wire.open_message(wire.encode_refused(number, text.encode(errors="ignore").decode()))
    errno, found = wire.decode_refused(body)
    assert (errno, text.encode(errors="ignore").decode().startswith(found)) == (number, True)
    assert len(body) <= 4 + wire.TEXT_BYTES


# ---- the histogram --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**36 - 1))
def test_a_bucket_holds_its_values(value: int) -> None:
    bucket = pages.bucket_of(value)
    assert pages.bucket_floor_ns(bucket) <= value < pages.bucket_floor_ns(bucket + 1)
    assert pages.bucket_floor_ns(bucket + 1) - pages.bucket_floor_ns(bucket) <= max(1, value / 8)


@given(st.integers(-5, 2**64))
def test_every_value_has_a_bucket(value: int) -> None:
    assert 0 <= pages.bucket_of(value) < pages.JITTER_BUCKETS


def test_buckets_are_in_order() -> None:
    floors = [pages.bucket_floor_ns(bucket) for bucket in range(pages.JITTER_BUCKETS)]
    assert floors == sorted(set(floors))
    assert [pages.bucket_of(floor) for floor in floors] == list(range(pages.JITTER_BUCKETS))


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_quantile_is_at_most_an_eighth_above_the_true_one(values: list[int], share: float) -> None:
    jitter = [0] * pages.JITTER_BUCKETS
    for value in values:
        jitter[pages.bucket_of(value)] += 1
    true = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert true <= pages.quantile_ns(jitter, share) <= true * 1.125 + 1


def test_no_values_no_quantile() -> None:
    assert pages.quantile_ns([0] * pages.JITTER_BUCKETS, 0.99) == 0


# ---- the C side ------------------------------------------------------------------------------------------------------------


def enumerators(header: str, name: str) -> list[str]:
    found = re.search(rf"enum {name} \{{(.*?)\}}", (CORE / header).read_text(), re.DOTALL)
    assert found is not None
    plain = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    return [each.split("=")[0].strip() for each in plain.split(",") if each.strip()]


def defined(header: str, name: str) -> int:
    found = re.search(rf"#define {name} (\w+)", (CORE / header).read_text())
    assert found is not None
    return int(found[1].rstrip("u"), 0)


def test_counters_stand_in_the_same_order() -> None:
    plain = [each.removeprefix("SPW_").lower() for each in enumerators("spillway_ring.h", "spw_counter")]
    assert [each.replace("refused_packets", "refused") for each in plain] == [*pages.REPORT_COUNTERS, "counters"]


def test_codes_and_states_are_the_same() -> None:
    codes = enumerators("spillway_ring.h", "spw_code")
    assert [f"SPW_{each.name}" for each in errors.Code] == codes[1:]
    assert [each.value for each in errors.Code] == list(range(1, len(codes)))
    assert enumerators("spillway_ring.h", "spw_state") == [f"SPW_{each.name}" for each in LinkState]


def test_magics_and_sizes_are_the_same() -> None:
    assert defined("wire.h", "SPW_MAGIC") == wire.MAGIC
    assert defined("wire.h", "SPW_PAGE_MAGIC") == pages.PAGE_MAGIC
    assert defined("wire.h", "SPW_REPORT_MAGIC") == pages.REPORT_MAGIC
    assert defined("wire.h", "SPW_VERSION") == wire.VERSION
    assert defined("wire.h", "SPW_LAYOUT") == pages.PAGE_LAYOUT == pages.REPORT_LAYOUT
    assert defined("wire.h", "SPW_HEADER_ROOM") == pages.HEADER_ROOM
    assert defined("wire.h", "SPW_RING_FDS") == len(wire.RING_FDS)
    assert defined("spillway_ring.h", "SPW_JITTER_BUCKETS") == pages.JITTER_BUCKETS
    assert defined("wire.h", "SPW_LEAST_FRAME_BYTES") == wire.FRAME_BYTES[0]
    assert defined("wire.h", "SPW_MOST_FRAME_BYTES") == wire.FRAME_BYTES[-1]
    assert defined("wire.h", "SPW_CHUNK_BYTES") == wire.CHUNK_BYTES


def test_offer_fields_stand_in_the_same_order() -> None:
    found = re.search(r"struct spw_offer \{(.*?)\};", (CORE / "wire.h").read_text(), re.DOTALL)
    assert found is not None
    names = re.findall(r"(\w+)(?:\[\d+\])?[,;]", found[1])
    assert names == [each.name for each in fields(wire.RingOffer)]


# ---- errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code in errors.Code if code != errors.Code.INTERRUPTED])
@given(text=st.text(max_size=100), sent=U32)
@settings(max_examples=10)
def test_every_code_has_an_error(code: errors.Code, text: str, sent: int) -> None:
    error = errors.translate((code, 11, LinkState.LINK_DOWN, sent, 3, 2000, 1472, text))
    assert isinstance(error, errors.RingError)
    assert (error.sent, error.errno) == (sent, 11)
    assert text in str(error)


def test_not_ready_has_one_class_for_each_state() -> None:
    kinds = {
        type(errors.translate((errors.Code.NOT_READY, 0, state, 0, 0, 0, 0, "x")))
        for state in LinkState
        if state != LinkState.READY
    }
    assert len(kinds) == len(LinkState) - 1
    assert all(issubclass(each, errors.NotReady) for each in kinds)


def test_an_interrupt_is_no_ring_error() -> None:
    error = errors.translate((errors.Code.INTERRUPTED, 4, 0, 0, 0, 0, 0, "stop"))
    assert isinstance(error, KeyboardInterrupt)


@given(st.lists(U64, min_size=len(pages.REPORT_COUNTERS), max_size=len(pages.REPORT_COUNTERS)))
def test_a_report_is_read_as_it_stands(counters: list[int]) -> None:
    raw = bytearray(pages.REPORT_BYTES)
    pages.REPORT_HEAD.pack_into(raw, 0, pages.REPORT_MAGIC, pages.REPORT_LAYOUT, 8)
    pages.COUNTERS.pack_into(raw, pages.REPORT_COUNTERS_AT, *counters)
    pages.JITTER.pack_into(raw, pages.REPORT_JITTER_AT, *range(pages.JITTER_BUCKETS))
    found = pages.decode_report(bytes(raw))
    assert found is not None
    assert [getattr(found, name) for name in pages.REPORT_COUNTERS] == counters
    assert found.jitter == tuple(range(pages.JITTER_BUCKETS))
    assert replace(found, jitter=()) == Report(*counters)
    pages.REPORT_HEAD.pack_into(raw, 0, pages.REPORT_MAGIC, pages.REPORT_LAYOUT, 9)
    assert pages.decode_report(bytes(raw)) is None


# ---- the page for people ----------------------------------------------------------------------------------------------------


def protocol_section(start: str, end: str) -> list[list[str]]:
    """Rows of the table between two phrases of docs/ring-protocol.md."""
    text = (Path(__file__).parents[2] / "docs" / "ring-protocol.md").read_text()
    between = text[text.index(start) : text.index(end)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in between.splitlines() if re.match(r"\| \w", line)]


def test_the_documents_offsets_are_the_structs() -> None:
    """Every field of RING, one after the other without a gap, and of the header page."""
    rows = [row for row in protocol_section("RING's content", "## The rings") if row[0].isdigit()]
    ends = [int(at) + int(size) for at, size, *_ in rows]
    assert [int(at) for at, *_ in rows] == [0, *ends[:-1]]
    assert (ends[-1], len(rows)) == (wire.RING.size, len(fields(wire.RingOffer)))
    rows = [row for row in protocol_section("## The header page", "Read the sequence") if row[0].isdigit()]
    ends = [int(at) + int(size) for at, size, *_ in rows]
    assert [int(at) for at, *_ in rows] == [0, *ends[:-1]]
    assert ends[-1] == pages.PAGE.size


def test_the_document_names_every_counter_where_it_stands() -> None:
    rows = [row for row in protocol_section("| offset | counter |", "The histogram's first") if row[0].isdigit()]
    named = [(int(row[0]) + 8 * place, name.strip()) for row in rows for place, name in enumerate(row[1].split(","))]
    assert named == [(pages.REPORT_COUNTERS_AT + 8 * place, name) for place, name in enumerate(pages.REPORT_COUNTERS)]


def test_the_document_says_where_the_kernels_indices_and_counts_stand() -> None:
    """struct xdp_mmap_offsets and struct xdp_statistics; the first column is the TX ring's, the second the completion ring's."""
    rows = [row for row in protocol_section("| of the TX ring at |", "Indices count on") if row[0].isdigit()]
    assert [(int(tx), int(done)) for tx, done, _ in rows] == [(8 * (4 + place), 8 * (12 + place)) for place in range(4)]
    text = (Path(__file__).parents[2] / "docs" / "ring-protocol.md").read_text()
    assert f"fills {if_xdp.OFFSETS.size} bytes" in text
    assert f"XDP_STATISTICS = {if_xdp.XDP_STATISTICS}) fills {if_xdp.STATISTICS.size} bytes" in text


def test_the_manifest_for_application_owners_is_a_stream() -> None:
    text = (Path(__file__).parents[2] / "docs" / "streams" / "applications.md").read_text()
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    stream, pod = yaml.safe_load_all(block[1])
    assert decode_stream(stream).name == "cam"
    assert pod["spec"]["resourceClaims"][0]["resourceClaimName"] == stream["metadata"]["name"]
